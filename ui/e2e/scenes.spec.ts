/** Every screen, in both themes, as a browser draws it: nothing axe finds, nothing cut off. No engine is behind it. */
import { expect, test } from '@playwright/test';
import AxeBuilder from '@axe-core/playwright';
import { show, SHOTS } from './shots';

for (const [name, shot] of Object.entries(SHOTS)) {
  for (const theme of ['light', 'dark'] as const) {
    test(`${name} is accessible in ${theme}`, async ({ page }) => {
      await show(page, shot, { theme });
      const { violations } = await new AxeBuilder({ page }).analyze();
      expect(violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html).join(' ')}`)).toEqual(
        [],
      );
    });
  }
}

// 1280 at 200 %, the smallest window, and the one it opens with.
for (const [width, height] of [
  [640, 400],
  [900, 600],
  [1280, 800],
] as const) {
  test(`nothing is wider than a window of ${width} by ${height}`, async ({ page }) => {
    test.slow();
    await page.setViewportSize({ width, height });
    for (const [name, shot] of Object.entries(SHOTS)) {
      await show(page, shot, { language: 'de' });
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      expect(wide, name).toBeLessThanOrEqual(0);
    }
  });
}
