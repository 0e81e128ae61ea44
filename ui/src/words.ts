/**
 * Every sentence of the window, by code, and every number and time as the person's language writes it.
 *
 * A language is one file under `words/`; the type `Words` makes it complete.
 */
import type { Failure } from './backend/contract/Failure';
import type { Finding } from './backend/contract/Finding';
import type { Language } from './backend/contract/Language';
import type { NoticeView } from './backend/contract/NoticeView';
import {
  type Advice,
  FAULT_CODES,
  type FaultCode,
  NOTICE_CODES,
  type NoticeCode,
  SIGN_IN_CODES,
  type SignInCode,
} from './words/codes';
import { de } from './words/de';
import { en, type Words } from './words/en';
import { english, type Findings, german } from './words/findings';
import { notices } from './words/notices.de';

export type { Advice, FaultCode, Words };
export { FAULT_CODES, NOTICE_CODES, SIGN_IN_CODES };

export type Tongue = 'en' | 'de';

export const LANGUAGES: Record<Tongue, Words> = { en, de };
export const FINDINGS: Record<Tongue, Findings> = { en: english, de: german };
/** English notices are the engine's own, which names what they are about. */
export const NOTICES: Partial<Record<Tongue, Record<NoticeCode, Pick<Advice, 'what' | 'now'>>>> = {
  de: notices,
};

export function tongue(choice: Language, system: string): Tongue {
  if (choice !== 'system') return choice;
  return system.toLowerCase().startsWith('de') ? 'de' : 'en';
}

export function isFaultCode(code: string): code is FaultCode {
  return (FAULT_CODES as readonly string[]).includes(code);
}

function isSignInCode(code: string): code is SignInCode {
  return (SIGN_IN_CODES as readonly string[]).includes(code);
}

function isNoticeCode(code: string): code is NoticeCode {
  return (NOTICE_CODES as readonly string[]).includes(code);
}

/** Words for a person, and the engine's own English where they do not say all of it. */
export type Exact<T> = T & { exact: string | null };

/**
 * A failure in the person's language.
 *
 * The engine's own English sentences name the network, the serial or the cloud's words, so English keeps them; what to
 * do now is the window's, since the engine speaks to the command line as well. Codes that only the engine knows are
 * shown as it says them. Where it is unknown how a job ended, the cloud is asked before anything else is tried.
 */
export function advice(
  failure: Omit<Failure, 'remedy'> & Partial<Pick<Failure, 'remedy'>>,
  language: Tongue,
  unknown = false,
): Exact<Advice> {
  const said = saying(failure, language);
  return unknown && failure.remedy === 'resume' ? { ...said, now: LANGUAGES[language].work.askAgain } : said;
}

function saying(failure: Omit<Failure, 'remedy'>, language: Tongue): Exact<Advice> {
  const { code, what, why, now } = failure;
  const exact = `${what} ${why}`.trim();
  if (isSignInCode(code)) return { ...LANGUAGES[language].signing[code], exact };
  if (!isFaultCode(code)) return { what, why, now, exact: null };
  const words = LANGUAGES[language].faults[code];
  return language === 'en' ? { what, why, now: words.now, exact: null } : { ...words, exact };
}

/** A notice in the person's language, where its code is known; else as the engine says it. */
export function noticeWords(notice: NoticeView, language: Tongue): Exact<Pick<Advice, 'what' | 'now'>> {
  const told = { ...notice, what: sentence(notice.what), why: '', now: sentence(notice.now) };
  const known = isNoticeCode(told.code) && NOTICES[language]?.[told.code];
  return known ? { ...known, exact: told.what } : advice(told, language);
}

/** What the look at everything found, in the person's language. */
export function findingWords(
  finding: Finding,
  language: Tongue,
): Exact<{ what: string; now: string | null }> {
  const said = FINDINGS[language][finding.what]?.[finding.state];
  return {
    what: said?.what ?? finding.detail,
    now: said?.now ?? finding.advice,
    exact: said?.what ? finding.detail : null,
  };
}

