import type { Advice, NoticeCode } from './codes';

type Said = Pick<Advice, 'what' | 'now'>;
const say = (what: string, now = ''): Said => ({ what, now });

/** By code; what the engine names besides, a file, a device or a place in it, stands small below. */
export const notices: Record<NoticeCode, Said> = {
  blinked: say('Das Gerät blinkt jetzt.'),
  busy: say(
    'Für die jetzige Organisation sind Geräte in Arbeit.',
    'Warten Sie, bis sie fertig sind, oder brechen Sie sie ab; wechseln Sie dann die Organisation.',
  ),
  'device-in-work': say(
    'An diesem Gerät wird gerade gearbeitet, und es hat nur eine Verbindung.',
    'Warten Sie, bis der Auftrag beendet ist, oder suchen Sie das Gerät nach seinem Signal.',
  ),
  entropy: say('Dieser Rechner liefert keine sicheren Zufallszahlen.', 'Starten Sie ihn neu.'),
  home: say(
    'Der Ordner von Fieldkey lässt sich nicht benutzen.',
    'Prüfen Sie, ob auf dem Datenträger Platz ist und der Ordner Ihnen gehört.',
  ),
  'in-use': say(
    'Ein anderes Fieldkey arbeitet gerade auf diesem Rechner.',
    'Warten Sie, bis es beendet ist, und melden Sie sich dann hier wieder an.',
  ),
  label: say('Das ist kein lesbares Etikett.', 'Scannen Sie den Code am Gerät selbst.'),
  'label-not-in-range': say(
    'Das Etikett ist gelesen; das Gerät ist noch nicht in Reichweite.',
    'Schalten Sie das Gerät ein oder gehen Sie näher heran.',
  ),
  'label-of-another': say(
    'Das Etikett gehört zu einem anderen Gerät.',
    'Scannen Sie das Etikett an genau diesem Gerät.',
  ),
  'label-without-name': say(
    'Dieser Code nennt kein Gerät.',
    'Wählen Sie zuerst das Gerät und geben Sie dann seinen Besitznachweis ein.',
  ),
  labels: say(
    'Die Datei mit Etiketten lässt sich nicht lesen.',
    'Berichtigen Sie die Datei und laden Sie sie noch einmal; es wurde nichts übernommen.',
  ),
  'labels-read': say('Die Etiketten der Datei sind gelesen.'),
  network: say(
    'Es wurde kein Passwort eingegeben.',
    'Geben Sie das Passwort des Netzes ein; ein offenes Netz braucht keines.',
  ),
  'no-order': say(
    'Dieser Auftrag stammt aus einem früheren Lauf.',
    'Wählen Sie das Gerät unter den Geräten in der Nähe.',
  ),
  'not-heard': say(
    'Das Gerät ist nicht mehr in Reichweite.',
    'Gehen Sie näher heran und versuchen Sie es erneut.',
  ),
  'not-ready': say(
    'Dafür fehlt noch die Anmeldung oder das Recht.',
    'Melden Sie sich an, oder sehen Sie oben nach, was fehlt.',
  ),
  'parameter-missing': say(
    'Ein Wert, den die Vorlage der Cloud braucht, fehlt.',
    'Nichts wurde begonnen; füllen Sie beim nächsten Versuch alle Felder aus.',
  ),
  'parameter-unfit': say(
    'Einen Wert für die Vorlage nimmt die Cloud so nicht an.',
    'Nichts wurde begonnen; geben Sie beim nächsten Versuch einen anderen ein.',
  ),
  'parameter-unknown': say(
    'Die Vorlage der Cloud hat sich geändert und kennt einen der Werte nicht mehr.',
    'Nichts wurde begonnen; versuchen Sie es mit den jetzigen Feldern noch einmal.',
  ),
  'parameters-not-taken': say(
    'Diese Cloud nimmt von hier keine Werte für eine Vorlage an.',
    'Nichts wurde begonnen; versuchen Sie es noch einmal.',
  ),
  profile: say(
    'Das Organisationsprofil lässt sich nicht verwenden.',
    'Lassen Sie sich die Datei vom Büro noch einmal geben und importieren Sie sie.',
  ),
  'profile-imported': say('Das Profil ist importiert.'),
  settings: say(
    'Die Einstellungen lassen sich nicht speichern.',
    'Prüfen Sie, ob auf dem Datenträger Platz ist; bis dahin gelten sie, bis Fieldkey endet.',
  ),
  simulated: say(
    'Die Simulation ließ sich nicht starten.',
    'Installieren Sie, was fehlt, und versuchen Sie es erneut.',
  ),
};
