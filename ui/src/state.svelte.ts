/**
 * What the window itself knows: the latest view, and where the person is in it.
 *
 * Nothing of the engine is decided here. No passphrase and no proof of possession is ever kept here.
 */
import { getContext, setContext, tick } from 'svelte';
import type { Backend } from './backend';
import type { DeviceChoice } from './backend/contract/DeviceChoice';
import type { DeviceView } from './backend/contract/DeviceView';
import type { JobState } from './backend/contract/JobState';
import type { JobView } from './backend/contract/JobView';
import type { JournalFilter } from './backend/contract/JournalFilter';
import type { LabelView } from './backend/contract/LabelView';
import type { Purpose } from './backend/contract/Purpose';
import type { Request } from './backend/contract/Request';
import type { Settings } from './backend/contract/Settings';
import type { View } from './backend/contract/View';
import { changes, LOG_LINES, type LogLine } from './log';
import { arrange } from './order';
import { isField } from './scanner';
import { share } from './share';
import { formats, LANGUAGES, noticeWords, tongue } from './words';

export const PLACES = ['nearby', 'work', 'attention', 'done', 'journal', 'settings'] as const;
export type Place = (typeof PLACES)[number];

/** A row of Nearby: a device that is heard, or a label whose device is not, or is not known among several of its name. */
export interface Row {
  id: string;
  name: string | null;
  device: DeviceView | null;
  label: LabelView | null;
  /** It left while the person aims, so that its row must stay. */
  gone: boolean;
}

/** What is about to be commissioned. */
export interface Plan {
  devices: { choice: DeviceChoice; name: string; labelled: boolean }[];
  purpose: Purpose;
  /** The network to correct, where one was wrong. */
  typed: boolean;
}

export interface Toast {
  number: number;
  text: string;
  failed: boolean;
}

export const NEEDS_PERSON: readonly JobState[] = ['attention', 'failed', 'unknown'];
const IN_WORK: readonly JobState[] = ['waiting', 'working'];
export const NO_FILTER: JournalFilter = {
  text: '',
  outcome: null,
  person: null,
  site: null,
  since: null,
  until: null,
};

const TOAST_MS = 8000;
/** Rows change places at most this often, or the eye cannot follow. */
const CALM_MS = 1500;
/** Nothing that is shown runs faster than whole seconds; a clock that moved with each view would redraw every row. */
const CLOCK_MS = 500;

export class WindowState {
  readonly #backend: Backend;
  readonly #system: string;

  view = $state.raw<View | null>(null);
  /** The engine's clock in half seconds, counted on between views. */
  nowMs = $state(0);
  place = $state<Place>('nearby');
  rows = $state.raw<Row[]>([]);
  selected = $state.raw<ReadonlySet<string>>(new Set());
  filter = $state('');
  active = $state<Record<Place, string | null>>({
    nearby: null,
    work: null,
    attention: null,
    done: null,
    journal: null,
    settings: null,
  });
  plan = $state.raw<Plan | null>(null);
  /** The site's network that the person chose last; none where each device is asked or one is typed. */
  network = $state<string | null>(null);
  /** Whether the third column, where it is a sheet, is open. */
  sheet = $state(false);
  help = $state(false);
  logOpen = $state(false);
  log = $state.raw<LogLine[]>([]);
  toasts = $state.raw<Toast[]>([]);
  polite = $state('');
  alarm = $state('');

