import { getByLabelText, queryByLabelText, screen } from '@testing-library/svelte';
import { describe, expect, it } from 'vitest';
import type { QuestionView } from '../backend/contract/QuestionView';
import type { RightView } from '../backend/contract/RightView';
import { expectAccessible, frame, open, openAt, press, type, row, rows } from '../fixtures/harness';
import { SCENES } from '../fixtures/scenes';
import { device, failure, job, network, SEEN, view } from '../fixtures/views';
import { LANGUAGES } from '../words';

const QUESTIONS: QuestionView[] = [
  { ask: 'pop', triesLeft: 2, failure: failure('wrong-pop') },
  { ask: 'passphrase', network: 'plant-iot', failure: failure('passphrase-refused') },
  { ask: 'network', seen: SEEN },
  { ask: 'network', seen: [] },
  { ask: 'network-doubt', failure: failure('network-weak') },
];

describe.each(QUESTIONS.map((question) => [question.ask, question] as const))(
  'the question %s',
  (_, question) => {
    it('is asked in place and accessible', async () => {
      await openAt(view({ jobs: [job('A', 'networking', 'attention', { question })] }), '3');
      await expectAccessible();
      await press('Enter');
      expect(document.activeElement?.closest('form')).not.toBeNull();
    });
  },
);

describe('a doubt about the network', () => {
  const question: QuestionView = { ask: 'network-doubt', failure: failure('network-not-seen') };

  it('can be overridden', async () => {
    const app = await openAt(view({ jobs: [job('A', 'networking', 'attention', { question })] }), '3');
    await press('Enter');
    await press('Enter');
    expect(app.last('answer')?.reply).toEqual({ answer: 'go-on' });
  });

  it('can be answered with another network, by the bytes of its name', async () => {
    const app = await openAt(view({ jobs: [job('A', 'networking', 'attention', { question })] }), '3');
    screen.getByRole('button', { name: 'Choose another network' }).click();
    await frame();
    screen.getByLabelText('Name of the network').focus();
    await type('Büro');
    screen.getByLabelText('It hides its name').click();
    screen.getByRole('button', { name: 'Use this network' }).click();
    expect(app.last('answer')?.reply).toEqual({
      answer: 'network',
      ssidHex: '42c3bc726f',
      passphrase: null,
      hidden: true,
    });
  });
});

describe.each<RightView>(['granted', 'signed-out', 'unknown', 'lacking', 'template-off', 'not-from-here'])(
  'the right %s',
  (right) => {
    it('is explained where it bars the way', async () => {
      const app = await open(view({ nearby: [device('A')], rights: { commission: right, transfer: right } }));
      row().focus();
      await press(' ');
      await expectAccessible();
      const button = screen.getByRole('button', { name: 'Commission 1 device' });
      expect(button.getAttribute('aria-disabled')).toBe(right === 'granted' ? null : 'true');
      if (right !== 'granted')
        expect(screen.getAllByText(LANGUAGES.en.rights[right]).length).toBeGreaterThan(0);
      await press('c');
      await frame();
      await expectAccessible();
      await press('Enter');
      expect(app.last('commission') !== undefined).toBe(right === 'granted');
    });
  },
);

describe('the list of devices', () => {
  it('is explained by cause when it is empty', async () => {
    const app = await open(view());
    expect(screen.getByText(LANGUAGES.en.empty.reach)).toBeTruthy();
    const off = { listening: false, trouble: failure('adapter-off'), paused: false, adapters: [] };
    await app.show(view({ bluetooth: off }));
    expect(screen.getAllByText('Bluetooth is off.').length).toBeGreaterThan(0);
    await app.show(view({ bluetooth: { ...off, trouble: null } }));
    screen.getByRole('button', { name: 'Listen for devices' }).click();
    expect(app.last('listen')).toEqual({ do: 'listen', on: true });
  });
});

