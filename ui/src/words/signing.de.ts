import type { Advice, SignInCode } from './codes';

const say = (what: string, why: string, now: string): Advice => ({ what, why, now });

export const signing: Record<SignInCode, Advice> = {
  'sign-in-ended': say(
    'Ihre Anmeldung ist beendet.',
    'Sie ist abgelaufen, wurde widerrufen oder auf einem anderen Rechner benutzt.',
    'Melden Sie sich wieder an.',
  ),
  'sign-in-elsewhere': say(
    'Sie sind für einen anderen Ort angemeldet.',
    'Der Anmeldedienst ist derselbe, aber die Anmeldung ginge anderswohin, und das hat niemand erlaubt.',
    'Melden Sie sich wieder an, wenn Sie diesem Profil trauen; sonst fragen Sie das Büro.',
  ),
  'sign-in-denied': say(
    'Die Anmeldung wurde abgelehnt.',
    'Sie selbst oder eine Regel Ihrer Organisation hat sie auf der Anmeldeseite abgelehnt.',
    'Melden Sie sich noch einmal an und stimmen Sie zu; sonst fragen Sie das Büro, ob dieses Konto das darf.',
  ),
  'sign-in-cancelled': say(
    'Die Anmeldung wurde abgebrochen.',
    'Sie haben sie abgebrochen.',
    'Melden Sie sich an, wann immer Sie möchten.',
  ),
  'sign-in-timed-out': say(
    'Die Anmeldung wurde nicht rechtzeitig abgeschlossen.',
    'Seite und Code gelten nur wenige Minuten.',
    'Beginnen Sie die Anmeldung noch einmal.',
  ),
  'issuer-unreachable': say(
    'Der Anmeldedienst antwortet nicht.',
    'Hier gibt es kein Internet, oder ein Proxy oder eine Firewall steht dazwischen.',
    'Prüfen Sie die Verbindung dieses Rechners und melden Sie sich dann noch einmal an.',
  ),
  'issuer-broken': say(
    'Der Anmeldedienst ist nicht der, den das Profil nennt.',
    'Seine Adresse im Profil ist falsch, oder der Dienst ist falsch eingerichtet.',
    'Bitten Sie das Büro um ein berichtigtes Organisationsprofil.',
  ),
  'issuer-lacks': say(
    'Dem Anmeldedienst fehlt etwas, das Fieldkey braucht.',
    'Er ist ohne diese Art der Anmeldung eingerichtet.',
    'Melden Sie sich auf die andere Art an; sonst zeigen Sie das dem Büro.',
  ),
  'client-unknown': say(
    'Der Anmeldedienst kennt Fieldkey nicht.',
    'Die Client-ID im Profil ist falsch oder wurde entfernt.',
    'Bitten Sie das Büro um ein berichtigtes Organisationsprofil.',
  ),
  'issuer-refused': say(
    'Der Anmeldedienst hat abgelehnt.',
    'Ihr Konto oder das Profil ist dafür nicht eingerichtet.',
    'Nennen Sie dem Büro den Code hier unten.',
  ),
  'issuer-nonsense': say(
    'Der Anmeldedienst hat unverständlich geantwortet.',
    'Er ist gestört, oder etwas dazwischen verändert seine Antworten.',
    'Melden Sie sich noch einmal an; bleibt es so, zeigen Sie das dem Büro.',
  ),
  'identity-token': say(
    'Es ist nicht sicher, wer sich angemeldet hat.',
    'Die Aussage des Anmeldedienstes über Sie ist ungültig.',
    'Melden Sie sich noch einmal an; bleibt es so, zeigen Sie das dem Büro.',
  ),
  'clock-wrong': say(
    'Die Uhr dieses Rechners geht falsch.',
    'Nach ihr ist die Anmeldung schon abgelaufen oder noch nicht gültig.',
    'Stellen Sie Datum und Uhrzeit, am besten automatisch, und melden Sie sich dann noch einmal an.',
  ),
  'no-listener': say(
    'Die Antwort des Browsers kommt auf diesem Rechner nicht an.',
    'Ein anderes Programm oder eine Firewall versperrt den Rückweg.',
    'Melden Sie sich stattdessen mit einem Code an.',
  ),
  keyring: say(
    'Der Schlüsselbund gibt die Anmeldung nicht heraus oder nicht frei.',
    'Er ist gesperrt oder gestört.',
    'Entsperren Sie den Schlüsselbund und versuchen Sie es erneut.',
  ),
};
