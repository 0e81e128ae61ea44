import { screen } from '@testing-library/svelte';
import { expect, it, vi } from 'vitest';
import { frame, openAt, press } from './fixtures/harness';
import { failure, job, view } from './fixtures/views';

it('says where, what and why, for whoever gets it by mail', async () => {
  const copied = vi.spyOn(navigator.clipboard, 'writeText').mockResolvedValue();
  const patch = {
    site: 'Harbour 7',
    network: 'plant-iot',
    model: 'Meter X2',
    firmware: '2.4.1',
    scheme: 'security 2 patch 1',
    failure: failure('link-lost'),
  };
  await openAt(view({ jobs: [job('A', 'joining', 'failed', patch)] }), '3');
  await press('Enter');
  screen.getByRole('button', { name: 'Copy support bundle' }).click();
  await frame();
  const [text] = copied.mock.calls[0] ?? [];
  for (const line of [
    'Site: Harbour 7',
    'Network: plant-iot',
    'Model: Meter X2',
    'Firmware: 2.4.1',
    'Encryption: Security 2 patch 1',
    'link-lost',
  ]) {
    expect(text).toContain(line);
  }
});