describe('rows', () => {
  const names = () => rows().map((line) => line.querySelector('.name')?.textContent?.trim());

  it('keep their place while the focus is in the list', async () => {
    const app = await open(view({ nearby: [device('A', { signal: -50 }), device('B', { signal: -70 })] }));
    rows()[1]?.focus();
    await frame();
    const turned = view({ nearby: [device('A', { signal: -90 }), device('B', { signal: -40 })] });
    await app.show(turned);
    expect(names()).toEqual(['A', 'B']);
    screen.getByRole('searchbox').focus();
    await frame();
    expect(names()).toEqual(['B', 'A']);
  });

  it('show what was filtered for, and say so when nothing matches', async () => {
    await open(view({ nearby: [device('PROV_1'), device('Gate 4')] }));
    await press('/');
    const filter = document.activeElement as HTMLInputElement;
    expect(filter.type).toBe('search');
    filter.value = 'gate';
    filter.dispatchEvent(new Event('input', { bubbles: true }));
    await frame();
    expect(names()).toEqual(['Gate 4']);
    filter.value = 'nothing';
    filter.dispatchEvent(new Event('input', { bubbles: true }));
    await frame();
    expect(screen.getByText(LANGUAGES.en.nearby.blank)).toBeTruthy();
  });
});

describe('what the journal or the label tells of a device', () => {
  const met = { model: 'Meter X2', firmware: '2.4.1', scheme: 'security 2 patch 1' };
  const around = view({
    nearby: [device('A', met), device('B', { scheme: 'security 0', unencrypted: true }), device('C')],
  });

  it('stands beside its name and in its details', async () => {
    await openAt(around, '1');
    expect(rows()[0]?.textContent).toContain('Meter X2');
    await press('Enter');
    const detail = document.querySelector('[data-detail]')?.textContent;
    expect(detail).toContain('Security 2 patch 1');
    expect(detail).toContain('2.4.1');
  });

  it('is a warning where it does not encrypt, and nothing is made up where nothing is known', async () => {
    await openAt(around, '1');
    expect(rows()[1]?.textContent).toContain('Unencrypted');
    expect(rows()[2]?.textContent).not.toContain('Unencrypted');
    await press('End');
    await press('Enter');
    expect(document.querySelector('[data-detail]')?.textContent).toContain('told once linked');
  });

  it('can be filtered for by the model', async () => {
    await openAt(around, '1');
    await press('/');
    await type('meter');
    await frame();
    expect(rows().map((one) => one.textContent)).toHaveLength(1);
    expect(row().textContent).toContain('A');
  });
});

describe('unfinished jobs of an earlier run', () => {
  const OWN = { of: 'own' } as const;

  it('of another organisation are named and cannot be taken up until its profile is chosen', async () => {
    const left = { serial: null, at: 1, applied: true, done: false, superseded: false };
    const app = await open(
      view({
        unfinished: [
          { ...left, job: 'u1', name: 'A', whose: OWN },
          {
            ...left,
            job: 'u2',
            name: 'B',
            whose: { of: 'other', profile: 'Harbour Works', issuer: 'https://id.example' },
          },
          {
            ...left,
            job: 'u3',
            name: 'C',
            whose: { of: 'other', profile: null, issuer: 'https://id.example' },
          },
        ],
      }),
    );
    expect(screen.getByText('belongs to Harbour Works', { exact: false })).toBeTruthy();
    expect(
      screen.getByText('(https://id.example), whose profile is not imported here', { exact: false }),
    ).toBeTruthy();
    expect(screen.getByRole('button', { name: 'Resume 1 device' })).toBeTruthy();
    expect(screen.queryByRole('button', { name: 'Resume B' })).toBeNull();
    expect(screen.queryByRole('button', { name: 'Undo C' })).toBeNull();
    screen.getByRole('button', { name: 'Choose Harbour Works' }).click();
    expect(app.sent.at(-1)).toEqual({ do: 'choose-profile', name: 'Harbour Works' });
  });

  it('of which nothing says whose they are are asked about and not taken up by guess', async () => {
    const left = { serial: null, at: 1, applied: true, done: false, superseded: false };
    const state = view({ unfinished: [{ ...left, job: 'u1', name: 'A', whose: { of: 'unknown' } }] });
    const app = await open(state);
    expect(screen.queryByRole('button', { name: 'Resume 1 device' })).toBeNull();
    screen.getByRole('button', { name: `It belongs to ${state.profile?.name}: A` }).click();
    expect(app.sent.at(-1)).toEqual({ do: 'adopt', job: 'u1' });
  });

  it('can be resumed or undone, one or all', async () => {
    const left = { serial: null, at: 1, applied: true, done: false, superseded: false, whose: OWN };
    const app = await open(
      view({
        unfinished: [
          { ...left, job: 'u1', name: 'A' },
          { ...left, job: 'u2', name: 'B' },
        ],
      }),
    );
    screen.getByRole('button', { name: 'Resume 2 devices' }).click();
    expect(app.sent.at(-1)).toEqual({ do: 'resume', job: null });
    screen.getByRole('button', { name: 'Undo 2 devices in the cloud' }).click();
    expect(app.sent.at(-1)).toEqual({ do: 'undo', job: null });
    screen.getByRole('button', { name: 'Undo B' }).click();
    expect(app.sent.at(-1)).toEqual({ do: 'undo', job: 'u2' });
  });

  it('are not said to lack their settings where the device is done', async () => {
    await open(
      view({
        unfinished: [
          {
            serial: null,
            at: 1,
            applied: false,
            done: true,
            superseded: false,
            whose: OWN,
            job: 'u1',
            name: 'A',
          },
        ],
      }),
    );
    expect(screen.getByText(LANGUAGES.en.unfinished.done, { exact: false })).toBeTruthy();
    expect(screen.queryByText(LANGUAGES.en.unfinished.notApplied, { exact: false })).toBeNull();
  });
});

