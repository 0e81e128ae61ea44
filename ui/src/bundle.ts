/** The support bundle: text made from what the window may see anyway, which holds no secret. */
import type { JobView } from './backend/contract/JobView';
import type { StoryView } from './backend/contract/StoryView';
import type { WindowState } from './state.svelte';
import { advice, type Words } from './words';

export function bundle(
  window: WindowState,
  what: { job?: JobView | null; story?: StoryView | null },
): string {
  const { view, w, f } = window;
  if (!view) return '';
  const b = w.bundle;
  const lines = [b.title, `${b.made}: ${iso(view.now)}`];
  if (view.profile) lines.push(`${b.organisation}: ${view.profile.name}`);
  if (view.cloud.name) lines.push(`${b.cloud}: ${[view.cloud.name, view.cloud.template].join(' ')}`);
  const adapters = view.bluetooth.adapters.map((a) => `${a.id} ${a.powered ? 'on' : 'off'}`).join(', ');
  lines.push(`${b.bluetooth}: ${view.bluetooth.trouble?.code ?? 'ok'} (${adapters})`);
  if (what.job) lines.push('', ...jobLines(what.job, window));
  if (what.story) {
    lines.push('', `${b.story}: ${what.story.name} (${what.story.job})`);
    for (const line of what.story.lines) {
      lines.push([line.number, iso(line.at), line.step, line.source, line.detail].filter(filled).join('  '));
    }
  }
  if (view.examination) {
    lines.push('', b.findings);
    for (const found of view.examination.findings) {
      lines.push([found.state, found.what, found.detail, found.advice].filter(filled).join('  '));
    }
  }
  lines.push('', f.date(view.now));
  return lines.join('\n');
}

function jobLines(job: JobView, { w, f, language, view }: WindowState): string[] {
  const b = w.bundle;
  const now = view?.nowMs ?? 0;
  const lines = [
    `${b.device}: ${job.name}${job.serial ? ` (${job.serial})` : ''}`,
    `${b.job}: ${job.id}`,
    `${b.state}: ${w.states[job.state]}`,
  ];
  const facts: [string, string | null][] = [
    [w.header.site, job.site],
    [w.header.network, job.network],
    [w.work.model, job.model],
    [w.work.firmware, job.firmware],
    [w.work.scheme, job.scheme && f.scheme(job.scheme)],
  ];
  for (const [name, value] of facts) if (value) lines.push(`${name}: ${value}`);
  if (job.failure) {
    const { what, why, now: next } = advice(job.failure, language);
    lines.push(`${b.failure}: ${job.failure.code}`, `  ${what}`, `  ${why}`, `  ${next}`);
  }
  if (job.outcome && job.outcome.outcome !== 'done') lines.push(`  ${job.outcome.fault.detail}`);
  lines.push(b.stages);
  for (const stage of job.stages) {
    lines.push(`  ${w.stages[stage.stage]}  ${f.elapsed((stage.endedMs ?? now) - stage.beganMs)}`);
  }
  lines.push(b.proofs);
  for (const key of Object.keys(w.work.proofNames) as (keyof Words['work']['proofNames'])[]) {
    const proof = job.proofs[key];
    lines.push(
      `  ${w.work.proofNames[key]}  ${proof ? `${proof.source} +${f.elapsed(proof.atMs - (job.stages[0]?.beganMs ?? 0))}` : w.work.proofOpen}`,
    );
  }
  return lines;
}

function iso(unix: number): string {
  return new Date(unix * 1000).toISOString();
}

function filled(part: unknown): boolean {
  return part !== null && part !== '';
}
