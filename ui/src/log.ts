/** What changed from one view to the next, for the log line and for those who listen instead of look. */
import type { JobState } from './backend/contract/JobState';
import type { JobView } from './backend/contract/JobView';
import type { Stage } from './backend/contract/Stage';
import type { View } from './backend/contract/View';

export interface LogLine {
  number: number;
  /** Seconds since 1970-01-01 UTC. */
  at: number;
  job: string;
  name: string;
  change: { kind: 'stage'; stage: Stage } | { kind: 'state'; state: JobState };
}

/** More lines than a person scrolls through; the journal has everything. */
export const LOG_LINES = 300;

export function changes(before: View | null, after: View): Omit<LogLine, 'number'>[] {
  if (!before) return [];
  const known = new Map(before.jobs.map((job) => [job.id, job]));
  return after.jobs.flatMap((job) => {
    const lines: Omit<LogLine, 'number'>[] = [];
    const old = known.get(job.id);
    const line = (change: LogLine['change']) =>
      lines.push({ at: after.now, job: job.id, name: job.name, change });
    const stage = lastStage(job);
    if (stage && stage !== (old && lastStage(old))) line({ kind: 'stage', stage });
    if (job.state !== old?.state && (old || job.state !== 'working'))
      line({ kind: 'state', state: job.state });
    return lines;
  });
}

export function lastStage(job: JobView): Stage | null {
  return job.stages.at(-1)?.stage ?? null;
}
