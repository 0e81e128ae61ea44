/** Every screen of the window in every state worth looking at, as a view and the way to it. */
import type { Page } from '@playwright/test';
import type { QuestionView } from '../src/backend/contract/QuestionView';
import type { View } from '../src/backend/contract/View';
import { fifty } from '../src/fixtures/fifty';
import { SCENES } from '../src/fixtures/scenes';
import { device, failed, failure, job, progress, SEEN, SIGN_INS, view } from '../src/fixtures/views';

export interface Shot {
  view: View;
  way?: (page: Page) => Promise<void>;
}

/** Fingers are slower than a hand scanner, and the window tells them apart by that. */
const PRESS_MS = 80;

function keys(...names: string[]) {
  return async (page: Page) => {
    for (const name of names) {
      await page.keyboard.press(name);
      await page.waitForTimeout(PRESS_MS);
    }
  };
}

/** To the sheet with its second network, with another, or with what each device sees, in any language. */
function network(which: 1 | 2 | 3) {
  return async (page: Page) => {
    await keys('ArrowDown', 'Space', 'c')(page);
    await page.getByRole('radio').nth(which).check();
  };
}

function asked(question: QuestionView): Shot {
  const jobs = [job('PROV_01B1E8', 'networking', 'attention', { question }), job('PROV_9A44F0', 'joining')];
  return { view: view({ jobs, progress: progress(jobs, 95_000), busy: true }), way: keys('3', 'Enter') };
}

function ended(code: Parameters<typeof failure>[0], state: 'failed' | 'unknown'): Shot {
  const jobs = [failed('PROV_44AA10', 'joining', failure(code), state)];
  return { view: view({ jobs, progress: progress(jobs) }), way: keys('3', 'Enter') };
}

function scene(name: string, ...way: string[]): Shot {
  const shown = SCENES[name];
  if (!shown) throw new Error(`no scene ${name}`);
  return { view: shown, way: keys(...way) };
}

function signingIn(at: number): Shot {
  const signIn = SIGN_INS[at];
  if (!signIn) throw new Error(`no sign-in ${at}`);
  return { view: view({ signIn }) };
}

const NEARBY = SCENES['nearby'] ?? view();

export const SHOTS: Record<string, Shot> = {
  'start-first': scene('first'),
  'start-signed-out': scene('signed-out'),
  'start-refused': signingIn(3),
  'start-restoring': signingIn(1),
  'start-browser': signingIn(5),
  'start-code': scene('code'),
  'nearby-none': scene('empty'),
  'nearby-off': scene('off'),
  'nearby-five': { view: view({ nearby: NEARBY.nearby.slice(0, 5) }) },
  'nearby-ten': scene('nearby', 'ArrowDown', 'Space', 'ArrowDown', 'ArrowDown', 'Space'),
  'nearby-fifty': { view: { ...fifty(0), jobs: [], progress: progress([]) } },
  'nearby-device': scene('nearby', 'ArrowDown', 'Enter'),
  'nearby-namesake': {
    view: view({ nearby: NEARBY.nearby.filter(({ namesake }) => namesake), labels: NEARBY.labels }),
    way: keys('ArrowDown', 'Enter'),
  },
  'nearby-filter-none': {
    view: NEARBY,
    way: async (page) => {
      await keys('/')(page);
      await page.keyboard.type('nothing', { delay: PRESS_MS });
    },
  },
  'commission-remembered': scene('nearby', 'ArrowDown', 'Space', 'ArrowDown', 'Space', 'c'),
  'commission-asked': { view: NEARBY, way: network(1) },
  'commission-other': { view: NEARBY, way: network(2) },
  'commission-at-device': { view: NEARBY, way: network(3) },
  'commission-form': {
    view: {
      ...NEARBY,
      cloud: {
        ...NEARBY.cloud,
        remarks: 2,
        form: [
          { name: 'Zone', required: true, usual: null, rule: 'attribute', pattern: '[A-Za-z0-9\\-]{1,800}' },
          { name: 'Floor', required: false, usual: '0', rule: 'line', pattern: '.{1,800}' },
          { name: 'Batch', required: false, usual: null, rule: 'line', pattern: '.{1,800}' },
        ],
      },
    },
    way: keys('ArrowDown', 'Space', 'c', 'Enter'),
  },
  'commission-by-itself': {
    view: {
      ...NEARBY,
      rights: { commission: 'granted', transfer: 'not-from-here' },
      cloud: { ...NEARBY.cloud, way: 'first-connection' },
    },
    way: keys('ArrowDown', 'Space', 'c'),
  },
  'commission-barred': scene('trouble', 'ArrowDown', 'Space', 'c'),
  'work-few': scene('work', '2', 'Enter'),
  'work-fifty': scene('batch', '2'),
  'work-stop-all': {
    view: SCENES['batch'] ?? view(),
    way: async (page) => {
      await keys('2')(page);
      await page.getByRole('main').getByRole('region').getByRole('button').click();
    },
  },
  'attention-all': scene('work', '3'),
  'attention-pop': asked({ ask: 'pop', triesLeft: 2, failure: failure('wrong-pop') }),
  'attention-passphrase': asked({
    ask: 'passphrase',
    network: 'plant-iot',
    failure: failure('passphrase-refused'),
  }),
  'attention-network': asked({ ask: 'network', seen: SEEN }),
  'attention-no-network': asked({ ask: 'network', seen: [] }),
  'attention-doubt': asked({ ask: 'network-doubt', failure: failure('network-weak') }),
  'attention-failed': ended('unknown-device', 'failed'),
  'attention-unknown': ended('link-lost', 'unknown'),
  'attention-unfinished': scene('trouble', '3'),
  done: scene('done', '4', 'Enter'),
  'done-not-yet': scene('batch', '4'),
  journal: scene('journal', '5', 'Enter'),
  'journal-none': {
    view: view({
      journal: {
        filter: { text: 'x', outcome: null, person: null, site: null, since: null, until: null },
        jobs: [],
        all: 214,
        people: [],
        sites: [],
        verified: null,
      },
    }),
    way: keys('5'),
  },
  settings: scene('settings', '6'),
  trouble: scene('trouble'),
  quit: { view: { ...(SCENES['batch'] ?? view()), quit: 'asked' } },
  ending: { view: { ...(SCENES['batch'] ?? view()), quit: 'ending' } },
  keys: scene('nearby', '?'),
  log: {
    view: NEARBY,
    way: async (page) => {
      await keys('g')(page);
    },
  },
  'nothing-heard': {
    view: view({ nearby: [device('PROV_F01122', { fading: true })], labels: NEARBY.labels }),
  },
};

/** Opens the pages on a door that shows this one view and takes every request. */
export async function show(page: Page, shot: Shot, settings: Partial<View['settings']>): Promise<void> {
  const shown = { ...shot.view, settings: { ...shot.view.settings, ...settings } };
  await page.routeWebSocket(/^ws:\/\/127\.0\.0\.1:9\//, (door) => door.send(JSON.stringify(shown)));
  await page.goto(`/?bridge=${encodeURIComponent('ws://127.0.0.1:9/')}`);
  await page.getByRole('banner').waitFor();
  await shot.way?.(page);
}