describe('the batch', () => {
  it('says in one line how it stands', async () => {
    await open(SCENES['batch'] ?? view());
    await press('2');
    expect(screen.getByRole('region', { name: 'Progress of all devices' }).textContent).toMatch(
      /31 of 50\s*, about 4 min/,
    );
  });

  it('asks before it stops everything', async () => {
    const app = await open(SCENES['batch'] ?? view());
    await press('2');
    screen.getByRole('button', { name: 'Stop all' }).click();
    await frame();
    expect(app.last('cancel-all')).toBeUndefined();
    screen.getByRole('button', { name: 'Stop all' }).click();
    expect(app.last('cancel-all')).toBeDefined();
  });

  it('is safe to leave only with all four proofs of every device', async () => {
    const done = job('A', 'released', 'done');
    const app = await open(view({ jobs: [done, job('B', 'joining')] }));
    await press('4');
    expect(screen.getByText(LANGUAGES.en.work.notSafe(1))).toBeTruthy();
    await app.show(view({ jobs: [done] }));
    expect(screen.getByText(LANGUAGES.en.work.safe)).toBeTruthy();
  });
});

describe('the journal', () => {
  it('is asked for when it is opened, and filtered by the engine', async () => {
    const app = await open(view());
    await press('5');
    expect(app.last('show-journal')?.filter).toEqual({
      text: '',
      outcome: null,
      person: null,
      site: null,
      since: null,
      until: null,
    });
    await app.show(SCENES['journal'] ?? view());
    const outcome = screen.getByLabelText<HTMLSelectElement>('Outcome');
    outcome.value = 'failed';
    outcome.dispatchEvent(new Event('change', { bubbles: true }));
    expect(app.last('show-journal')?.filter.outcome).toBe('failed');
    pick('Person', 'a.okafor');
    expect(app.last('show-journal')?.filter.person).toBe('a.okafor');
    pick('Site', 'Harbour 8', '[role="search"]');
    expect(app.last('show-journal')?.filter.site).toBe('Harbour 8');
    const day = screen.getByLabelText<HTMLInputElement>('From');
    day.value = '2026-11-26';
    day.dispatchEvent(new Event('change', { bubbles: true }));
    expect(app.last('show-journal')?.filter.since).toBe(new Date(2026, 10, 26).getTime() / 1000);
    rows()[0]?.focus();
    await frame();
    expect(app.last('show-job')).toEqual({ do: 'show-job', job: 'j0' });
  });
});

/** Chooses in the select of this label, within the part of the window that is meant. */
function pick(label: string, value: string, within = 'body') {
  const part = document.querySelector<HTMLElement>(within);
  if (!part) throw new Error(`there is no ${within}`);
  const select = getByLabelText<HTMLSelectElement>(part, label);
  select.value = value;
  select.dispatchEvent(new Event('change', { bubbles: true }));
}

