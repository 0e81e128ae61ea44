/**
 * How smooth the window is with fifty devices that advertise ten times a second.
 *
 * Loads what `npm run build` made into Debian's Chromium behind a scripted door, sends it ten views a second for five
 * seconds at Nearby and five more at In work, and prints JSON: the worse of both places, and each of them. `node
 * bench/run.js` runs it; `FIELDKEY_CHROMIUM` names another browser, `FIELDKEY_PAGES` another build, and
 * `FIELDKEY_SLOWER=4` makes this computer four times slower.
 */
import { chromium, type CDPSession, type Page } from '@playwright/test';
import { preview } from 'vite';
import { fifty } from '../src/fixtures/fifty';

const MEASURED_MS = 5_000;
/** The first views build the page and warm the compiler up. */
const WARM_UP_MS = 2_000;
const VIEW_MS = 100;
const PLACES = { nearby: '1', work: '2' } as const;

interface Figures {
  frames_per_second: number;
  longest_frame_ms: number;
  views_per_second: number;
  /** Tasks over 50 ms, in which the window answers nobody. */
  long_tasks: number;
  /** Of a second, how long the page's own thread worked, in milliseconds. */
  busy_ms_per_second: number;
  script_ms_per_second: number;
  layout_ms_per_second: number;
  elements: number;
}

export async function measure(): Promise<Figures & { places: Record<keyof typeof PLACES, Figures> }> {
  const server = await preview({
    configFile: false,
    logLevel: 'silent',
    build: { outDir: process.env['FIELDKEY_PAGES'] ?? 'dist' },
    preview: { host: '127.0.0.1', port: 0 },
  });
  const browser = await chromium.launch({
    executablePath: process.env['FIELDKEY_CHROMIUM'] ?? '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--no-first-run'],
  });
  try {
    const address = server.resolvedUrls?.local[0];
    if (!address) throw new Error('the pages are not served');
    const page = await browser.newPage({ viewport: { width: 1280, height: 800 } });
    await page.addInitScript(door, { views: views(), everyMs: VIEW_MS });
    await page.goto(address);
    await page.locator('[role="option"]').first().waitFor();
    const session = await page.context().newCDPSession(page);
    await session.send('Performance.enable');
    const slower = Number(process.env['FIELDKEY_SLOWER'] ?? 1);
    if (slower > 1) await session.send('Emulation.setCPUThrottlingRate', { rate: slower });
    const nearby = await at(page, session, PLACES.nearby);
    const work = await at(page, session, PLACES.work);
    return { ...worse(nearby, work), places: { nearby, work } };
  } finally {
    await browser.close();
    await server.close();
  }
}

/** As text, and long before they are needed: making them is no work of the window's. */
function views(): string[] {
  const all = 2 * (MEASURED_MS + WARM_UP_MS) * 1.5;
  return Array.from({ length: all / VIEW_MS }, (_, n) => JSON.stringify(fifty(n * VIEW_MS)));
}

/** Runs in the page: what Tauri would be there, sending a view at every turn. */
function door({ views, everyMs }: { views: string[]; everyMs: number }) {
  const calls = new Map<number, (event: unknown) => void>();
  let listener = 0;
  let next = 0;
  const view = () => JSON.parse(views[next++ % views.length] ?? 'null') as unknown;
  Object.assign(window, {
    sent: () => next,
    __TAURI_INTERNALS__: {
      transformCallback(call: (event: unknown) => void) {
        calls.set(calls.size + 1, call);
        return calls.size;
      },
      invoke(command: string, words: { event?: string; handler?: number }) {
        if (command === 'plugin:event|listen' && words.event === 'view') listener = words.handler ?? 0;
        return Promise.resolve(command === 'view' ? view() : 0);
      },
    },
  });
  setInterval(() => calls.get(listener)?.({ event: 'view', id: 1, payload: view() }), everyMs);
}

async function at(page: Page, session: CDPSession, key: string): Promise<Figures> {
  await page.keyboard.press(key);
  await page.waitForTimeout(WARM_UP_MS);
  // With the focus in the list every row would keep its place, and none would have to move.
  await page.evaluate(() => (document.activeElement as HTMLElement | null)?.blur());
  const before = await metrics(session);
  const seen = await page.evaluate(watch, MEASURED_MS);
  const after = await metrics(session);
  const seconds = seen.ms / 1000;
  const spent = (name: string) => ((after[name] ?? 0) - (before[name] ?? 0)) * 1000;
  return {
    frames_per_second: round(seen.frames / seconds),
    longest_frame_ms: round(seen.longest),
    views_per_second: round(seen.views / seconds),
    long_tasks: seen.longTasks,
    busy_ms_per_second: round(spent('TaskDuration') / seconds),
    script_ms_per_second: round(spent('ScriptDuration') / seconds),
    layout_ms_per_second: round((spent('LayoutDuration') + spent('RecalcStyleDuration')) / seconds),
    elements: await page.locator('*').count(),
  };
}

/** Runs in the page. */
async function watch(forMs: number) {
  const sent = (window as unknown as { sent: () => number }).sent;
  let longTasks = 0;
  const observer = new PerformanceObserver((list) => (longTasks += list.getEntries().length));
  observer.observe({ type: 'longtask' });
  const views = sent();
  const frame = () => new Promise<number>((shown) => requestAnimationFrame(shown));
  const began = await frame();
  let [last, frames, longest] = [began, 0, 0];
  while (last - began < forMs) {
    const now = await frame();
    frames += 1;
    longest = Math.max(longest, now - last);
    last = now;
  }
  observer.disconnect();
  return { ms: last - began, frames, longest, longTasks, views: sent() - views };
}

async function metrics(session: CDPSession): Promise<Record<string, number>> {
  const { metrics } = await session.send('Performance.getMetrics');
  return Object.fromEntries(metrics.map(({ name, value }) => [name, value]));
}

function worse(a: Figures, b: Figures): Figures {
  return {
    ...(Object.fromEntries(
      (Object.keys(a) as (keyof Figures)[]).map((key) => [
        key,
        key === 'frames_per_second' || key === 'views_per_second'
          ? Math.min(a[key], b[key])
          : Math.max(a[key], b[key]),
      ]),
    ) as unknown as Figures),
  };
}

function round(n: number): number {
  return Math.round(n * 10) / 10;
}
