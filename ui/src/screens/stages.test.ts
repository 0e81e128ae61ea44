import { screen } from '@testing-library/svelte';
import { describe, expect, it } from 'vitest';
import type { JobState } from '../backend/contract/JobState';
import { expectAccessible, openAt } from '../fixtures/harness';
import { failed, failure, job, STAGES, view } from '../fixtures/views';
import { LANGUAGES } from '../words';

describe.each(STAGES)('the stage %s', (stage) => {
  it.each<JobState>(['waiting', 'working', 'attention', 'done', 'failed', 'unknown'])(
    'is shown and accessible when %s',
    async (state) => {
      const shown =
        state === 'failed' || state === 'unknown'
          ? failed('A', stage, failure('link-lost'), state)
          : job('A', stage, state);
      await openAt(
        view({ jobs: [shown] }),
        { waiting: '2', working: '2', attention: '3', failed: '3', unknown: '3', done: '4' }[state],
      );
      const list = screen.getByRole('region', { name: 'Stages' });
      expect(list.querySelectorAll('li')).toHaveLength(STAGES.length);
      expect(list.textContent).toContain(LANGUAGES.en.stages[stage]);
      if (state === 'working')
        expect(list.querySelector('[aria-current="step"]')?.textContent).toContain(
          LANGUAGES.en.stages[stage],
        );
      await expectAccessible();
    },
  );
});