describe('the site', () => {
  const chooser = () => queryByLabelText<HTMLSelectElement>(screen.getByRole('banner'), 'Site');

  it('is chosen in the header where there are several', async () => {
    const app = await open(view());
    await expectAccessible();
    expect(chooser()?.value).toBe('Harbour 7');
    pick('Site', 'Harbour 8', 'header');
    expect(app.last('settings')?.settings).toEqual({ ...view().settings, site: 'Harbour 8' });
    await app.show(view({ site: 'Harbour 8', networks: [network('annex-iot', { proposed: true })] }));
    expect(chooser()?.value).toBe('Harbour 8');
    expect(screen.getByLabelText<HTMLSelectElement>('Network').value).toBe('annex-iot');
  });

  it('is only told where there is one, and the organisation alone where there is none', async () => {
    const app = await open(view({ sites: [{ name: 'Harbour 7', networks: [] }] }));
    expect(chooser()).toBeNull();
    expect(screen.getByRole('banner').textContent).toContain('Harbour 7');
    await app.show(view({ sites: [], site: null }));
    expect(chooser()).toBeNull();
    expect(screen.getByRole('banner').textContent).toContain('Harbour Works');
  });

  it('is asked for, and not guessed, where nobody chose one', async () => {
    await open(view({ site: null, nearby: [device('A')] }));
    await expectAccessible();
    expect(chooser()?.selectedOptions[0]?.textContent).toBe('Choose the site');
    row().focus();
    await press(' ');
    await press('c');
    await frame();
    expect(screen.getByText(LANGUAGES.en.commission.noSite)).toBeTruthy();
    await expectAccessible();
  });

  it('stands where devices are commissioned', async () => {
    await open(view({ nearby: [device('A')] }));
    row().focus();
    await press(' ');
    await press('c');
    await frame();
    expect(screen.getByText('At Harbour 7')).toBeTruthy();
  });

  it('can be chosen in settings, which list what networks each has', async () => {
    const app = await open(view({ sites: [...view().sites, { name: 'Quay', networks: [] }] }));
    await press('6');
    await expectAccessible();
    const part = screen.getByRole('region', { name: 'Sites and networks' });
    expect(part.textContent).toMatch(/Harbour 8\s*annex-iot/);
    expect(part.textContent).toMatch(/Quay\s*no network of the profile/);
    expect(part.textContent).toContain('Networks at Harbour 7');
    pick('Site', 'Harbour 8', 'section[aria-labelledby="networks"]');
    expect(app.last('settings')?.settings.site).toBe('Harbour 8');
  });
});

describe('the parameters of a template', () => {
  const form = [
    {
      name: 'Zone',
      required: true,
      usual: null,
      rule: 'attribute' as const,
      pattern: '[A-Za-z0-9\\-]{1,800}',
    },
    { name: 'Floor', required: false, usual: '0', rule: 'line' as const, pattern: '.{1,800}' },
  ];
  const cloud = { ...view().cloud, form };

  it('are asked for with the network, and what is missing is named before anything is sent', async () => {
    const app = await open(view({ nearby: [device('A')], cloud }));
    row().focus();
    await press(' ');
    await press('c');
    await frame();
    await expectAccessible();
    screen.getByRole('button', { name: 'Commission 1 device now' }).click();
    await frame();
    expect(app.last('commission')).toBeUndefined();
    expect(document.activeElement).toBe(screen.getByLabelText('Zone'));
    expect(screen.getByText(LANGUAGES.en.commission.parameterMissing)).toBeTruthy();
    await expectAccessible();

    const zone = screen.getByLabelText<HTMLInputElement>('Zone');
    const start = async (value: string) => {
      zone.value = value;
      zone.dispatchEvent(new Event('input', { bubbles: true }));
      await frame();
      screen.getByRole('button', { name: 'Commission 1 device now' }).click();
      await frame();
    };
    await start('north hall');
    expect(app.last('commission')).toBeUndefined();
    expect(document.activeElement).toBe(zone);
    expect(screen.getByText(LANGUAGES.en.commission.parameterRules.attribute)).toBeTruthy();
    expect(screen.getByText(LANGUAGES.en.commission.parameterUsual('0'))).toBeTruthy();

    await start(' north ');
    expect(app.last('commission')?.parameters, 'what nobody typed is nobody’s word').toEqual({
      Zone: 'north',
    });
  });

  it('begin with what was given last, which stays away once it is cleared', async () => {
    const given = { Zone: 'north', Floor: '3' };
    const app = await open(view({ nearby: [device('A')], cloud: { ...cloud, given } }));
    row().focus();
    await press(' ');
    await press('c');
    await frame();
    const floor = screen.getByLabelText<HTMLInputElement>('Floor');
    expect(floor.value).toBe('3');
    floor.value = '';
    floor.dispatchEvent(new Event('input', { bubbles: true }));
    await frame();
    screen.getByRole('button', { name: 'Commission 1 device now' }).click();
    expect(app.last('commission')?.parameters).toEqual({ Zone: 'north' });
  });

  it('are said to be none where devices enrol by themselves, and such are not moved from here', async () => {
    const rights = { commission: 'granted', transfer: 'not-from-here' } as const;
    const way = 'shared-claim' as const;
    await open(view({ nearby: [device('A')], rights, cloud: { ...view().cloud, way } }));
    row().focus();
    await press(' ');
    await press('c');
    await frame();
    await expectAccessible();
    expect(screen.getByText(LANGUAGES.en.commission.ways[way])).toBeTruthy();
    expect(screen.getByText(LANGUAGES.en.rights['not-from-here'])).toBeTruthy();
  });

  it('are nobody’s business where there are none', async () => {
    await open(view({ nearby: [device('A')] }));
    row().focus();
    await press(' ');
    await press('c');
    await frame();
    expect(screen.queryByText(LANGUAGES.en.commission.parameters)).toBeNull();
  });
});

