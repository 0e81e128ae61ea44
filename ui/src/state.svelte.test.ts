import { screen } from '@testing-library/svelte';
import { describe, expect, it, vi } from 'vitest';
import type { Backend } from './backend';
import type { View } from './backend/contract/View';
import { frame, open, press, row, rows } from './fixtures/harness';
import { device, failed, failure, job, network, view } from './fixtures/views';
import { WindowState } from './state.svelte';

describe('views', () => {
  it('are shown at most once a frame, and the latest one wins', async () => {
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
    const shown: (View | null)[] = [];
    const cleanup = $effect.root(() => {
      $effect(() => {
        shown.push(state.view);
      });
    });
    for (let n = 0; n < 500; n++) push(view({ nearby: [device(`D${n}`)] }));
    expect(state.view).toBeNull();
    await frame();
    expect(state.view?.nearby[0]?.name).toBe('D499');
    expect(shown.filter((one) => one !== null)).toHaveLength(1);
    cleanup();
    stop();
  });

  it('move the clock on by themselves in between', async () => {
    await open(view({ jobs: [job('A', 'joining')] }));
    await press('2');
    expect(row().textContent).toMatch(/\d+ s/);
  });
});

describe('a label that was read', () => {
  const label = {
    id: 1,
    name: 'B',
    serial: null,
    pop: true,
    network: null,
    device: null,
    job: null,
    lookAlike: null,
    readMs: 5,
  };

  async function scan(text: string) {
    for (const key of [...text, 'Enter']) {
      window.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true, cancelable: true }));
    }
    await frame();
  }

  it('selects its device, wherever the focus is', async () => {
    const around = [device('A'), device('B', { label: 'missing' })];
    const app = await open(view({ nearby: around }));
    await scan('{"name":"B","pop":"x"}');
    expect(app.last('read-label')).toEqual({
      do: 'read-label',
      text: '{"name":"B","pop":"x"}',
      device: null,
    });
    await app.show(
      view({ nearby: [device('A'), device('B')], labels: [{ ...label, inRange: true, device: 'hci0/B' }] }),
    );
    const [chosen] = rows().filter((one) => one.getAttribute('aria-selected') === 'true');
    expect(chosen?.textContent).toContain('B');
    expect(screen.getByRole('status').textContent).toContain('the device is selected');
  });

  it('is told to be out of range, and can be commissioned all the same', async () => {
    const app = await open(view({ nearby: [device('A')] }));
    await scan('{"name":"B","pop":"x"}');
    await app.show(view({ nearby: [device('A')], labels: [{ ...label, inRange: false }] }));
    expect(screen.getByRole('status').textContent).toContain('not in range');
    expect(rows()).toHaveLength(2);
  });

  it('is a row of its own beside another of the same name, and beside a job of that name', async () => {
    const twin = (id: number) => ({ ...label, id, serial: `SN-${id}`, inRange: false });
    const other = job('B', 'joining', 'working', { peripheral: 'hci0/other' });
    const app = await open(view({ labels: [twin(1), twin(2)], jobs: [other] }));
    expect(rows()).toHaveLength(2);
    await app.show(view({ labels: [{ ...twin(1), job: other.id }, twin(2)], jobs: [other] }));
    expect(rows()).toHaveLength(1);
  });

  it('answers the device that asks for its code', async () => {
    const asking = job('B', 'proving', 'attention', {
      question: { ask: 'pop', triesLeft: 2, failure: failure('wrong-pop') },
    });
    const app = await open(view({ jobs: [asking] }));
    await press('3');
    row().focus();
    await frame();
    await scan('{"name":"B","pop":"x"}');
    expect(app.last('answer')).toEqual({
      do: 'answer',
      job: asking.id,
      question: 1,
      reply: { answer: 'label', text: '{"name":"B","pop":"x"}' },
    });
  });
});

describe('the focus', () => {
  it('tells the engine which job is open, once', async () => {
    const app = await open(view({ jobs: [job('A', 'joining'), job('B', 'linking')] }));
    await press('2');
    rows()[0]?.focus();
    await press('ArrowDown');
    await press('1');
    expect(app.sent.filter((request) => request.do === 'focus').map((request) => request.job)).toEqual([
      'job-A',
      'job-B',
      null,
    ]);
  });

  it('is never stolen by a failure', async () => {
    const app = await open(view({ jobs: [job('A', 'joining'), job('B', 'linking')] }));
    await press('2');
    const [first] = rows();
    first?.focus();
    await frame();
    await app.show(view({ jobs: [job('A', 'joining'), failed('B', 'linking', failure('link-lost'))] }));
    expect(document.activeElement).toBe(first);
    expect(screen.getByRole('alert').textContent).toContain('B: Failed');
  });

  it('goes to the next row when its row leaves the list', async () => {
    const app = await open(view({ jobs: [job('A', 'joining'), job('B', 'linking')] }));
    await press('2');
    rows()[0]?.focus();
    await frame();
    await app.show(view({ jobs: [job('A', 'released', 'done'), job('B', 'linking')] }));
    await frame();
    expect(document.activeElement?.textContent).toContain('B');
  });
});

describe('what the backend refuses', () => {
  it('is said, not swallowed', async () => {
    const app = await open(view({ nearby: [device('A')] }));
    app.refuse('the queue is full');
    row().focus();
    await press('b');
    await frame();
    expect(screen.getByRole('alert').textContent).toContain('the queue is full');
  });
});

describe('the network', () => {
  const site = (...names: string[]) =>
    names.map((ssid, n) => network(ssid, { remembered: true, proposed: n === 0 }));
  const shown = () => screen.getByLabelText<HTMLSelectElement>('Network').value;

  it('is the proposed one until the person chooses, and again after a change of site', async () => {
    const app = await open(view({ networks: [] }));
    await app.show(view({ networks: site('a', 'b') }));
    expect(shown()).toBe('a');
    const select = screen.getByLabelText<HTMLSelectElement>('Network');
    select.value = 'b';
    select.dispatchEvent(new Event('change', { bubbles: true }));
    await app.show(view({ networks: site('a', 'b') }));
    expect(shown()).toBe('b');
    await app.show(view({ networks: site('c') }));
    expect(shown()).toBe('c');
  });
});

describe('the end of a batch', () => {
  const busy = view({ busy: true, jobs: [job('A', 'joining')] });
  const ended = (done: number, failed: number) =>
    view({ progress: { ...view().progress, all: done + failed, done, failed } });

  it('is told outside the window to a person who looks elsewhere', async () => {
    const focus = vi.spyOn(document, 'hasFocus').mockReturnValue(false);
    const app = await open(busy);
    await app.show(ended(3, 0));
    await app.show(busy);
    await app.show(ended(3, 1));
    expect(app.told).toEqual([
      '3 devices ended: Safe to leave: every device has all four proofs.',
      '4 devices ended: 3 done, 1 needs you.',
    ]);
    focus.mockRestore();
  });

  it('is not told twice to a person who looks at the window', async () => {
    const focus = vi.spyOn(document, 'hasFocus').mockReturnValue(true);
    const app = await open(busy);
    await app.show(ended(3, 0));
    expect(app.told).toEqual([]);
    focus.mockRestore();
  });
});
