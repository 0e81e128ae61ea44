import type { Health } from '../backend/contract/Health';
import type { Part } from '../backend/contract/Part';

/** What the window says of a finding itself; what is left out is said by the engine. */
export interface Said {
  what?: string;
  now?: string;
}

export type Findings = Partial<Record<Part, Partial<Record<Health, Said>>>>;

/** The engine's own sentences, but where they name a command of the command line. */
export const english: Findings = {
  journal: { warn: { now: 'Resume or undo them in Attention.' } },
  profile: { bad: { now: 'Import the file that the office gave you.' } },
  'sign-in': { bad: { now: 'Sign in, under Nearby.' } },
  cloud: {
    bad: {
      now: 'See that this computer is online and that you are signed in; else show this to the office.',
    },
  },
};

export const german: Findings = {
  bluetooth: {
    ok: { what: 'Bluetooth ist eingeschaltet.' },
    bad: {
      what: 'Bluetooth ist nicht bereit.',
      now: 'Schalten Sie Bluetooth ein. Fehlt der Adapter, stecken Sie einen an; ist einer da, starten Sie den Bluetooth-Dienst oder den Rechner neu.',
    },
  },
  keyring: {
    ok: { what: 'Der Schlüsselbund ist offen.' },
    warn: {
      what: 'Der Schlüsselbund ist gesperrt oder fehlt.',
      now: 'Entsperren Sie ihn. Ohne ihn endet die Anmeldung mit Fieldkey, und Passwörter werden jedes Mal abgefragt.',
    },
  },
  journal: {
    ok: { what: 'Das Journal ist unversehrt.' },
    warn: {
      what: 'Begonnene Geräte sind noch nicht zu Ende gebracht.',
      now: 'Setzen Sie sie unter „Zu klären“ fort, oder machen Sie sie rückgängig.',
    },
    bad: {
      what: 'Das Journal lässt sich nicht benutzen; ohne Journal wird nichts begonnen.',
      now: 'Prüfen Sie, ob auf dem Datenträger Platz ist. Ist die Datei beschädigt, lassen Sie sie, wie sie ist, und zeigen Sie sie dem Büro.',
    },
  },
  profile: {
    ok: { what: 'Ein Organisationsprofil ist gewählt.' },
    bad: {
      what: 'Es ist kein Organisationsprofil gewählt.',
      now: 'Importieren Sie die Datei, die Sie vom Büro bekommen haben.',
    },
  },
  issuer: {
    ok: { what: 'Der Anmeldedienst antwortet.' },
    bad: {
      what: 'Der Anmeldedienst ist nicht zu benutzen.',
      now: 'Prüfen Sie die Verbindung dieses Rechners; sonst bitten Sie das Büro um ein berichtigtes Profil.',
    },
  },
  'sign-in': {
    ok: { what: 'Sie sind angemeldet.' },
    warn: {
      what: 'Ihre Anmeldung hält nicht lange.',
      now: 'Entsperren Sie den Schlüsselbund und melden Sie sich neu an; hilft das nicht, bitten Sie das Büro, die Verlängerung (offline_access) zu erlauben.',
    },
    bad: { what: 'Niemand ist angemeldet.', now: 'Melden Sie sich unter „In der Nähe“ an.' },
  },
  cloud: {
    ok: { what: 'Die Cloud antwortet.' },
    bad: {
      what: 'Die Cloud ist nicht zu benutzen.',
      now: 'Prüfen Sie die Verbindung dieses Rechners und Ihre Anmeldung; sonst zeigen Sie das dem Büro.',
    },
  },
  template: {
    ok: { what: 'Die Bereitstellungsvorlage ist eingeschaltet.' },
    warn: {
      what: 'An der Bereitstellungsvorlage ist etwas zu bemerken.',
      now: 'Zeigen Sie das dem Büro; es lässt sich im Konto der Cloud richtigstellen.',
    },
    bad: {
      what: 'Die Bereitstellungsvorlage ist abgeschaltet; jede Registrierung würde abgelehnt.',
      now: 'Bitten Sie die Verwaltung der Cloud, sie einzuschalten.',
    },
  },
  rights: {
    ok: { what: 'Sie dürfen Geräte in Betrieb nehmen.' },
    warn: {
      what: 'Ein Recht, das die Inbetriebnahme braucht, fehlt Ihnen oder ließ sich nicht prüfen.',
      now: 'Bitten Sie das Büro, es der Rolle der Installateure zu erlauben.',
    },
    bad: {
      what: 'Ihnen fehlen Rechte, um Geräte in Betrieb zu nehmen.',
      now: 'Bitten Sie das Büro um die Rolle „Installateur“, oder melden Sie sich als jemand anders an.',
    },
  },
  clock: {
    ok: { what: 'Die Uhr dieses Rechners geht richtig.' },
    warn: {
      what: 'Die Uhr dieses Rechners geht falsch oder ließ sich nicht vergleichen.',
      now: 'Stellen Sie Datum und Uhrzeit, am besten automatisch.',
    },
    bad: {
      what: 'Die Uhr dieses Rechners geht um mehr als einen Tag falsch.',
      now: 'Stellen Sie Datum und Uhrzeit, am besten automatisch.',
    },
  },
};
