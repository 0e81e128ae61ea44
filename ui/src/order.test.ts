import { describe, expect, it } from 'vitest';
import { arrange } from './order';

const row = (id: string, rank: number) => ({ id, rank });

describe('the order of the rows', () => {
  it('is strongest first', () => {
    expect(arrange([], [row('a', -80), row('b', -50), row('c', -60)], false)).toEqual(['b', 'c', 'a']);
  });

  it('does not follow a signal that only wavers', () => {
    expect(arrange(['a', 'b'], [row('a', -62), row('b', -58)], false)).toEqual(['a', 'b']);
  });

  it('follows a device that is clearly nearer now', () => {
    expect(arrange(['a', 'b', 'c'], [row('a', -60), row('b', -62), row('c', -48)], false)).toEqual([
      'c',
      'a',
      'b',
    ]);
  });

  it('keeps every row in its place while a person aims', () => {
    expect(arrange(['a', 'b'], [row('a', -90), row('b', -40)], true)).toEqual(['a', 'b']);
  });

  it('puts what is new at the end while a person aims, however strong', () => {
    expect(arrange(['a', 'b'], [row('a', -60), row('b', -70), row('c', -30)], true)).toEqual(['a', 'b', 'c']);
  });

  it('leaves a gone row behind while a person aims, and takes it away after', () => {
    expect(arrange(['a', 'b', 'c'], [row('a', -60), row('c', -70)], true)).toEqual(['a', 'b', 'c']);
    expect(arrange(['a', 'b', 'c'], [row('a', -60), row('c', -70)], false)).toEqual(['a', 'c']);
  });

  it('comes to rest: the same signals twice give the same order', () => {
    const rows = Array.from({ length: 50 }, (_, n) => row(`d${n}`, -40 - ((n * 37) % 55)));
    const once = arrange([], rows, false);
    expect(arrange(once, rows, false)).toEqual(once);
  });
});
