import { screen } from '@testing-library/svelte';
import { describe, expect, it, vi } from 'vitest';
import type { Remedy } from './backend/contract/Remedy';
import type { Request } from './backend/contract/Request';
import { frame, open, press, row } from './fixtures/harness';
import { device, failed, failure, view } from './fixtures/views';
import { LANGUAGES } from './words';

const JOB = 'job-A';

const RETRY: Request = { do: 'retry', job: JOB };

/** Every remedy: its button, and what is asked of the engine or shown next. */
const TABLE: Record<Remedy, { button: string; sends?: Request; shows?: string }> = {
  retry: { button: 'Try again', sends: RETRY },
  'enter-pop': { button: 'Enter the label’s code', shows: 'Proof of possession' },
  'enter-passphrase': { button: 'Type the passphrase again', shows: 'Passphrase' },
  'choose-network': { button: 'Choose another network', shows: 'Name of the network' },
  'sign-in': { button: 'Sign in', sends: { do: 'sign-in', way: 'browser' } },
  'fix-bluetooth': { button: 'Check Bluetooth', sends: { do: 'examine' } },
  'at-device': { button: 'Done at the device: try again', sends: RETRY },
  'ask-office': { button: 'Copy report for the office' },
  resume: { button: 'Ask the cloud again', sends: { do: 'resume', job: JOB } },
};

describe.each(Object.entries(TABLE))('the remedy %s', (remedy, expected) => {
  it('is one button that does it', async () => {
    const copied = vi.spyOn(navigator.clipboard, 'writeText').mockResolvedValue();
    const cause = failure('link-lost', { remedy: remedy as Remedy });
    const app = await open(view({ nearby: [device('A')], jobs: [failed('A', 'joining', cause)] }));
    await press('3');
    row().focus();
    await press('Enter');
    expect(document.activeElement?.textContent).toContain(expected.button);
    await press('Enter');
    await frame();
    if (expected.sends) expect(app.sent.at(-1)).toEqual(expected.sends);
    else if (expected.shows) expect(screen.getByLabelText(expected.shows)).toBeTruthy();
    else expect(copied.mock.calls[0]?.[0]).toContain('link-lost');
  });

  it('has its words in German too', () => {
    expect(LANGUAGES.de.remedies[remedy as Remedy]).not.toBe(LANGUAGES.en.remedies[remedy as Remedy]);
  });
});

it('asks the cloud again where it is unknown how a job ended, and says so', async () => {
  const app = await open(
    view({ nearby: [device('A')], jobs: [failed('A', 'joining', failure('join-timeout'), 'unknown')] }),
  );
  await press('3');
  row().focus();
  await press('Enter');
  expect(screen.getByText(LANGUAGES.en.work.askAgain)).toBeTruthy();
  await press('Enter');
  expect(app.sent.at(-1)).toEqual({ do: 'resume', job: JOB });
});

it('offers a service visit where the device is commissioned already', async () => {
  const cause = failure('already-commissioned');
  const app = await open(view({ nearby: [device('A')], jobs: [failed('A', 'identifying', cause)] }));
  await press('3');
  row().focus();
  await press('Enter');
  await press('Enter');
  await press('Enter');
  expect(app.last('commission')).toMatchObject({ purpose: 'service', devices: [{ nearby: 'hci0/A' }] });
});

it('hands the code down before it tries again, and keeps neither', async () => {
  const app = await open(
    view({ nearby: [device('A')], jobs: [failed('A', 'proving', failure('wrong-pop'))] }),
  );
  await press('3');
  row().focus();
  await press('Enter');
  await press('Enter');
  await frame();
  const field = screen.getByLabelText<HTMLInputElement>('Proof of possession');
  expect(document.activeElement).toBe(field);
  field.value = 'abcd1234';
  field.dispatchEvent(new Event('input', { bubbles: true }));
  await press('Enter');
  await frame();
  expect(app.sent.slice(-2)).toEqual([{ do: 'read-label', text: 'abcd1234', device: 'hci0/A' }, RETRY]);
  expect(document.documentElement.outerHTML).not.toContain('abcd1234');
});
