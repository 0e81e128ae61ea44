import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Health } from './backend/contract/Health';
import type { Part } from './backend/contract/Part';
import { failure } from './fixtures/views';
import {
  advice,
  FAULT_CODES,
  FINDINGS,
  findingWords,
  formats,
  LANGUAGES,
  NOTICE_CODES,
  NOTICES,
  noticeWords,
  SIGN_IN_CODES,
  tongue,
} from './words';

const CRATES = join(import.meta.dirname, '../../src-tauri/crates');
const FAULTS = join(CRATES, 'commission/src/fault.rs');
const SIGN_IN = join(CRATES, 'engine/src/signin/error.rs');
const PORTS = join(CRATES, 'engine/src/ports.rs');
const DESK = join(CRATES, 'engine/src/desk');
const DOCTOR = join(CRATES, 'engine/src/doctor.rs');

/** Every code in the two functions of fault.rs that make them. */
function codesOfTheEngine(): string[] {
  const source = readFileSync(FAULTS, 'utf8');
  const from = source.indexOf('pub fn code(');
  const to = source.indexOf('/// What a cloud call can end with');
  expect(from).toBeGreaterThan(0);
  expect(to).toBeGreaterThan(from);
  return [...source.slice(from, to).matchAll(/=> "([a-z-]+)"/g)].map((match) => match[1] ?? '');
}

