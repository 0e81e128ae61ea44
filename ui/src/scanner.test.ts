import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { command } from './keys';
import { Scanner } from './scanner';

const LABEL = '{"ver":"v1","name":"PROV_3CD3D8","pop":"abcd1234","transport":"ble"}';

let now = 1000;
let scanned: string[];
let keys: string[];
let scanner: Scanner;

/** Types into a target as the browser would: the key goes in unless somebody prevented it. */
function hit(target: HTMLElement, key: string, init: KeyboardEventInit = {}): boolean {
  const event = new KeyboardEvent('keydown', { key, bubbles: true, cancelable: true, ...init });
  Object.defineProperty(event, 'timeStamp', { value: now });
  Object.defineProperty(event, 'target', { value: target });
  scanner.handle(event);
  if (!event.defaultPrevented && key.length === 1 && target instanceof HTMLInputElement) target.value += key;
  return event.defaultPrevented;
}

function burst(target: HTMLElement, text: string, gap: number): boolean {
  for (const key of text) {
    now += gap;
    hit(target, key);
  }
  now += gap;
  return hit(target, 'Enter');
}

function input(type = 'text', takes?: string): HTMLInputElement {
  const field = document.createElement('input');
  field.type = type;
  if (takes) field.dataset['takes'] = takes;
  document.body.append(field);
  return field;
}

beforeEach(() => {
  vi.useFakeTimers();
  scanned = [];
  keys = [];
  scanner = new Scanner({
    scanned: (text) => scanned.push(text),
    key: (event) => keys.push(event.key),
    wants: (event) => command(event) !== null,
  });
});

afterEach(() => document.body.replaceChildren());

describe('a hand scanner', () => {
  it('is recognised wherever the focus is', () => {
    expect(burst(document.body, LABEL, 8)).toBe(true);
    expect(scanned).toEqual([LABEL]);
  });

  it('presses no button and starts no shortcut on its way', () => {
    const button = document.createElement('button');
    document.body.append(button);
    burst(button, 'c b l 1234', 8);
    vi.advanceTimersByTime(500);
    expect(scanned).toEqual(['c b l 1234']);
    expect(keys).toEqual([]);
  });

  it('gives a field back what it held, and the label to the window', () => {
    const field = input();
    field.value = 'Gate';
    burst(field, LABEL, 8);
    expect(field.value).toBe('Gate');
    expect(scanned).toEqual([LABEL]);
  });

  it('may type into a field that takes labels', () => {
    const field = input('password', 'label');
    expect(burst(field, LABEL, 8)).toBe(false);
    expect(field.value).toBe(LABEL);
    expect(scanned).toEqual([]);
  });
});

describe('a person', () => {
  it('types into fields without anything being taken away', () => {
    const field = input();
    burst(field, LABEL, 120);
    expect(field.value).toBe(LABEL);
    expect(scanned).toEqual([]);
  });

  it('may use a password manager that types as fast as a scanner', () => {
    const field = input('password');
    expect(burst(field, 'correct horse battery', 5)).toBe(false);
    expect(field.value).toBe('correct horse battery');
    expect(scanned).toEqual([]);
  });

  it('uses shortcuts outside fields, once no second key followed at once', () => {
    hit(document.body, 'c');
    expect(keys).toEqual([]);
    vi.advanceTimersByTime(100);
    expect(keys).toEqual(['c']);
  });

  it('may rest a finger on a key', () => {
    for (let n = 0; n < 20; n++) {
      now += 30;
      hit(document.body, 'x', { repeat: true });
    }
    hit(document.body, 'Enter');
    expect(scanned).toEqual([]);
  });

  it('may roll over a few keys', () => {
    expect(burst(document.body, 'abc', 20)).toBe(false);
    expect(scanned).toEqual([]);
  });
});
