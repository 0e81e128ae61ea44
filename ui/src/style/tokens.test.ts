import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

const CSS = readFileSync(join(import.meta.dirname, 'tokens.css'), 'utf8');

function palette(from: number): Record<string, string> {
  const block = CSS.slice(CSS.indexOf('color-scheme', from));
  return Object.fromEntries(
    [...block.slice(0, block.indexOf('}')).matchAll(/--([a-z-]+): (#[0-9a-f]{6})/g)].map((m) => [m[1], m[2]]),
  );
}

const dark = CSS.indexOf("[data-theme='dark']");
const PALETTES = { light: palette(0), dark: palette(dark) };

/** WCAG 2.2, relative luminance. */
function luminance(hex: string): number {
  const [r, g, b] = [1, 3, 5].map((at) => {
    const part = Number.parseInt(hex.slice(at, at + 2), 16) / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  }) as [number, number, number];
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

function contrast(a: string, b: string): number {
  const [high, low] = [luminance(a), luminance(b)].sort((x, y) => y - x) as [number, number];
  return (high + 0.05) / (low + 0.05);
}

describe.each(Object.entries(PALETTES))('the %s palette', (_, colours) => {
  const of = (name: string) => {
    const colour = colours[name];
    if (!colour) throw new Error(`no colour ${name}`);
    return colour;
  };

  it.each(['waiting', 'working', 'done', 'attention', 'failed', 'unknown'])(
    'shows the word %s with at least 7:1',
    (state) => {
      for (const ground of [`${state}-wash`, 'surface', 'sunken', 'accent-wash', 'hover']) {
        expect(contrast(of(state), of(ground)), ground).toBeGreaterThanOrEqual(
          ground === `${state}-wash` || ground === 'surface' ? 7 : 4.5,
        );
      }
    },
  );

  it.each([
    'ground',
    'surface',
    'sunken',
    'raised',
    'hover',
    'accent-wash',
    'failed-wash',
    'attention-wash',
    'unknown-wash',
    'working-wash',
    'waiting-wash',
  ])('keeps text readable on %s', (ground) => {
    expect(contrast(of('text'), of(ground))).toBeGreaterThanOrEqual(7);
    expect(contrast(of('muted'), of(ground))).toBeGreaterThanOrEqual(4.5);
    expect(contrast(of('accent'), of(ground))).toBeGreaterThanOrEqual(3);
  });

  it('shows the shape of attention on everything it lies on', () => {
    for (const ground of ['attention-wash', 'surface', 'sunken'])
      expect(contrast(of('attention-fill'), of(ground)), ground).toBeGreaterThanOrEqual(3);
  });

  it('keeps buttons readable and borders of controls visible', () => {
    expect(contrast(of('on-accent'), of('accent'))).toBeGreaterThanOrEqual(4.5);
    expect(contrast(of('on-accent'), of('accent-hover'))).toBeGreaterThanOrEqual(4.5);
    expect(contrast(of('accent'), of('surface'))).toBeGreaterThanOrEqual(4.5);
    expect(contrast(of('line-strong'), of('surface'))).toBeGreaterThanOrEqual(3);
  });
});