/** What the engine quotes from elsewhere begins small and may have no stop. */
function sentence(text: string): string {
  if (text === '') return '';
  return `${capital(text)}${/[.!?…]$/.test(text) ? '' : '.'}`;
}

function capital(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}`;
}

/** Numbers, spans, times and dates by locale. */
export interface Formats {
  number(n: number): string;
  dbm(n: number): string;
  /** A running or finished time: `0.9 s`, `42 s`, `3:05`. */
  elapsed(ms: number): string;
  /** A time that still runs, in whole seconds: tenths would only flicker. */
  running(ms: number): string;
  /** What is left of something that counts down: `4:31`. */
  countdown(ms: number): string;
  /** A rough span as people say it: `4 min`. */
  span(ms: number): string;
  /** How long ago: `now`, `12 s ago`. */
  ago(ms: number): string;
  time(unix: number): string;
  date(unix: number): string;
  /** A day without its time. */
  day(unix: number): string;
  /** A security scheme by its name, which is the same in every language: `Security 2 patch 1`. */
  scheme(name: string): string;
}

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

export function formats(language: Tongue, system: string): Formats {
  // The person's own region decides how dates look, as long as it speaks the chosen language.
  const locale = system.toLowerCase().startsWith(language) ? system : language;
  const plain = new Intl.NumberFormat(locale);
  const tenth = new Intl.NumberFormat(locale, { minimumFractionDigits: 1, maximumFractionDigits: 1 });
  const unit = (name: string, digits = 0) =>
    new Intl.NumberFormat(locale, {
      style: 'unit',
      unit: name,
      unitDisplay: 'short',
      maximumFractionDigits: digits,
    });
  const units = { second: unit('second'), minute: unit('minute'), hour: unit('hour'), day: unit('day') };
  const relative = new Intl.RelativeTimeFormat(locale, { numeric: 'auto', style: 'narrow' });
  const time = new Intl.DateTimeFormat(locale, { timeStyle: 'medium' });
  const date = new Intl.DateTimeFormat(locale, { dateStyle: 'medium', timeStyle: 'short' });
  const day = new Intl.DateTimeFormat(locale, { day: 'numeric', month: 'short' });
  const clock = (ms: number) => {
    const seconds = Math.max(0, Math.ceil(ms / SECOND));
    return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`;
  };
  return {
    number: (n) => plain.format(n).replace('-', '−'),
    dbm: (n) => `${plain.format(n).replace('-', '−')} dBm`,
    elapsed(ms) {
      if (ms < 10 * SECOND) return `${tenth.format(Math.max(0, ms) / SECOND)} s`;
      if (ms < MINUTE) return `${plain.format(Math.floor(ms / SECOND))} s`;
      return clock(Math.floor(ms / SECOND) * SECOND);
    },
    running(ms) {
      const whole = Math.max(0, Math.floor(ms / SECOND));
      return whole < 60 ? `${plain.format(whole)} s` : clock(whole * SECOND);
    },
    countdown: clock,
    span(ms) {
      const size = Math.abs(ms);
      if (size < MINUTE) return units.second.format(Math.round(size / SECOND));
      if (size < HOUR) return units.minute.format(Math.round(size / MINUTE));
      if (size < DAY) return units.hour.format(Math.round(size / HOUR));
      return units.day.format(Math.round(size / DAY));
    },
    ago(ms) {
      if (ms < 2 * SECOND) return relative.format(0, 'second');
      if (ms < MINUTE) return relative.format(-Math.floor(ms / SECOND), 'second');
      if (ms < HOUR) return relative.format(-Math.floor(ms / MINUTE), 'minute');
      return relative.format(-Math.floor(ms / HOUR), 'hour');
    },
    time: (unix) => time.format(unix * SECOND),
    date: (unix) => date.format(unix * SECOND),
    day: (unix) => day.format(unix * SECOND),
    scheme: capital,
  };
}