/** Every code that the desk writes on a notice itself. */
function codesOfNotices(): string[] {
  return readdirSync(DESK).flatMap((file) =>
    [...readFileSync(join(DESK, file), 'utf8').matchAll(/self\s*\.(?:warn|tell)\(\s*"([a-z-]+)"/g)].map(
      (match) => match[1] ?? '',
    ),
  );
}

/** Every part with every health that the look at everything can find it in. */
function findings(): [string, string][] {
  const kebab = (name: string) => name.replace(/(?<=[a-z])[A-Z]/g, '-$&').toLowerCase();
  const functions = readFileSync(DOCTOR, 'utf8').split(/\n *(?:async )?fn /);
  return functions.flatMap((body) => {
    const of = /let what = Part::(\w+)/.exec(body)?.[1];
    return [...body.matchAll(/Finding::(ok|warn|bad)\(\s*(?:Part::(\w+)|what)/g)].flatMap(
      ([, health, part = of]): [string, string][] => (health && part ? [[kebab(part), health]] : []),
    );
  });
}

function leaves(words: unknown, path = ''): [string, unknown][] {
  if (typeof words !== 'object' || words === null) return [[path, words]];
  return Object.entries(words).flatMap(([key, value]) => leaves(value, `${path}.${key}`));
}

describe('words', () => {
  it('know every fault code of the engine and no other', () => {
    expect([...FAULT_CODES].sort()).toEqual([...new Set(codesOfTheEngine())].sort());
  });

  it('know every code that a sign-in ends with', () => {
    const codes = [...readFileSync(SIGN_IN, 'utf8').matchAll(/=> "([a-z-]+)"/g)].map(
      (match) => match[1] ?? '',
    );
    expect([...SIGN_IN_CODES, 'signed-out'].sort()).toEqual(codes.sort());
  });

  it('know every notice of the desk', () => {
    const elsewhere: readonly string[] = [...FAULT_CODES, ...SIGN_IN_CODES];
    const filling = [...readFileSync(PORTS, 'utf8').matchAll(/=> "(parameters?-[a-z-]+)"/g)].map(
      (match) => match[1] ?? '',
    );
    expect(filling.length).toBe(4);
    const own = [...codesOfNotices(), ...filling].filter((code) => !elsewhere.includes(code));
    expect([...NOTICE_CODES].sort()).toEqual([...new Set(own)].sort());
  });

  it('say every finding in German, and what to do where it is not well', () => {
    const all = findings();
    expect(all.length).toBeGreaterThan(30);
    for (const [part, health] of all) {
      const said = FINDINGS.de[part as Part]?.[health as Health];
      expect(said?.what, `${part} ${health}`).toMatch(/^\S.+[.]$/);
      if (health !== 'ok') expect(said?.now, `${part} ${health}`).toMatch(/^\S.+[.]$/);
    }
  });

  it('send nobody who sits at the window to the command line', () => {
    const advised = [...readFileSync(DOCTOR, 'utf8').matchAll(/"[^"]*: fieldkey [^"]*"/g)];
    expect(advised.length).toBeGreaterThan(0);
    for (const [part, health] of [
      ['journal', 'warn'],
      ['profile', 'bad'],
      ['sign-in', 'bad'],
      ['cloud', 'bad'],
    ] as const) {
      const finding = { what: part, state: health, detail: 'So.', advice: 'Sign in with: fieldkey sign-in' };
      for (const language of ['en', 'de'] as const)
        expect(findingWords(finding, language).now).not.toContain('fieldkey');
    }
  });

  it('put what only the engine can name below a German notice or finding', () => {
    const notice = {
      number: 1,
      failed: true,
      code: 'label-of-another',
      what: 'the label is of B',
      now: 'Scan it',
    };
    expect(noticeWords(notice, 'en')).toEqual({
      what: 'The label is of B.',
      now: 'Scan it.',
      exact: null,
      why: '',
    });
    expect(noticeWords(notice, 'de')).toEqual({
      ...NOTICES.de?.['label-of-another'],
      exact: 'The label is of B.',
    });
    const finding = {
      what: 'clock',
      state: 'warn',
      detail: 'It is 3 minutes fast.',
      advice: 'Set it.',
    } as const;
    expect(findingWords(finding, 'en')).toEqual({ what: finding.detail, now: 'Set it.', exact: null });
    expect(findingWords(finding, 'de')).toMatchObject({ exact: finding.detail });
  });

  it('say what, why and what now where a sign-in fails, which the engine leaves to them', () => {
    const told = {
      ...failure(),
      code: 'issuer-unreachable',
      what: 'the issuer does not answer: x',
      why: '',
      now: '',
    };
    for (const language of ['en', 'de'] as const) {
      const said = advice(told, language);
      expect(said).toEqual({ ...LANGUAGES[language].signing['issuer-unreachable'], exact: told.what });
    }
  });

  it.each(['en', 'de'] as const)('say what, why and what now for every fault in %s', (language) => {
    for (const code of FAULT_CODES) {
      const said = LANGUAGES[language].faults[code];
      for (const line of [said.what, said.why, said.now]) expect(line, code).toMatch(/^\S.+[.!]$/);
    }
  });

  it('have the same keys in both languages, none of them empty but a right that is granted', () => {
    const [en, de] = [leaves(LANGUAGES.en), leaves(LANGUAGES.de)];
    expect(de.map(([path]) => path)).toEqual(en.map(([path]) => path));
    for (const [path, value] of [...en, ...de]) {
      if (path !== '.rights.granted' && typeof value === 'string') expect(value, path).not.toBe('');
    }
  });

  it('translate the faults instead of repeating the English', () => {
    for (const code of FAULT_CODES) {
      expect(LANGUAGES.de.faults[code].now, code).not.toBe(LANGUAGES.en.faults[code].now);
    }
  });

  it('count in both languages', () => {
    expect(LANGUAGES.en.nearby.commission(1)).toBe('Commission 1 device');
    expect(LANGUAGES.en.nearby.commission(4)).toBe('Commission 4 devices');
    expect(LANGUAGES.de.nearby.commission(1)).toBe('1 Gerät in Betrieb nehmen');
    expect(LANGUAGES.de.nearby.commission(4)).toBe('4 Geräte in Betrieb nehmen');
  });

  it('keep what only the engine can name in English, and give the window’s next step', () => {
    const told = failure('network-not-seen', {
      what: 'The device does not see the network “plant-iot”.',
      now: 'fieldkey something',
    });
    expect(advice(told, 'en').what).toContain('plant-iot');
    expect(advice(told, 'en').now).toBe(LANGUAGES.en.faults['network-not-seen'].now);
    expect(advice(told, 'de').what).toBe(LANGUAGES.de.faults['network-not-seen'].what);
  });

  it('show a code that they do not know as the engine says it', () => {
    const told = { ...failure(), code: 'brand-new', what: 'New.', why: 'New.', now: 'New.' };
    expect(advice(told, 'de')).toMatchObject({ what: 'New.', now: 'New.' });
  });

  it('send a person to the cloud first where it is unknown how a job ended', () => {
    for (const language of ['en', 'de'] as const) {
      const { askAgain } = LANGUAGES[language].work;
      for (const code of FAULT_CODES) {
        expect(advice(failure(code, { remedy: 'resume' }), language, true).now, code).toBe(askAgain);
      }
      const engineOnly = { ...failure(), code: 'brand-new', remedy: 'resume' as const };
      expect(advice(engineOnly, language, true).now).toBe(askAgain);
      // The cloud answers only who is signed in.
      const signedOut = failure('signed-out');
      expect(advice(signedOut, language, true).now).toBe(LANGUAGES[language].faults['signed-out'].now);
    }
  });

  it('follow the system unless the person chose', () => {
    expect(tongue('system', 'de-AT')).toBe('de');
    expect(tongue('system', 'fr-FR')).toBe('en');
    expect(tongue('en', 'de-AT')).toBe('en');
  });
});

describe('formats', () => {
  const en = formats('en', 'en-GB');
  const de = formats('de', 'de-DE');

  it('write times as people read them', () => {
    expect(en.elapsed(900)).toBe('0.9 s');
    expect(de.elapsed(900)).toBe('0,9 s');
    expect(en.elapsed(42_700)).toBe('42 s');
    expect(en.elapsed(185_000)).toBe('3:05');
    expect(en.running(900)).toBe('0 s');
    expect(en.countdown(271_000)).toBe('4:31');
    expect(en.countdown(-5)).toBe('0:00');
  });

  it('write spans and signals with their units', () => {
    expect(en.span(240_000)).toMatch(/^4 min/);
    expect(de.span(240_000)).toBe('4 Min.');
    expect(en.dbm(-58)).toBe('−58 dBm');
    expect(de.number(4812)).toBe('4.812');
  });
});
