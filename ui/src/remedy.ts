/** The one button of a failure: what it says and what it does. */
import type { Failure } from './backend/contract/Failure';
import type { JobView } from './backend/contract/JobView';
import type { Remedy } from './backend/contract/Remedy';
import { bundle } from './bundle';
import type { Plan, WindowState } from './state.svelte';

export interface Around {
  window: WindowState;
  /** The job that failed; none where the failure is of the whole. */
  job: JobView | null;
  /** What trying again means where there is no job. */
  again: () => void;
  /** Opens the field for the label's code, in place. */
  typeLabel: () => void;
}

type Act = (around: Around) => void;

const again: Act = ({ window, job, again }) => (job ? window.send({ do: 'retry', job: job.id }) : again());
const anew: Act = ({ window, job, again }) =>
  job ? void window.compose([chosen(window, job)], 'new', true) : again();

export const ACTS: Record<Remedy, Act> = {
  retry: again,
  'enter-pop': ({ typeLabel }) => typeLabel(),
  'enter-passphrase': anew,
  'choose-network': anew,
  'sign-in': ({ window }) => window.send({ do: 'sign-in', way: 'browser' }),
  'fix-bluetooth': ({ window }) => {
    window.go('settings');
    window.send({ do: 'examine' });
  },
  'at-device': again,
  'ask-office': ({ window, job }) => void window.copy(bundle(window, { job })),
  resume: ({ window, job, again }) => (job ? window.send({ do: 'resume', job: job.id }) : again()),
};

export function remedy(failure: Failure, around: Around): { words: string; act: () => void } {
  const { window, job } = around;
  if (failure.code === 'already-commissioned' && job) {
    // Trying again as it was would end the same way.
    return {
      words: `${window.w.commission.purposes.service}: ${window.w.remedies.retry}`,
      act: () => void window.compose([chosen(window, job)], 'service'),
    };
  }
  return {
    words: window.w.remedies[failure.remedy],
    act: () => ACTS[failure.remedy](around),
  };
}

/** The device of a job, by what the radio calls it, since others may share its name. */
function chosen(window: WindowState, job: JobView): Plan['devices'][number] {
  const near = window.view?.nearby.find((device) => device.peripheral === job.peripheral);
  return near
    ? { choice: { nearby: near.peripheral }, name: job.name, labelled: near.label !== 'missing' }
    : { choice: { named: job.name }, name: job.name, labelled: false };
}
