import { screen } from '@testing-library/svelte';
import { describe, expect, it } from 'vitest';
import { expectAccessible, frame, open, press, rows } from '../fixtures/harness';
import { SCENES } from '../fixtures/scenes';
import { SIGN_INS, view } from '../fixtures/views';

describe.each(Object.entries(SCENES))('the scene %s', (_, scene) => {
  it.each(['1', '2', '3', '4', '5', '6', '?'])('is accessible at %s', async (key) => {
    await open(scene);
    await press(key);
    rows()[0]?.focus();
    await frame();
    await expectAccessible();
  });
});

describe.each(SIGN_INS.map((signIn) => [signIn.state, signIn] as const))('signing in: %s', (_, signIn) => {
  it('is shown and accessible', async () => {
    await open(view({ signIn, profile: signIn.state === 'no-profile' ? null : view().profile }));
    await expectAccessible();
    if (signIn.state === 'code') {
      expect(screen.getByText('WDJB-MJHT')).toBeTruthy();
      expect(screen.getByRole('timer').textContent).toMatch(/good for 8:4\d/);
    }
  });
});
