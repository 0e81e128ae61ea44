import { screen } from '@testing-library/svelte';
import { describe, expect, it } from 'vitest';
import { expectAccessible, openAt } from '../fixtures/harness';
import { failed, FAILURES, view } from '../fixtures/views';
import { FAULT_CODES, LANGUAGES } from '../words';

describe.each(FAILURES.map((cause) => [cause.code, cause] as const))('the failure %s', (_, cause) => {
  it.each(['en', 'de'] as const)('is three lines and one button in %s', async (language) => {
    const base = view();
    await openAt(
      view({ jobs: [failed('A', 'joining', cause)], settings: { ...base.settings, language } }),
      '3',
    );
    const code = FAULT_CODES.find((known) => known === cause.code);
    const words = LANGUAGES[language].faults[code ?? 'bluetooth'];
    for (const line of [words.what, words.why, words.now])
      expect(screen.getAllByText(line).length).toBeGreaterThan(0);
    expect(document.querySelectorAll('.note .main')).toHaveLength(1);
    if (language === 'en') await expectAccessible();
  });
});
