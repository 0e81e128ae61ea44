/** Whole journeys of a person at the window, through the real engine, radio stack and cloud. */
import { expect, test as base, type Page } from '@playwright/test';
import AxeBuilder from '@axe-core/playwright';
import { PASSPHRASE, World } from './world';

const test = base.extend<{ world: (scenario: string) => Promise<World> }>({
  // eslint-disable-next-line no-empty-pattern -- Playwright reads the names of what a fixture needs here
  world: async ({}, use) => {
    const worlds: World[] = [];
    await use(async (scenario) => {
      const world = await World.open(scenario);
      worlds.push(world);
      return world;
    });
    for (const world of worlds) world.close();
  },
});

async function signIn(page: Page, world: World) {
  await world.show(page);
  await page.getByRole('button', { name: 'Sign in with the browser' }).click();
  await expect(page.getByRole('button', { name: 'Anna Installer' })).toBeVisible();
}

async function readLabels(page: Page, world: World) {
  await page.locator('input[type=file]').setInputFiles({
    name: 'today.json',
    mimeType: 'application/json',
    buffer: Buffer.from(JSON.stringify(world.labels)),
  });
  await expect(page.getByText('Ready', { exact: true })).toHaveCount(world.labels.length);
}

async function commissionAll(page: Page, world: World, passphrase: string) {
  await readLabels(page, world);
  // A device whose label was read is selected by that.
  await expect(page.getByRole('button', { name: 'Select none' })).toBeVisible();
  await page.getByRole('button', { name: /^Commission \d+ devices?$/ }).click();
  await page.getByLabel('Passphrase', { exact: true }).fill(passphrase);
  await page.keyboard.press('Enter');
}

async function go(page: Page, place: 'Nearby' | 'In work' | 'Attention' | 'Done') {
  await page
    .getByRole('navigation')
    .getByRole('button', { name: new RegExp(`^${place}`) })
    .click();
}

test('one device, by keyboard and hand scanner alone', async ({ page, world }) => {
  const site = await world('[[device]]\nserial = "A"');
  await site.show(page);
  const signIn = page.getByRole('button', { name: 'Sign in with the browser' });
  await expect(signIn).toBeVisible();
  for (let tabs = 0; tabs < 20 && !(await signIn.evaluate((it) => it === document.activeElement)); tabs++) {
    await page.keyboard.press('Tab');
  }
  await page.keyboard.press('Enter');
  await expect(page.getByText('Needs its label')).toBeVisible();

  const [label] = site.labels;
  await page.keyboard.type(JSON.stringify({ ver: 'v1', transport: 'ble', ...label }));
  await page.keyboard.press('Enter');
  await expect(page.getByText('Ready', { exact: true })).toBeVisible();
  await page.keyboard.press('c');
  await expect(page.getByLabel('Passphrase', { exact: true })).toBeFocused();
  await page.keyboard.type(PASSPHRASE, { delay: 60 });
  await page.keyboard.press('Enter');
  await page.keyboard.press('4');
  await expect(page.getByText('Safe to leave: every device has all four proofs.')).toBeVisible();
  expect(await site.shortcomings()).toEqual([]);
  const found = await new AxeBuilder({ page }).analyze();
  expect(found.violations).toEqual([]);
});

test('a batch of twenty, three of them troubled', async ({ page, world }) => {
  const site = await world(`
    [[device]]
    count = 17
    serial = "D{n}"

    [[device]]
    serial = "UNKNOWN"
    unknown = true

    [[device]]
    serial = "OTHERS"
    owner = "other"

    [[device]]
    serial = "FULL"
    buffer = 64
  `);
  await signIn(page, site);
  await commissionAll(page, site, PASSPHRASE);
  await expect(page.getByText('20 of 20')).toBeVisible({ timeout: 60_000 });
  await go(page, 'Done');
  await expect(page.getByRole('heading', { name: /^Done/ })).toContainText('17');
  await go(page, 'Attention');
  await expect(page.getByRole('heading', { name: /^Needs attention/ })).toContainText('3');
});

test('a wrong passphrase is corrected in place', async ({ page, world }) => {
  const site = await world('[[device]]\nserial = "A"\nkeep_link = true');
  await signIn(page, site);
  await commissionAll(page, site, 'mistyped-kettle-41');
  await go(page, 'Attention');
  await page.getByRole('option', { name: /^Needs you/ }).click();
  const field = page.getByLabel(/^Passphrase of/);
  await field.fill(PASSPHRASE);
  await page.keyboard.press('Enter');
  await go(page, 'Done');
  await expect(page.getByText('Safe to leave: every device has all four proofs.')).toBeVisible();
  expect(await site.shortcomings()).toEqual([]);
});

test('a claim that dies on the way is replaced', async ({ page, world }) => {
  const site = await world('[[device]]\nserial = "A"\nkeep_link = true');
  await site.faults('expire_first = 1');
  await signIn(page, site);
  await commissionAll(page, site, PASSPHRASE);
  await go(page, 'Done');
  await expect(page.getByText('Safe to leave: every device has all four proofs.')).toBeVisible();
  expect(await site.shortcomings()).toEqual([]);
});

test('signing out midway settles the device first', async ({ page, world }) => {
  const site = await world('[[device]]\nserial = "A"');
  await site.faults('claim_delay_ms = 2000');
  await signIn(page, site);
  await commissionAll(page, site, PASSPHRASE);
  await expect(page.getByText('0 of 1')).toBeVisible();
  await page.getByRole('button', { name: 'Anna Installer' }).click();
  await page.getByRole('button', { name: 'Sign out' }).click();
  await go(page, 'Nearby');
  await expect(page.getByRole('button', { name: 'Sign in with the browser' })).toBeVisible();
});

test('what a crash left is taken up after a restart', async ({ page, world }) => {
  const site = await world('[[device]]\ncount = 3\nserial = "D{n}"\nkeep_link = true');
  // The cloud keeps the devices waiting, so that the crash finds them in work however slow this machine is.
  await site.faults('enrol_delay_ms = 10000');
  await signIn(page, site);
  await commissionAll(page, site, PASSPHRASE);
  await expect(page.getByText(/^(Joining Wi-Fi|Enrolment)/).first()).toBeVisible();
  await site.restart();
  await site.faults('');
  await site.show(page);
  await expect(page.getByText(/\d devices? (was|were) in progress/)).toBeVisible();
  await page
    .getByRole('button', { name: /^Resume/ })
    .first()
    .click();
  await expect(page.getByText(/\d devices? (was|were) in progress/)).toBeHidden({ timeout: 60_000 });
});
