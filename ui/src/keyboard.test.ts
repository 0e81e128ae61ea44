import { screen } from '@testing-library/svelte';
import { describe, expect, it } from 'vitest';
import { frame, open, openAt, press, row, rows, type } from './fixtures/harness';
import { SCENES } from './fixtures/scenes';
import { device, failure, job, view } from './fixtures/views';

const focused = () => document.activeElement as HTMLElement;
const around = view({ nearby: [device('A', { signal: -50 }), device('B', { signal: -60 })] });

describe('arrows', () => {
  it('enter the list when the focus is nowhere in particular', async () => {
    await open(around);
    focused().blur();
    await press('ArrowDown');
    expect(focused()).toBe(rows()[0]);
    await press('ArrowDown');
    expect(focused()).toBe(rows()[1]);
  });

  it('stay with the control that has the focus', async () => {
    await open(around);
    const network = screen.getByLabelText('Network');
    network.focus();
    await press('ArrowDown');
    expect(focused()).toBe(network);
  });
});

describe('a key for a place', () => {
  it('takes the focus along, to its list or to its page', async () => {
    await openAt(view({ nearby: [device('A')], jobs: [job('W', 'joining')] }), '1');
    await press('2');
    expect(focused()).toBe(row());
    expect(row().textContent).toContain('W');
    await press('4');
    expect(focused().id).toBe('list');
  });

  it('is a letter of a choice while that has the focus', async () => {
    await open(around);
    screen.getByLabelText('Network').focus();
    await press('2');
    await press('c');
    expect(document.querySelector('nav [aria-current="page"]')?.textContent).toContain('Nearby');
    expect(screen.queryByRole('heading', { name: /^Commission/ })).toBeNull();
  });
});

describe('Escape', () => {
  it('empties the filter, then leaves it for the list, and keeps the selection', async () => {
    await openAt(around, '1');
    await press(' ');
    await press('/');
    await type('B');
    await press('Escape');
    expect((focused() as HTMLInputElement).value).toBe('');
    await press('Escape');
    expect(focused().getAttribute('role')).toBe('option');
    expect(rows()[0]?.getAttribute('aria-selected')).toBe('true');
    await press('Escape');
    expect(rows()[0]?.getAttribute('aria-selected')).toBe('false');
  });

  it('leads from a plan back to the device it was made at, and from there to its row', async () => {
    await openAt(around, '1');
    await press('ArrowDown');
    await press('Enter');
    expect(focused().closest('[data-detail]')).not.toBeNull();
    screen.getByRole('button', { name: 'Commission this device' }).focus();
    await press('Enter');
    await frame();
    expect(screen.getByRole('heading', { name: 'Commission B' })).toBeTruthy();
    await press('Escape');
    await frame();
    expect(screen.getByRole('heading', { name: 'B' })).toBeTruthy();
    expect(focused().closest('[data-detail]')).not.toBeNull();
    await press('Escape');
    await frame();
    expect(focused()).toBe(rows()[1]);
  });

  it('leads from a plan that was made at the list back to its row', async () => {
    await openAt(around, '1');
    await press('c');
    await frame();
    expect(focused().closest('form')).not.toBeNull();
    await press('Escape');
    await frame();
    expect(focused()).toBe(rows()[0]);
    expect(document.querySelector('[data-detail]')?.classList.contains('open')).toBe(false);
  });
});

describe('the focus', () => {
  it('does not fall out of the window when an answer takes its question away', async () => {
    const question = { ask: 'passphrase', network: 'n', failure: failure('passphrase-refused') } as const;
    const asking = [
      job('A', 'joining', 'attention', { question }),
      job('B', 'joining', 'attention', { question }),
    ];
    const app = await openAt(view({ jobs: asking }), '3');
    await press('Enter');
    await type('correct horse battery');
    await press('Enter');
    await app.show(view({ jobs: [job('A', 'joining'), ...asking.slice(1)] }));
    await frame();
    expect(focused()).not.toBe(document.body);
    expect(document.querySelector('[data-detail]')?.contains(focused()) || focused() === row()).toBe(true);
  });

  it('stands in the list of what is in work once that was asked for', async () => {
    const app = await openAt(around, '1');
    await press('c');
    await frame();
    await press('Enter');
    await frame();
    expect(focused().id).toBe('list');
    await app.show(view({ jobs: [job('A', 'linking')] }));
    await press('ArrowDown');
    expect(focused()).toBe(row());
  });

  it('stands on the way back when everything is about to be stopped', async () => {
    await open(SCENES['batch'] ?? view());
    await press('2');
    const stop = screen.getByRole('button', { name: 'Stop all' });
    stop.focus();
    stop.click();
    await frame();
    expect(focused().textContent).toContain('Back');
    focused().click();
    await frame();
    expect(focused().textContent).toContain('Stop all');
  });

  it('goes to the passphrase that is to be remembered, and stays at its network', async () => {
    await open(view());
    await press('6');
    screen.getByRole('button', { name: 'Remember: Passphrase of plant-backup' }).click();
    await frame();
    expect((focused() as HTMLInputElement).type).toBe('password');
    await type('correct horse battery');
    await press('Enter');
    await frame();
    expect(focused().closest('li')?.textContent).toContain('plant-backup');
  });
});

describe('the list of keys', () => {
  it('lets nothing behind it be acted on', async () => {
    await openAt(around, '1');
    await press('?');
    await press('c');
    await press('6');
    await press('?');
    await frame();
    expect(screen.queryByRole('dialog')).toBeNull();
    expect(screen.queryByRole('heading', { name: /^Commission/ })).toBeNull();
    expect(focused()).toBe(rows()[0]);
  });
});

describe('C', () => {
  it('commissions what is selected, wherever the person is', async () => {
    await openAt(around, '1');
    await press(' ');
    await press('6');
    await press('c');
    await frame();
    expect(screen.getByRole('heading', { name: 'Commission A' })).toBeTruthy();
    expect(document.querySelector('nav [aria-current="page"]')?.textContent).toContain('Nearby');
  });
});