describe('a cloud that the office should look at', () => {
  it('says so in the header, and leads to the look at everything', async () => {
    const app = await open(view({ cloud: { ...view().cloud, remarks: 2 } }));
    await expectAccessible();
    screen.getByRole('button', { name: LANGUAGES.en.header.remarks(2) }).click();
    expect(app.last('examine')).toBeTruthy();
  });
});

describe('an open network', () => {
  const networks = [network('yard', { open: true, added: true, proposed: true })];

  it('is joined without anything being typed', async () => {
    const app = await open(view({ nearby: [device('A')], networks }));
    row().focus();
    await press(' ');
    await press('c');
    await frame();
    expect(screen.queryByLabelText('Passphrase')).toBeNull();
    expect(screen.getByText(/open, without a passphrase/)).toBeTruthy();
    screen.getByRole('button', { name: 'Commission 1 device now' }).click();
    expect(app.last('commission')?.network).toEqual({ from: 'site', ssid: 'yard' });
  });

  it('has no passphrase to remember, and is forgotten where a person added it', async () => {
    const app = await open(view({ networks: [...networks, network('guest', { open: true })] }));
    await press('6');
    expect(screen.queryByRole('button', { name: 'Remember: Passphrase of yard' })).toBeNull();
    expect(screen.queryByRole('button', { name: /guest/ })).toBeNull();
    screen.getByRole('button', { name: 'Forget the network yard' }).click();
    expect(app.last('forget-network')).toEqual({ do: 'forget-network', ssid: 'yard' });
  });
});

describe('settings', () => {
  it('are sent whole', async () => {
    const app = await open(view());
    await press('6');
    const theme = screen.getByLabelText<HTMLSelectElement>('Colours');
    theme.value = 'dark';
    theme.dispatchEvent(new Event('change', { bubbles: true }));
    expect(app.last('settings')?.settings).toEqual({ ...view().settings, theme: 'dark' });
  });

  it('turn the window German and dark', async () => {
    const base = view();
    await open(view({ settings: { ...base.settings, language: 'de', theme: 'dark', compact: true } }));
    expect(document.documentElement.lang).toBe('de');
    expect(document.documentElement.dataset['theme']).toBe('dark');
    expect(document.documentElement.dataset['compact']).toBe('true');
    expect(screen.getByRole('button', { name: /Einstellungen/ })).toBeTruthy();
  });
});

describe('notices', () => {
  it('are dismissed by their number', async () => {
    const app = await open(SCENES['trouble'] ?? view());
    screen.getByRole('button', { name: 'Dismiss' }).click();
    expect(app.last('dismiss')).toEqual({ do: 'dismiss', notice: 1 });
  });
});

