import { screen } from '@testing-library/svelte';
import { describe, expect, it, vi } from 'vitest';
import { frame, open, press, type, row, rows } from './fixtures/harness';
import { device, failure, job, SEEN, SIGN_INS, view } from './fixtures/views';

const SECRET = 'correct horse battery';

/** Where a secret could stay: any field, any text, any attribute. */
function pageHolds(secret: string): boolean {
  const fields = [...document.querySelectorAll('input, textarea')] as HTMLInputElement[];
  return (
    fields.some((field) => field.value.includes(secret)) ||
    document.documentElement.outerHTML.includes(secret)
  );
}

describe('the whole way by keyboard alone', () => {
  it('leads from signing in over a wrong passphrase to a device that is done', async () => {
    // 1. Sign in.
    const app = await open(view({ signIn: { state: 'signed-out', failure: null } }));
    screen.getByRole('button', { name: 'Sign in with the browser' }).focus();
    await press('Enter');
    expect(app.last('sign-in')).toEqual({ do: 'sign-in', way: 'browser' });

    // 2. Select two devices and commission them into the proposed network.
    const around = [device('A', { signal: -50 }), device('B', { signal: -60 })];
    await app.show(view({ nearby: around }));
    rows()[0]?.focus();
    await press(' ');
    await press('ArrowDown');
    await press(' ');
    await press('c');
    await frame();
    await press('Enter');
    expect(app.last('commission')).toEqual({
      do: 'commission',
      devices: [{ nearby: 'hci0/A' }, { nearby: 'hci0/B' }],
      network: { from: 'site', ssid: 'plant-iot' },
      purpose: 'new',
      parameters: {},
    });

    // 3. One asks for its passphrase: to Attention, into the field, Enter.
    const asking = job('A', 'joining', 'attention', {
      question: { ask: 'passphrase', network: 'plant-iot', failure: failure('passphrase-refused') },
    });
    await app.show(view({ jobs: [asking, job('B', 'linking')] }));
    expect(screen.getByRole('alert').textContent).toContain('A: Needs you');
    await press('3');
    row().focus();
    await press('Enter');
    expect((document.activeElement as HTMLInputElement).type).toBe('password');
    await type(SECRET);
    await press('Enter');
    expect(app.last('answer')).toEqual({
      do: 'answer',
      job: 'job-A',
      question: 1,
      reply: { answer: 'passphrase', passphrase: SECRET },
    });
    expect(pageHolds(SECRET)).toBe(false);

    // 4. Back out; the focus is on the row again.
    await press('Escape');
    await frame();
    expect(document.activeElement?.getAttribute('role')).toBe('option');

    // 5. Done.
    await app.show(view({ jobs: [job('A', 'released', 'done'), job('B', 'released', 'done')] }));
    await press('4');
    expect(rows()).toHaveLength(2);
    expect(screen.getByText(/Safe to leave/)).toBeTruthy();
  });

  it('reaches every place, the log and the list of keys, and comes back', async () => {
    await open(view({ nearby: [device('A')] }));
    for (const [key, name] of [
      ['2', 'In work'],
      ['3', 'Attention'],
      ['4', 'Done'],
      ['5', 'Journal'],
      ['6', 'Settings'],
      ['1', 'Nearby'],
    ]) {
      await press(key ?? '');
      expect(document.querySelector('nav [aria-current="page"]')?.textContent).toContain(name);
    }
    const first = row();
    first.focus();
    await press('?');
    expect(screen.getByRole('dialog')).toBeTruthy();
    await press('Escape');
    await frame();
    expect(screen.queryByRole('dialog')).toBeNull();
    expect(document.activeElement).toBe(first);
  });

  it('types a device’s code with L', async () => {
    const app = await open(view({ nearby: [device('A', { label: 'missing' })] }));
    row().focus();
    await press('l');
    await frame();
    await type('abcd1234');
    await press('Enter');
    expect(app.last('read-label')).toEqual({ do: 'read-label', text: 'abcd1234', device: 'hci0/A' });
    expect(pageHolds('abcd1234')).toBe(false);
  });
});

