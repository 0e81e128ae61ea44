/**
 * Tells a USB hand scanner, which is a very fast keyboard, from a person.
 *
 * Outside fields, a burst of keys that Enter ends is a label, whatever has the focus. Inside a field the keys belong to
 * the field: a burst is taken out again only if it has the shape of a label, because password managers and security
 * keys type as fast.
 */

/** Scanners send a key every 1 to 20 ms; the fastest typists need more than 60. */
const GAP_MS = 45;
/** Shorter bursts are fingers that roll over keys. */
const SHORTEST = 6;
const SHAPE = /^\s*(\{.*\}|NP:.+|https?:\/\/\S+)\s*$/s;

export interface Ears {
  /** A label was scanned. */
  scanned(text: string): void;
  /** An ordinary key outside any field, once it is sure that no scanner typed it. */
  key(event: KeyboardEvent): void;
  /** Whether the key means something here, so that the browser must not act on it. */
  wants(event: KeyboardEvent): boolean;
}

export class Scanner {
  readonly #ears: Ears;
  #burst = '';
  #last = -Infinity;
  #undo: (() => void) | null = null;
  #late: ReturnType<typeof setTimeout> | null = null;

  constructor(ears: Ears) {
    this.#ears = ears;
  }

  /** To be called for every `keydown`, before anybody else sees it. */
  handle(event: KeyboardEvent): void {
    if (event.key === 'Shift' || event.key === 'CapsLock') return;
    if (event.isComposing || event.repeat || event.ctrlKey || event.metaKey || event.altKey) {
      this.#forget();
      return;
    }
    const field = isField(event.target);
    const quick = event.timeStamp - this.#last <= GAP_MS;
    if (event.key === 'Enter' && quick && this.#ends(event, field)) return;
    if (event.key.length !== 1) {
      this.#forget();
      if (!field && this.#ears.wants(event)) {
        event.preventDefault();
        this.#ears.key(event);
      }
      return;
    }
    this.#add(event, field, quick);
  }

  #add(event: KeyboardEvent, field: boolean, quick: boolean): void {
    if (!quick) {
      this.#burst = '';
      this.#undo = putBack(event.target);
    }
    this.#burst += event.key;
    this.#last = event.timeStamp;
    if (field) return;
    if (quick) {
      // In the midst of a burst a key must press no button and start no shortcut.
      this.#stopLate();
      event.preventDefault();
      event.stopPropagation();
    } else if (this.#ears.wants(event)) {
      event.preventDefault();
      this.#stopLate();
      this.#late = setTimeout(() => this.#ears.key(event), GAP_MS + 15);
    }
  }

  #ends(event: KeyboardEvent, field: boolean): boolean {
    const text = this.#burst;
    const undo = this.#undo;
    this.#forget();
    if (text.length < SHORTEST) return false;
    if (field && (takesLabels(event.target) || !SHAPE.test(text))) return false;
    event.preventDefault();
    event.stopPropagation();
    undo?.();
    this.#ears.scanned(text);
    return true;
  }

  #forget(): void {
    this.#burst = '';
    this.#last = -Infinity;
    this.#undo = null;
  }

  #stopLate(): void {
    if (this.#late !== null) clearTimeout(this.#late);
    this.#late = null;
  }
}

const TYPED = new Set(['text', 'search', 'password', 'email', 'url', 'tel', 'number', 'date']);

export function isField(target: EventTarget | null): boolean {
  if (target instanceof HTMLTextAreaElement) return true;
  if (target instanceof HTMLInputElement) return TYPED.has(target.type);
  return target instanceof HTMLElement && target.isContentEditable;
}

function takesLabels(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && target.dataset['takes'] === 'label';
}

/** What brings a control back to what it held before the burst. */
function putBack(target: EventTarget | null): (() => void) | null {
  const control =
    target instanceof HTMLTextAreaElement ||
    target instanceof HTMLInputElement ||
    target instanceof HTMLSelectElement
      ? target
      : null;
  if (!control) return null;
  const { value } = control;
  return () => {
    if (control.value === value) return;
    control.value = value;
    control.dispatchEvent(new Event('input', { bubbles: true }));
    control.dispatchEvent(new Event('change', { bubbles: true }));
  };
}