describe('closing the window with devices in work', () => {
  const jobs = [job('A', 'joining', 'working')];
  const progress = {
    all: 1,
    waiting: 0,
    working: 1,
    attention: 0,
    done: 0,
    failed: 0,
    unknown: 0,
    leftMs: null,
  };

  it('asks first, and stands on going on', async () => {
    const app = await open(view({ jobs, progress, busy: true, quit: 'asked' }));
    await expectAccessible();
    expect(screen.getByRole('alertdialog').textContent).toContain('1 device is in work');
    const chosen = document.activeElement;
    expect(chosen?.textContent).toContain('Go on working');
    (chosen as HTMLElement).click();
    await frame();
    expect(app.last('stay')).toBeDefined();
  });

  it('stops the work only when that is said', async () => {
    const app = await open(view({ jobs, progress, busy: true, quit: 'asked' }));
    screen.getByRole('button', { name: 'Stop the work and close' }).click();
    await frame();
    expect(app.last('quit')).toEqual({ do: 'quit', sure: true });
  });

  it('tells that it ends', async () => {
    await open(view({ jobs, progress, busy: true, quit: 'ending' }));
    expect(screen.getByText(/^Closing/)).toBeDefined();
  });
});

describe('a file that is chosen', () => {
  async function choose(...files: File[]) {
    const input = document.querySelector<HTMLInputElement>('input[type="file"]');
    if (!input) throw new Error('no file can be chosen');
    Object.defineProperty(input, 'files', { value: files, configurable: true });
    input.dispatchEvent(new Event('change', { bubbles: true }));
    await new Promise((resolve) => setTimeout(resolve, 20));
  }

  it('is a profile at the start and in settings, whatever it is called', async () => {
    const app = await open(view({ signIn: { state: 'no-profile' }, profile: null }));
    await choose(new File(['name = "A"'], 'profile.txt'));
    expect(app.last('import-profile')?.text).toBe('name = "A"');
    await app.show(view());
    await press('6');
    await choose(new File(['name = "B"'], 'harbour'));
    expect(app.last('import-profile')?.text).toBe('name = "B"');
  });

  it('is labels in Nearby, one file after the other', async () => {
    const app = await open(view({ nearby: [device('A')] }));
    await choose(new File(['name,pop\nA,x'], 'a.csv'), new File(['[]'], 'b.json'));
    expect(app.sent.filter((request) => request.do === 'read-labels').map(({ file }) => file)).toEqual([
      'a.csv',
      'b.json',
    ]);
  });
});

describe('a profile that changes where secrets go', () => {
  const replacing = {
    name: 'Harbour Works',
    changes: [
      { what: 'cloud' as const, before: 'https://claims.example/', after: 'https://evil.example/' },
      { what: 'allow-unencrypted' as const, before: 'no', after: 'yes' },
    ],
  };

  it('is shown point by point, with what it takes the place of', async () => {
    await open(view({ replacing }));
    const asked = screen.getByRole('alertdialog', { name: 'Replace the profile of Harbour Works?' });
    expect(asked.textContent).toContain('https://claims.example/');
    expect(asked.textContent).toContain('https://evil.example/');
    expect(asked.textContent).toContain('Links without encryption');
  });

  it('is taken only where somebody says so', async () => {
    const app = await open(view({ replacing }));
    screen.getByRole('button', { name: 'Keep what I have' }).click();
    expect(app.last('replace')).toEqual({ do: 'replace', sure: false });
    screen.getByRole('button', { name: 'Replace it' }).click();
    expect(app.last('replace')).toEqual({ do: 'replace', sure: true });
  });

  it('is imported with the signature that was chosen along with it', async () => {
    const app = await open(view({ signIn: { state: 'no-profile' }, profile: null }));
    const input = document.querySelector<HTMLInputElement>('input[type="file"]');
    if (!input) throw new Error('no file can be chosen');
    const files = [new File(['name = "A"'], 'a.toml'), new File(['signed'], 'a.toml.minisig')];
    Object.defineProperty(input, 'files', { value: files, configurable: true });
    input.dispatchEvent(new Event('change', { bubbles: true }));
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(app.last('import-profile')).toEqual({
      do: 'import-profile',
      text: 'name = "A"',
      signature: 'signed',
    });
  });
});
