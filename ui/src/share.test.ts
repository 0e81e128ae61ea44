import { describe, expect, it } from 'vitest';
import type { Backend } from './backend';
import type { View } from './backend/contract/View';
import { fifty } from './fixtures/fifty';
import { frame, open, press, rows } from './fixtures/harness';
import { device, job, NOW_MS, view } from './fixtures/views';
import { share } from './share';
import { WindowState } from './state.svelte';

const copy = <T>(value: T): T => structuredClone(value);

describe('a new view', () => {
  it('keeps everything of the one before that it repeats', () => {
    const before = fifty(0);
    expect(share(before, copy(before))).toBe(before);
  });

  it('brings exactly what changed, and leaves its neighbours what they were', () => {
    const before = view({ nearby: [device('A'), device('B')], jobs: [job('C', 'joining')] });
    const after = copy(before);
    after.nearby[1] = device('B', { signal: -81 });
    const shared = share(before, after);
    expect(shared).toEqual(after);
    expect(shared).not.toBe(before);
    expect(shared.nearby).not.toBe(before.nearby);
    expect(shared.nearby[0]).toBe(before.nearby[0]);
    expect(shared.nearby[1]?.signal).toBe(-81);
    expect(shared.jobs).toBe(before.jobs);
    expect(shared.settings).toBe(before.settings);
  });

  it('knows its devices again when one came or went before them', () => {
    const before = view({ nearby: [device('B'), device('C')] });
    const more = share(before, copy(view({ nearby: [device('A'), device('B'), device('C')] })));
    expect(more.nearby.slice(1)).toEqual(before.nearby);
    expect(more.nearby[1]).toBe(before.nearby[0]);
    expect(more.nearby[2]).toBe(before.nearby[1]);
    const fewer = share(more, copy(view({ nearby: [device('A'), device('C')] })));
    expect(fewer.nearby.map(({ name }) => name)).toEqual(['A', 'C']);
    expect(fewer.nearby[1]).toBe(before.nearby[1]);
  });

  it('forgets what is no longer there', () => {
    const asked = view({
      jobs: [job('A', 'joining', 'attention', { question: { ask: 'network', seen: [] } })],
    });
    const answered = view({ jobs: [job('A', 'joining', 'attention')] });
    expect(share(asked, answered)).toEqual(answered);
    expect(share(answered, asked)).toEqual(asked);
    expect(share<unknown>({ a: 1, b: undefined }, { a: 1, c: undefined })).toEqual({ a: 1, c: undefined });
    expect(share<unknown>([1], { 0: 1 })).toEqual({ 0: 1 });
  });
});

describe('the window', () => {
  it('holds what has not changed as what it was, its rows too', async () => {
    let push: (view: View) => void = () => {};
    const backend: Backend = {
      send: () => Promise.resolve(),
      onView(show) {
        push = show;
        return () => {};
      },
    };
    const state = new WindowState(backend, 'en');
    const stop = state.start();
    const around = [device('A'), device('B')];
    push(view({ nearby: around }));
    await frame();
    const { view: first, rows } = state;
    push(copy(view({ nearby: [device('A', { fading: true }), device('B')], nowMs: NOW_MS + 100 })));
    await frame();
    expect(state.view?.nowMs).toBe(NOW_MS + 100);
    expect(state.view?.settings).toBe(first?.settings);
    expect(state.rows[0]?.device?.fading).toBe(true);
    expect(state.rows[1]).toBe(rows[1]);
    stop();
  });
});

describe('fifty devices at ten views a second', () => {
  /** What was written to the page, its root included: an attribute there styles all of it anew. */
  async function writes(during: () => Promise<void>): Promise<MutationRecord[]> {
    const seen: MutationRecord[] = [];
    const observer = new MutationObserver((records) => seen.push(...records));
    observer.observe(document.documentElement, {
      subtree: true,
      childList: true,
      characterData: true,
      attributes: true,
    });
    await during();
    seen.push(...observer.takeRecords());
    observer.disconnect();
    return seen;
  }

  it('write nothing where nothing changed that is shown', async () => {
    const app = await open(fifty(0));
    expect(rows()).toHaveLength(50);
    const again = copy(fifty(0));
    // Heard anew: only an age of five seconds or more is shown.
    for (const heard of again.nearby) if (heard.heardMs > NOW_MS - 1_000) heard.heardMs += 20;
    expect(await writes(() => app.show(again))).toEqual([]);
  });

  it('keep their rows, and write into those alone whose words changed', async () => {
    const app = await open(fifty(0));
    const before = rows();
    const next = copy(fifty(0));
    const [one] = next.nearby;
    if (!one) throw new Error('no device');
    one.signal -= 3;
    const records = await writes(() => app.show(next));
    expect(rows()).toEqual(before);
    const touched = new Set(
      records.map(({ target }) =>
        (target instanceof Element ? target : target.parentElement)?.closest('[role="option"]'),
      ),
    );
    expect(touched.size).toBe(1);
    expect([...touched][0]?.textContent).toContain(one.name);
  });

  it('count the time in a stage without a view for each second', async () => {
    const app = await open(fifty(0));
    await press('2');
    await app.show(fifty(2_000));
    await frame();
    expect(rows()[0]?.textContent).toMatch(/[2-9] s/);
  });
});
