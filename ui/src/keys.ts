/** The window's shortcuts, outside fields and lists; a list knows its own arrows. */
import { PLACES, type Place } from './state.svelte';

export type Command = 'filter' | 'label' | 'blink' | 'commission' | 'log' | 'help' | 'back' | 'list' | Place;

const LETTERS: Record<string, Command> = {
  '/': 'filter',
  l: 'label',
  b: 'blink',
  c: 'commission',
  g: 'log',
  '?': 'help',
  Escape: 'back',
};

export function command({ key, target }: Pick<KeyboardEvent, 'key' | 'target'>): Command | null {
  // A choice that has the focus jumps to the letters that are typed.
  if (target instanceof HTMLSelectElement && key.length === 1) return null;
  // With the focus nowhere in particular, arrows enter the list.
  if (key === 'ArrowDown' || key === 'ArrowUp') return isNowhere(target) ? 'list' : null;
  const letter = LETTERS[key.length === 1 ? key.toLowerCase() : key];
  if (letter) return letter;
  return /^[1-6]$/.test(key) ? (PLACES[Number(key) - 1] ?? null) : null;
}

function isNowhere(target: EventTarget | null): boolean {
  return target instanceof Element && (target === document.body || target.id === 'list');
}
