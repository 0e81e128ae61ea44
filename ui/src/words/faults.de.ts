import type { Advice, FaultCode } from './codes';

const say = (what: string, why: string, now: string): Advice => ({ what, why, now });

export const faults: Record<FaultCode, Advice> = {
  'not-advertising': say(
    'Das Gerät ist nicht zu hören.',
    'Es ist schon eingerichtet, anderswo verbunden, außer Reichweite, oder seine Einrichtungszeit ist vorbei.',
    'Schalten Sie es aus und ein, gehen Sie bis auf fünf Meter heran und versuchen Sie es erneut.',
  ),
  'endpoint-missing': say(
    'Das Gerät bietet nicht an, was sein Protokoll verspricht.',
    'Seine Firmware ist von anderer Art, oder dieser Rechner erinnert sich an eine ältere.',
    'Entfernen Sie das Gerät in den Bluetooth-Einstellungen des Systems und versuchen Sie es erneut; hilft das nicht, prüfen Sie die Firmware.',
  ),
  protocol: say(
    'Das Gerät hat unverständlich geantwortet.',
    'Seine Firmware hält sich nicht an das Protokoll.',
    'Schalten Sie es aus und ein und versuchen Sie es erneut; bleibt es so, melden Sie Modell und Firmware.',
  ),
  'pop-needed': say(
    'Das Gerät verlangt den Code seines Etiketts.',
    'Für dieses Gerät wurde kein Etikett gelesen.',
    'Scannen Sie das Etikett oder geben Sie den aufgedruckten Besitznachweis ein.',
  ),
  'wrong-pop': say(
    'Das Gerät hat den Code des Etiketts abgelehnt.',
    'Das Etikett gehört zu einem anderen Gerät, oder der Code wurde falsch eingegeben.',
    'Scannen Sie das Etikett an genau diesem Gerät oder geben Sie den Besitznachweis neu ein.',
  ),
  'locked-out': say(
    'Das Gerät nimmt keine Codes mehr an.',
    'Es wurden zu viele falsche Besitznachweise gesendet.',
    'Schalten Sie es aus und ein und scannen Sie dann das richtige Etikett.',
  ),
  unencrypted: say(
    'Das Gerät bietet keine Verschlüsselung; nichts Geheimes wurde gesendet.',
    'Seine Firmware nutzt Security 0, was Ihre Organisation nicht erlaubt.',
    'Verwenden Sie Firmware mit Security 2, oder bitten Sie das Büro, dies für Testgeräte zu erlauben.',
  ),
  unproven: say(
    'Das Gerät verlangt keinen Besitznachweis; nichts Geheimes wurde gesendet.',
    'Seine Firmware wurde ohne gebaut; jeder in der Nähe könnte sich dazwischenschalten.',
    'Verwenden Sie Firmware mit Besitznachweis, oder bitten Sie das Büro, dies zu erlauben.',
  ),
  'nonce-reuse': say(
    'Die Verschlüsselung des Geräts hat eine bekannte Schwäche; nichts Geheimes wurde gesendet.',
    'Seine Firmware verwendet Nonces mehrfach (Security 2 vor Patch 1).',
    'Aktualisieren Sie die Firmware, oder bitten Sie das Büro, dies zu erlauben.',
  ),
  downgraded: say(
    'Das Gerät bietet weniger Schutz, als von ihm bekannt ist; nichts Geheimes wurde gesendet.',
    'Sein Etikett oder ein früherer Auftrag kennt es besser geschützt: Dies ist ein anderes Gerät seines Namens, oder jemand steht dazwischen.',
    'Lassen Sie das Gerät blinken und vergleichen Sie es mit dem Etikett. Hat der Hersteller die Firmware geändert, fragen Sie das Büro.',
  ),
  'false-device': say(
    'Dies ist nicht das Gerät des Etiketts.',
    'Es konnte nicht zeigen, dass es seinen eigenen Besitznachweis kennt.',
    'Lassen Sie das Gerät blinken, vergleichen Sie es mit dem Etikett und geben Sie ihm kein Passwort.',
  ),
  'unsupported-scheme': say(
    'Das Gerät verlangt ein Sicherheitsverfahren, das Fieldkey nicht kennt.',
    'Seine Firmware ist neuer als dieses Fieldkey.',
    'Aktualisieren Sie Fieldkey.',
  ),
  'identity-missing': say(
    'Das Gerät kann nicht beweisen, wer es ist.',
    'Seine Firmware hat keinen Identitätsendpunkt und Ihre Organisation verlangt einen, oder es bewies vorher, wer es ist, und jetzt nicht mehr.',
    'Aktualisieren Sie die Firmware, oder fragen Sie das Büro.',
  ),
  'identity-forged': say(
    'Der Identitätsnachweis des Geräts ist ungültig.',
    'Es ist womöglich eine Fälschung, oder sein Schlüsselspeicher ist beschädigt.',
    'Bauen Sie es nicht ein. Legen Sie es beiseite und melden Sie sein Etikett.',
  ),
  'identity-unvouched': say(
    'Niemand bürgt für die Identität dieses Geräts.',
    'Es hat einen Schlüssel bewiesen, und weder die Cloud noch ein Hersteller, den das Profil nennt, weiß, wessen er ist.',
    'Bauen Sie es noch nicht ein. Bitten Sie das Büro, den Schlüssel des Geräts zu registrieren oder seinen Hersteller im Profil zu nennen.',
  ),
  'maker-unknown': say(
    'Kein Hersteller, den Ihre Organisation nennt, bürgt für dieses Gerät.',
    'Das Organisationsprofil nennt den Hersteller des Geräts nicht, oder das Gerät ist eine Fälschung.',
    'Bauen Sie es noch nicht ein. Bitten Sie das Büro, seinen Hersteller im Profil zu nennen; steht er schon dort, melden Sie das Etikett.',
  ),
  'identity-unchecked': say(
    'Der Identitätsnachweis des Geräts konnte nicht geprüft werden.',
    'Dieser Rechner war zu beschäftigt; über das Gerät sagt das nichts.',
    'Versuchen Sie es noch einmal.',
  ),
  'laptop-date': say(
    'Das Datum dieses Laptops ist falsch.',
    'Danach ist das Zertifikat des Geräts nicht gültig; über das Gerät sagt das nichts.',
    'Stellen Sie Datum und Uhrzeit dieses Laptops richtig und beginnen Sie noch einmal.',
  ),
  'unknown-device': say(
    'Die Liste des Herstellers enthält dieses Gerät nicht.',
    'Es ist zu neu für die eingelesene Liste oder nicht für Ihre Organisation gemacht.',
    'Bitten Sie das Büro, die Herstellerliste für diese Charge einzulesen.',
  ),
  'clone-suspected': say(
    'Das Gerät hat einen anderen Schlüssel, als der Hersteller für seine Seriennummer eingetragen hat.',
    'Es ist eine Kopie, oder seine Hauptplatine wurde getauscht.',
    'Bauen Sie es nicht ein. Legen Sie es beiseite und melden Sie es.',
  ),
  'label-mismatch': say(
    'Das Etikett gehört zu einem anderen Gerät.',
    'Etiketten wurden vertauscht, oder das falsche wurde gescannt.',
    'Scannen Sie das Etikett an genau diesem Gerät.',
  ),
  'owned-by-other': say(
    'Das Gerät gehört jemand anderem.',
    'Eine andere Organisation hat es in Betrieb genommen und nicht freigegeben.',
    'Bitten Sie den Support, es zu übertragen.',
  ),
  'already-commissioned': say(
    'Das Gerät ist schon in Betrieb genommen.',
    'Die Cloud zeigt eine aktive Identität dafür.',
    'Ist dies ein Servicebesuch, nehmen Sie es als solchen erneut in Betrieb.',
  ),
  'enrols-itself': say(
    'Das Gerät registriert sich selbst und lässt sich von hier aus nicht übertragen.',
    'Seine alte Identität bliebe beim bisherigen Eigentümer gültig; nur mit einer Berechtigung von hier ginge sie vorher aus.',
    'Lassen Sie es vom Support in der Cloud übertragen, und nehmen Sie es dann als neu in Betrieb.',
  ),
  'firmware-too-old': say(
    'Die Firmware des Geräts ist zu alt.',
    'Ihre Organisation hat für dieses Modell eine Mindestversion festgelegt.',
    'Aktualisieren Sie die Firmware und versuchen Sie es erneut.',
  ),
  'serial-needed': say(
    'Die Seriennummer des Geräts ist nicht bekannt.',
    'Sein Etikett nennt sie nicht, und es kann sie nicht beweisen.',
    'Scannen Sie ein Etikett mit Seriennummer, oder laden Sie sie mit einer Etikettendatei.',
  ),
  'network-not-seen': say(
    'Das Gerät sieht das Netz nicht.',
    'Es ist außer Reichweite des Geräts, nur auf 5 GHz, verborgen oder anders geschrieben.',
    'Wählen Sie ein Netz, das das Gerät sieht, oder kennzeichnen Sie dieses als verborgen.',
  ),
  'network-weak': say(
    'Das Gerät sieht das Netz nur schwach.',
    'Der Access Point ist weit weg oder am Ort des Geräts abgeschirmt.',
    'Versetzen Sie Gerät oder Access Point, wählen Sie ein anderes Netz, oder fahren Sie trotzdem fort.',
  ),
  'network-enterprise': say(
    'Das Gerät sieht das Netz als Unternehmensnetz, dem es nicht beitreten kann.',
    'Ein solches Netz (IEEE 802.1X) verlangt von jedem Namen und Passwort oder ein Zertifikat.',
    'Wählen Sie ein anderes Netz, oder bitten Sie den Betreiber um eines mit Passwort.',
  ),
  'network-open': say(
    'Das Netz ist am Ort des Geräts offen, und Sie haben ein Passwort dafür.',
    'Jemand betreibt dort vielleicht ein anderes Netz dieses Namens, oder der Schutz wurde abgeschaltet.',
    'Fragen Sie den Betreiber; wählen Sie ein anderes Netz, oder fahren Sie trotzdem fort.',
  ),
  'scan-timeout': say(
    'Die Netzsuche des Geräts ist nicht zu Ende gekommen.',
    'Seine Firmware hängt, etwa weil schon vorher Einstellungen übernommen wurden.',
    'Schalten Sie es aus und ein und versuchen Sie es erneut.',
  ),
  'settings-refused': say(
    'Das Gerät hat die WLAN-Einstellungen abgelehnt.',
    'Oft ist das Passwort länger, als seine Firmware annimmt.',
    'Prüfen Sie Name und Passwort (höchstens 63 Zeichen) und versuchen Sie es erneut.',
  ),
  'settings-held': say(
    'Das Gerät hat noch WLAN-Einstellungen aus einem früheren Versuch.',
    'Seine Firmware lässt sie sich über Bluetooth nicht wieder nehmen.',
    'Schalten Sie es aus und ein; setzen Sie es nach Anleitung zurück, falls es dann nicht in der Liste steht. Nehmen Sie es danach erneut in Betrieb.',
  ),
  'power-cycle-needed': say(
    'Das Gerät kann jetzt keine anderen Einstellungen annehmen.',
    'Seine Firmware (ESP-IDF 5.0 oder älter) muss nach einem misslungenen Beitritt neu starten.',
    'Schalten Sie es aus und ein, warten Sie, bis es wieder in der Liste steht, und versuchen Sie es erneut.',
  ),
  'credentials-unsupported': say(
    'Das Gerät kann keine Zugangsdaten annehmen.',
    'Es spricht einfaches Espressif-Provisioning ohne die Endpunkte von Fieldkey.',
    'Verwenden Sie Firmware mit den Endpunkten aus DEVICE.md, oder bitten Sie das Büro, nur WLAN zu erlauben.',
  ),
  'claim-refused': say(
    'Die Cloud hat keine befristeten Zugangsdaten ausgestellt.',
    'Ihre Rechte oder die Bereitstellungsvorlage erlauben es nicht.',
    'Geht es um Rechte oder die Vorlage, fragen Sie das Büro; sonst versuchen Sie es erneut.',
  ),
  'claim-expired': say(
    'Die befristeten Zugangsdaten sind abgelaufen, bevor das Gerät sie hatte.',
    'Die Verbindung war langsam oder ist mehrmals abgebrochen.',
    'Gehen Sie näher heran und versuchen Sie es erneut; es werden neue geholt.',
  ),
  'buffer-too-small': say(
    'Die befristeten Zugangsdaten passen nicht in das Gerät.',
    'Seine Firmware hält einen zu kleinen Puffer bereit.',
    'Aktualisieren Sie die Firmware, oder lassen Sie das Büro ein kleineres Zertifikat (EC) verwenden.',
  ),
  'claim-rejected': say(
    'Das Gerät hat die befristeten Zugangsdaten abgelehnt.',
    'Sie sind beschädigt angekommen, oder die Firmware verlangt eine andere Art.',
    'Versuchen Sie es mit neuen noch einmal; bleibt es so, melden Sie Modell und Firmware.',
  ),
  'passphrase-needed': say(
    'Das Netz ist geschützt, und es wurde kein Passwort angegeben.',
    'Das Gerät sieht es als geschützt; ohne Passwort würde es abgewiesen.',
    'Geben Sie das Passwort des Netzes ein.',
  ),
  'passphrase-invalid': say(
    'Das kann kein WLAN-Passwort sein.',
    'Ein WLAN-Passwort hat 8 bis 63 Zeichen. An das Gerät wurde nichts gesendet.',
    'Geben Sie das Passwort noch einmal ein.',
  ),
  'passphrase-refused': say(
    'Das Netz hat das Gerät abgewiesen.',
    'Wahrscheinlich ist das Passwort falsch; ein Filter am Access Point wirkt genauso.',
    'Geben Sie das Passwort noch einmal ein.',
  ),
  'network-not-found': say(
    'Das Gerät hat das Netz nicht gefunden.',
    'Es ist außer Reichweite des Geräts oder nur auf 5 GHz.',
    'Wählen Sie ein Netz, das das Gerät sieht.',
  ),
  'join-timeout': say(
    'Das Gerät hat nicht rechtzeitig eine IP-Adresse bekommen.',
    'Das Netz vergibt keine Adressen (DHCP), ist zu schwach oder verlangt eine Anmeldeseite.',
    'Prüfen Sie den Access Point und versuchen Sie es erneut.',
  ),
  'enrolment-refused': say(
    'Die Cloud hat das Gerät abgelehnt.',
    'Es steht nicht auf der Zulassungsliste, oder die Vorlage verbietet es.',
    'Fragen Sie das Büro nach Zulassungsliste und Vorlage; von diesem Versuch bleibt nichts zurück.',
  ),
  'cloud-unreachable-from-device': say(
    'Das Gerät ist im WLAN, erreicht aber die Cloud nicht.',
    'Eine Firewall, kein Internet in diesem Netz oder ein falscher Endpunkt.',
    'Prüfen Sie, ob dieses Netz das Internet auf Port 8883 erreicht, und versuchen Sie es erneut.',
  ),
  'enrol-timeout': say(
    'Das Gerät hat sich nicht rechtzeitig registriert.',
    'Es war im WLAN oder kurz davor; danach haben weder Gerät noch Cloud etwas gemeldet.',
    'Warten Sie eine Minute und setzen Sie dann fort: Die Cloud wird erneut gefragt.',
  ),
  'not-seen-online': say(
    'Das Gerät ist registriert, wurde aber noch nicht online gesehen.',
    'Es startet neu, oder sein Netz ist nach der Registrierung ausgefallen.',
    'Gehen Sie noch nicht: Prüfen Sie Strom und Netz, dann setzen Sie fort.',
  ),
  'credential-off': say(
    'Die neue Identität des Geräts ist abgeschaltet.',
    'Jemand oder eine Regel in der Cloud hat sie widerrufen, nachdem das Gerät damit gesehen wurde.',
    'Fragen Sie im Büro nach; die frühere Identität ist unverändert.',
  ),
  'active-credentials': say(
    'Das Gerät hat nicht genau eine aktive Identität.',
    'Eine frühere Identität ließ sich nicht abschalten, oder die neue wurde es.',
    'Setzen Sie fort; bleibt es so, fragen Sie den Support.',
  ),
  'earlier-identity-off': say(
    'Das Gerät wurde nicht in Betrieb genommen, und seine frühere Identität ist abgeschaltet.',
    'Beim Wechsel des Eigentümers geht zuerst die alte Identität; danach stand der neuen etwas im Weg.',
    'Das Gerät bleibt offline, bis es in Betrieb genommen ist: Klären Sie, was im Weg stand, und beginnen Sie den Wechsel noch einmal.',
  ),
  'release-refused': say(
    'Das Gerät arbeitet, wurde aber nicht an den Support freigegeben.',
    'Die Cloud hat den letzten Schritt abgelehnt.',
    'Setzen Sie fort; bleibt es so, fragen Sie das Büro.',
  ),
  'signed-out': say(
    'Niemand ist angemeldet.',
    'Die Anmeldung ist beendet, wurde widerrufen oder hat nie begonnen.',
    'Melden Sie sich wieder an und setzen Sie dann fort.',
  ),
  'other-organisation': say(
    'Dieses Gerät wurde für eine andere Organisation begonnen.',
    'Nur die Cloud jener Organisation kann sagen, was daraus geworden ist.',
    'Wählen Sie das Profil jener Organisation und setzen Sie dann fort.',
  ),
  'organisation-unknown': say(
    'Nirgends steht, für welche Organisation dieses Gerät begonnen wurde.',
    'Ein älteres Fieldkey hat es begonnen und das nicht aufgeschrieben.',
    'Gehört es hierher, sagen Sie das in der Liste der offenen Geräte; setzen Sie dann fort.',
  ),
  superseded: say(
    'Ein späterer Einsatz hat dieses Gerät in Betrieb genommen.',
    'Dieser frühere Auftrag war da noch offen und ist damit erledigt.',
    'Es ist nichts mehr zu tun.',
  ),
  'cloud-unreachable': say(
    'Die Cloud ist von diesem Rechner aus nicht erreichbar.',
    'Hier gibt es kein Internet, oder ein Proxy oder Zertifikat steht dazwischen.',
    'Prüfen Sie die Verbindung dieses Rechners und versuchen Sie es erneut.',
  ),
  'cloud-error': say(
    'Die Cloud hat einen Fehler gemeldet.',
    'Dort stimmt etwas nicht, oder sie ist überlastet.',
    'Tun Sie, was sie sagt, falls sie etwas rät. Sonst versuchen Sie es erneut; bleibt es so, nennen Sie dem Büro den Code.',
  ),
  cancelled: say(
    'Abgebrochen.',
    'Sie haben die Arbeit an diesem Gerät abgebrochen.',
    'Nehmen Sie das Gerät erneut in Betrieb, wann immer Sie möchten.',
  ),
  'cannot-blink': say(
    'Dieses Gerät kann nicht auf Wunsch blinken.',
    'Seine Firmware hat dafür kein Licht.',
    'Erkennen Sie es am Etikett oder am Signal: Es wird stärker, wenn Sie näher kommen.',
  ),
  unanswered: say(
    'Niemand hat die Frage rechtzeitig beantwortet.',
    'Die Verbindung wurde beendet, damit das Gerät frei ist.',
    'Nehmen Sie das Gerät erneut in Betrieb und antworten Sie binnen drei Minuten.',
  ),
  journal: say(
    'Das Journal lässt sich nicht schreiben; weiter ist nichts geschehen.',
    'Der Datenträger ist voll oder nicht beschreibbar.',
    'Schaffen Sie Platz und setzen Sie dann fort.',
  ),
  'link-lost': say(
    'Die Bluetooth-Verbindung zum Gerät ist abgebrochen.',
    'Es ist am Rand der Reichweite, hat den Strom verloren oder neu gestartet.',
    'Gehen Sie bis auf fünf Meter heran und versuchen Sie es erneut.',
  ),
  'device-refused': say(
    'Das Gerät hat eine Anfrage abgelehnt.',
    'Seine Sitzung ist womöglich abgelaufen.',
    'Versuchen Sie es erneut; bleibt es so, schalten Sie das Gerät aus und ein.',
  ),
  'firmware-mismatch': say(
    'Das Gerät kann nicht, was sein Protokoll verlangt.',
    'Seine Firmware weicht von dem ab, was sie ankündigt.',
    'Prüfen Sie die Firmware.',
  ),
  'pairing-needed': say(
    'Das Gerät muss erst gekoppelt werden.',
    'Seine Firmware wurde mit erzwungener Verbindungsverschlüsselung gebaut.',
    'Koppeln Sie es in den Bluetooth-Einstellungen des Systems und versuchen Sie es erneut.',
  ),
  'device-busy': say(
    'Das Gerät ist beschäftigt.',
    'Ein anderes Programm spricht mit ihm, oder eine frühere Anfrage läuft noch.',
    'Schließen Sie andere Programme, die Bluetooth nutzen, und versuchen Sie es erneut.',
  ),
  'no-answer': say(
    'Das Gerät hat nicht rechtzeitig geantwortet.',
    'Es ist weit weg oder mit dem WLAN beschäftigt.',
    'Gehen Sie bis auf fünf Meter heran und versuchen Sie es erneut.',
  ),
  'out-of-reach': say(
    'Das Gerät ist nicht in Reichweite.',
    'Es ist zu weit weg, ausgeschaltet oder anderswo verbunden.',
    'Gehen Sie bis auf fünf Meter heran, prüfen Sie den Strom und versuchen Sie es erneut.',
  ),
  'adapter-off': say(
    'Bluetooth ist aus.',
    'Es wurde in den Systemeinstellungen oder mit einem Schalter am Rechner ausgeschaltet.',
    'Schalten Sie Bluetooth ein.',
  ),
  'no-adapter': say(
    'Dieser Rechner hat keinen Bluetooth-Adapter.',
    'Es gibt keinen, er ist abgezogen oder gesperrt (rfkill).',
    'Stecken Sie einen ein und prüfen Sie Bluetooth erneut.',
  ),
  'no-bluetooth-service': say(
    'Der Bluetooth-Dienst des Systems läuft nicht.',
    'Er wurde angehalten oder ist nicht installiert.',
    'Starten Sie ihn (unter Linux: systemctl start bluetooth) und versuchen Sie es erneut.',
  ),
  'no-bluetooth-permission': say(
    'Fieldkey darf Bluetooth nicht benutzen.',
    'Datenschutzeinstellungen oder Regeln des Systems erlauben es nicht.',
    'Erlauben Sie Fieldkey in den Systemeinstellungen, Bluetooth zu benutzen.',
  ),
  'stale-cache': say(
    'Das Gerät bietet nicht mehr an, was es vorher angeboten hat.',
    'Seine Firmware hat sich geändert, oder dieser Rechner erinnert sich an eine ältere.',
    'Entfernen Sie das Gerät in den Bluetooth-Einstellungen des Systems und versuchen Sie es erneut.',
  ),
  bluetooth: say(
    'Bluetooth funktioniert nicht.',
    'Das Bluetooth des Systems hat einen Fehler gemeldet.',
    'Versuchen Sie es erneut; bleibt es so, schalten Sie Bluetooth aus und ein.',
  ),
};