  language = $derived(tongue(this.view?.settings.language ?? 'system', this.#languageOfSystem()));
  w = $derived(LANGUAGES[this.language]);
  f = $derived(formats(this.language, this.#languageOfSystem()));

  working = $derived(this.#jobsIn(IN_WORK));
  attention = $derived(this.#jobsIn(NEEDS_PERSON));
  done = $derived(this.#jobsIn(['done']));
  shown = $derived(this.#filtered());
  /** The job that the third column shows. */
  openJob = $derived(this.#job(this.active[this.place]));
  openRow = $derived(this.rows.find((row) => row.id === this.active.nearby) ?? null);

  #next: View | null = null;
  #frame: number | null = null;
  #received = 0;
  #aiming = false;
  #stop: (() => void) | null = null;
  #counter = 0;
  #awaitsLabel = false;
  #sorted = -Infinity;
  #networkChosen = false;
  #opener: HTMLElement | null = null;
  #planFromDetail = false;
  #told: string | null = null;

  constructor(backend: Backend, system: string = navigator.language) {
    this.#backend = backend;
    this.#system = system;
  }

  start(): () => void {
    this.#stop = this.#backend.onView((view) => this.#take(view));
    const clock = setInterval(() => this.#count(), CLOCK_MS);
    return () => {
      this.#stop?.();
      clearInterval(clock);
      if (this.#frame !== null) cancelAnimationFrame(this.#frame);
    };
  }

  /** Resolves once the request was taken or refused: two that must keep their order wait for each other. */
  async send(request: Request): Promise<void> {
    try {
      await this.#backend.send(request);
    } catch (error) {
      this.toast(this.w.app.refused(error instanceof Error ? error.message : String(error)), true);
    }
  }

  // views

  /** Views may come faster than a screen can show them; only the latest of a frame counts. */
  #take(view: View): void {
    this.#next = view;
    this.#received = performance.now();
    if (this.#frame !== null) return;
    this.#frame = requestAnimationFrame(() => {
      this.#frame = null;
      if (this.#next) this.#show(this.#next);
      this.#next = null;
    });
  }

  #show(view: View): void {
    const held = document.activeElement;
    const before = this.view;
    const now = share(before, view);
    this.view = now;
    this.#count();
    this.#arrangeRows();
    this.#prune();
    this.#follow(before, now);
    this.#noteLabels(before, now);
    this.#tellNotices(before, now);
    this.#tellEnd(before, now);
    this.#keepNetwork(now);
    void this.#keepFocus(held);
  }

  /** The proposed network holds until the person chooses, and again once their choice is none of the site's. */
  #keepNetwork(view: View): void {
    const there = this.network === null || view.networks.some((known) => known.ssid === this.network);
    if (this.#networkChosen && there) return;
    this.#networkChosen = false;
    this.network = (view.networks.find((known) => known.proposed) ?? view.networks[0])?.ssid ?? null;
  }

  chooseNetwork(ssid: string | null): void {
    this.network = ssid;
    this.#networkChosen = true;
  }

  #count(): void {
    if (!this.view) return;
    const now = this.view.nowMs + (performance.now() - this.#received);
    this.nowMs = Math.floor(now / CLOCK_MS) * CLOCK_MS;
  }

  #follow(before: View | null, after: View): void {
    const lines = changes(before, after).map((line) => ({ ...line, number: ++this.#counter }));
    if (lines.length === 0) return;
    this.log = [...this.log, ...lines].slice(-LOG_LINES);
    const say = (line: LogLine) => this.w.log.line(line.name, this.changeWords(line));
    const urgent = lines.filter(
      (line) => line.change.kind === 'state' && NEEDS_PERSON.includes(line.change.state),
    );
    // Fifty devices would drown the voice: stages are told of the open device, ends of all.
    const calm = lines.filter(
      (line) =>
        !urgent.includes(line) &&
        (line.job === this.openJob?.id || (line.change.kind === 'state' && line.change.state === 'done')),
    );
    if (urgent.length > 0) this.alarm = urgent.map(say).join('. ');
    if (calm.length > 0) this.polite = calm.map(say).join('. ');
  }

  #tellNotices(before: View | null, after: View): void {
    const known = new Set(before?.notices.map((notice) => notice.number));
    for (const notice of after.notices) {
      if (known.has(notice.number)) continue;
      const { what, now } = noticeWords(notice, this.language);
      if (notice.failed) this.alarm = `${what} ${now}`;
      else this.polite = `${what} ${now}`;
    }
  }

  /** A person who looks elsewhere is told when nothing is in work any more. */
  #tellEnd(before: View | null, after: View): void {
    if (!before?.busy || after.busy || document.hasFocus()) return;
    const { all, done, failed, unknown } = after.progress;
    const w = this.w.ended;
    const body = done === all ? w.allDone : w.rest(done, failed + unknown);
    // Whoever forbids notifications still finds it in the window.
    this.#backend.notify?.(w.title(all), body).catch(() => {});
  }

  changeWords(line: LogLine): string {
    return line.change.kind === 'stage' ? this.w.stages[line.change.stage] : this.w.states[line.change.state];
  }

  // rows of Nearby

  /** Whether pointer or focus is in the list. */
  aim(aiming: boolean): void {
    if (this.#aiming === aiming) return;
    this.#aiming = aiming;
    if (aiming) return;
    this.#sorted = -Infinity;
    this.#arrangeRows();
  }

  #arrangeRows(): void {
    if (!this.view) return;
    const calm = performance.now() - this.#sorted < CALM_MS;
    const still = this.#aiming || (calm && this.rows.length > 0);
    if (!still) this.#sorted = performance.now();
    const old = new Map(this.rows.map((row) => [row.id, row]));
    const now = new Map<string, Row>();
    for (const device of this.view.nearby) {
      if (device.job !== null) continue;
      now.set(device.peripheral, {
        id: device.peripheral,
        name: device.name,
        device,
        label: null,
        gone: false,
      });
    }
    for (const label of this.view.labels) {
      if (label.device !== null || label.job !== null) continue;
      const id = `label ${label.id}`;
      now.set(id, { id, name: label.name, device: null, label, gone: false });
    }
    const ranked = [...now.values()].map((row) => ({ id: row.id, rank: row.device?.signal ?? -200 }));
    const order = arrange(
      this.rows.map((row) => row.id),
      ranked,
      still,
    );
    this.rows = share(
      this.rows,
      order.flatMap((id) => {
        const row = now.get(id) ?? (this.#aiming ? old.get(id) : undefined);
        return row ? [{ ...row, gone: !now.has(id) }] : [];
      }),
    );
  }

  #prune(): void {
    const there = new Set(this.rows.filter((row) => !row.gone).map((row) => row.id));
    const kept = [...this.selected].filter((id) => there.has(id));
    if (kept.length !== this.selected.size) this.selected = new Set(kept);
  }

  #filtered(): Row[] {
    const part = this.filter.trim().toLocaleLowerCase();
    if (!part) return this.rows;
    return this.rows.filter((row) =>
      [row.name ?? row.id, row.device?.model].some((text) => text?.toLocaleLowerCase().includes(part)),
    );
  }

  toggle(id: string): void {
    const row = this.rows.find((candidate) => candidate.id === id);
    if (!row || row.gone) return;
    const next = new Set(this.selected);
    if (!next.delete(id)) next.add(id);
    this.selected = next;
  }

  selectAll(): void {
    // The devices of a label that may be of several are there already.
    const all = this.shown
      .filter((row) => !row.gone && row.device?.doneAt == null && !row.label?.inRange)
      .map((row) => row.id);
    const every = all.length > 0 && all.every((id) => this.selected.has(id));
    this.selected = new Set(every ? [] : all);
  }

  // labels

  readLabel(text: string, device: string | null = null): void {
    const job = this.openJob;
    if (device === null && job?.question?.ask === 'pop' && job.asked !== null) {
      // The person stands at the device that asks: what is scanned now is its answer.
      this.send({ do: 'answer', job: job.id, question: job.asked, reply: { answer: 'label', text } });
      return;
    }
    this.#awaitsLabel = true;
    this.send({ do: 'read-label', text, device });
  }

  readLabels(file: string, text: string): void {
    this.#awaitsLabel = true;
    this.send({ do: 'read-labels', file, text });
  }

  #noteLabels(before: View | null, after: View): void {
    if (!before || !this.#awaitsLabel) return;
    const known = new Map(before.labels.map((label) => [label.id, label.readMs]));
    const fresh = after.labels.filter((label) => known.get(label.id) !== label.readMs);
    const [first] = fresh;
    if (!first) return;
    this.#awaitsLabel = false;
    const ids = fresh.flatMap((label) => {
      const row = this.rows.find((candidate) => !candidate.gone && candidate.id === label.device);
      return row ? [row.id] : [];
    });
    if (ids.length > 0) this.selected = new Set([...this.selected, ...ids]);
    if (fresh.length > 1) {
      this.toast(this.w.labels.readMany(fresh.length));
      return;
    }
    const [id] = ids;
    if (id !== undefined) {
      this.active.nearby = id;
      this.toast(this.w.labels.readSelected(first.name));
    } else if (first.inRange) {
      this.toast(this.w.labels.read(first.name));
    } else {
      this.toast(this.w.labels.readAway(first.name));
    }
  }

  // where the person is

  go(place: Place): void {
    this.place = place;
    this.plan = null;
    this.sheet = false;
    if (place === 'journal' && this.view?.journal === null)
      this.send({ do: 'show-journal', filter: NO_FILTER });
    this.#tellFocus();
  }

  activate(id: string | null): void {
    if (this.active[this.place] === id) return;
    this.active[this.place] = id;
    this.plan = null;
    if (this.place === 'journal' && id) this.send({ do: 'show-job', job: id });
    this.#tellFocus();
  }

  /** Only the focused job carries its whole story. */
  #tellFocus(): void {
    const job = this.openJob?.id ?? null;
    if (job === this.#told) return;
    this.#told = job;
    this.send({ do: 'focus', job });
  }

  /** Opens the third column for the active row and moves the focus to what is needed there first. */
  async open(): Promise<void> {
    const from = document.activeElement;
    if (from instanceof HTMLElement && !inDetail(from)) this.#opener = from;
    this.sheet = true;
    await tick();
    focusDetail();
  }

  /** One level back from where the focus is, or from what is open; the focus returns to where it came from. */
  async back(): Promise<void> {
    const from = document.activeElement;
    const detail = inDetail(from);
    if (this.help) this.help = false;
    else if (this.plan && (detail || !isField(from))) this.#dropPlan();
    else if (this.sheet && (detail || isSheet())) this.sheet = false;
    else if (isField(from)) return this.#leave(from as HTMLInputElement);
    else if (this.logOpen) this.logOpen = false;
    else if (this.filter) this.filter = '';
    else if (this.selected.size > 0) this.selected = new Set();
    await tick();
    this.returnFocus();
  }

  /** A filter is emptied first, and left then. */
  async #leave(field: HTMLInputElement): Promise<void> {
    if (field.closest('[data-filter]') && field.value) this.filter = '';
    else await this.toList();
  }

  #dropPlan(): void {
    this.plan = null;
    this.sheet = this.#planFromDetail;
  }

  /** To the list, or to the page where there is none. */
  async toList(): Promise<void> {
    await tick();
    const row = document.querySelector<HTMLElement>('[role="option"][tabindex="0"]');
    (row ?? document.getElementById('list'))?.focus();
  }

  returnFocus(): void {
    const at = document.activeElement;
    if (at !== document.body && !inDetail(at)) return;
    if (this.sheet) focusDetail();
    else if (this.#opener?.isConnected) this.#opener.focus();
    else void this.toList();
  }

  /** What a new view takes away would take the focus with it, and the keyboard would be at the start of the page. */
  async #keepFocus(held: Element | null): Promise<void> {
    if (held === null || held === document.body) return;
    await tick();
    // A list that lost its row moves on to the next one by itself.
    await tick();
    if (!held.isConnected) this.returnFocus();
  }

  showJob(job: JobView): void {
    const place = this.work(job.state);
    this.place = place;
    this.plan = null;
    this.active[place] = job.id;
    this.#tellFocus();
    void this.open();
  }

  work(state: JobState): Place {
    if (state === 'done') return 'done';
    return NEEDS_PERSON.includes(state) ? 'attention' : 'work';
  }

  async compose(devices: Plan['devices'], purpose: Purpose = 'new', typed = false): Promise<void> {
    if (devices.length === 0) {
      this.toast(this.w.commission.needSelection);
      return;
    }
    this.plan = { devices, purpose, typed };
    this.#planFromDetail = inDetail(document.activeElement);
    await this.open();
  }

  composeSelected(): void {
    const rows = this.rows.filter((row) => this.selected.has(row.id));
    const chosen = rows.length > 0 ? rows : this.openRow && this.place === 'nearby' ? [this.openRow] : [];
    const there = chosen.filter((row) => !row.gone).map(planned);
    // Only there is a third column to ask in.
    if (there.length > 0 && this.place !== 'nearby') this.go('nearby');
    void this.compose(there);
  }

  commissioned(): void {
    this.plan = null;
    this.sheet = false;
    this.selected = new Set();
    this.go('work');
    void this.toList();
  }

  // small things

  set(patch: Partial<Settings>): void {
    if (this.view) this.send({ do: 'settings', settings: { ...this.view.settings, ...patch } });
  }

  toast(text: string, failed = false): void {
    const toast = { number: ++this.#counter, text, failed };
    this.toasts = [...this.toasts.slice(-2), toast];
    if (failed) this.alarm = text;
    else this.polite = text;
    setTimeout(() => {
      this.toasts = this.toasts.filter((other) => other !== toast);
    }, TOAST_MS);
  }

  async copy(text: string): Promise<void> {
    try {
      await navigator.clipboard.writeText(text);
      this.toast(this.w.app.copied);
    } catch {
      this.toast(this.w.app.copyFailed, true);
    }
  }

  #languageOfSystem(): string {
    return this.#system;
  }

  #jobsIn(states: readonly JobState[]): JobView[] {
    return this.view?.jobs.filter((job) => states.includes(job.state)) ?? [];
  }

  #job(id: string | null): JobView | null {
    return this.view?.jobs.find((job) => job.id === id) ?? null;
  }
}

function inDetail(element: Element | null): boolean {
  return element?.closest('[data-detail]') != null;
}

/** Whether the third column lies over the list instead of beside it. */
function isSheet(): boolean {
  const close = document.querySelector('[data-detail] > .close');
  return close !== null && getComputedStyle(close).display !== 'none';
}

function focusDetail(): void {
  const detail = document.querySelector<HTMLElement>('[data-detail]');
  (detail?.querySelector<HTMLElement>('[data-first]') ?? detail)?.focus();
}

export function planned(row: Row): Plan['devices'][number] {
  const name = row.name ?? row.id;
  if (row.device)
    return { choice: { nearby: row.device.peripheral }, name, labelled: row.device.label !== 'missing' };
  return row.label
    ? { choice: { labelled: row.label.id }, name, labelled: row.label.pop }
    : { choice: { named: name }, name, labelled: false };
}

const KEY = Symbol('window');

export function provideWindow(state: WindowState): void {
  setContext(KEY, state);
}

export function useWindow(): WindowState {
  return getContext<WindowState>(KEY);
}