describe('a passphrase', () => {
  it('does not outlive its way down when a network is typed', async () => {
    const app = await open(view({ nearby: [device('A')], networks: [] }));
    row().focus();
    await press('c');
    await frame();
    screen.getByLabelText('Name of the network').focus();
    await type('plant-new');
    screen.getByLabelText('Passphrase').focus();
    await type(SECRET);
    screen.getByLabelText('It hides its name').click();
    await press('Enter');
    expect(app.last('commission')?.network).toEqual({
      from: 'typed',
      ssid: 'plant-new',
      passphrase: SECRET,
      hidden: true,
      remember: false,
    });
    expect(pageHolds(SECRET)).toBe(false);
  });

  it('is kept in the keyring and not in the window', async () => {
    const app = await open(view());
    await press('6');
    screen.getByRole('button', { name: 'Remember: Passphrase of plant-backup' }).click();
    await frame();
    screen.getByLabelText('Passphrase of plant-backup').focus();
    await type(SECRET);
    await press('Enter');
    expect(app.last('remember-network')).toEqual({
      do: 'remember-network',
      ssid: 'plant-backup',
      passphrase: SECRET,
    });
    expect(pageHolds(SECRET)).toBe(false);
  });

  it('goes with the network that the device sees, by the bytes of its name', async () => {
    const asking = job('A', 'networking', 'attention', { question: { ask: 'network', seen: SEEN } });
    const app = await open(view({ jobs: [asking] }));
    await press('3');
    row().focus();
    await press('Enter');
    screen.getByLabelText('Passphrase').focus();
    await type(SECRET);
    await press('Enter');
    expect(app.last('answer')?.reply).toEqual({
      answer: 'network',
      ssidHex: '706c616e742d696f74',
      passphrase: SECRET,
      hidden: false,
    });
    expect(pageHolds(SECRET)).toBe(false);
  });
});

describe('profiles and simulation', () => {
  it('are one button each on the first start', async () => {
    const app = await open(view({ signIn: { state: 'no-profile' }, profile: null, profiles: [] }));
    screen.getByRole('button', { name: 'Start the simulation' }).click();
    expect(app.last('try-simulated')).toBeDefined();
    screen.getByRole('button', { name: 'Sign in with the browser' }).click();
    expect(app.last('sign-in')).toBeUndefined();
  });

  it('take a profile that is pasted anywhere', async () => {
    const app = await open(view({ signIn: { state: 'no-profile' }, profile: null, profiles: [] }));
    const paste = new Event('paste', { bubbles: true });
    Object.assign(paste, { clipboardData: { files: [], getData: () => 'name = "Harbour Works"' } });
    document.body.dispatchEvent(paste);
    expect(app.last('import-profile')).toEqual({ do: 'import-profile', text: 'name = "Harbour Works"' });
  });

  it('take files that are dropped by what they are', async () => {
    const app = await open(view());
    const drop = new Event('drop', { bubbles: true, cancelable: true });
    const files = [new File(['name,pop\nA,x'], 'today.csv'), new File(['name = "H"'], 'organisation.toml')];
    Object.assign(drop, { dataTransfer: { files, getData: () => '' } });
    window.dispatchEvent(drop);
    await frame();
    await frame();
    expect(app.last('read-labels')).toEqual({ do: 'read-labels', file: 'today.csv', text: 'name,pop\nA,x' });
    expect(app.last('import-profile')).toEqual({ do: 'import-profile', text: 'name = "H"' });
  });

  it('say so when a picture is none', async () => {
    await open(view());
    const drop = new Event('drop', { bubbles: true, cancelable: true });
    Object.assign(drop, {
      dataTransfer: { files: [new File(['x'], 'label.png', { type: 'image/png' })], getData: () => '' },
    });
    window.dispatchEvent(drop);
    await vi.waitFor(() => expect(screen.getByRole('alert').textContent).toContain('cannot be opened'));
  });

  it('count down a code and offer a new one when it is over', async () => {
    const code = SIGN_INS.find((signIn) => signIn.state === 'code');
    if (code?.state !== 'code') throw new Error('no code among the fixtures');
    const app = await open(view({ signIn: { ...code, expiresMs: view().nowMs - 1 } }));
    screen.getByRole('button', { name: 'Get a new code' }).click();
    expect(app.last('sign-in')).toEqual({ do: 'sign-in', way: 'code' });
  });
});
