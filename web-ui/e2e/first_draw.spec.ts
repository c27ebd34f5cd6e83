import { expect, test, type Page } from '@playwright/test';
import { logIn } from './looking';
import { HEAD, School } from './schools';
import type { RunningHub } from './serving';

/** Longer than a page needs to draw itself. */
const SLOW_MS = 1_500;

/** Counts what somebody could write into or choose a file with, as often as it is drawn. */
const COUNT = () => {
  const counted = globalThis as unknown as { drawn: number };
  counted.drawn = 0;
  const selector = 'input[type=file], input[type=search], textarea';
  new MutationObserver((changes) => {
    for (const node of changes.flatMap((change) => [...change.addedNodes])) {
      if (!(node instanceof Element)) continue;
      counted.drawn += Number(node.matches(selector)) + node.querySelectorAll(selector).length;
    }
  }).observe(document, { childList: true, subtree: true });
};

test.describe.configure({ mode: 'serial' });
let school: School;
let running: RunningHub;
let page: Page;

test.beforeAll(async ({ browser }) => {
  school = await School.alone(browser);
  ({ hub: running, page } = school);
  await page.addInitScript(COUNT);
});
test.afterAll(async () => school?.stop());

const drawn = (of: Page) =>
  of.evaluate(() => (globalThis as unknown as { drawn: number }).drawn);

for (const [path, field] of [
  ['/upload', 'input[type=file]'],
  ['/timetable/import', 'input[type=file]'],
  ['/', 'input[type=search]'],
] as const) {
  test(`${path} is drawn once, however late it is known who looks`, async () => {
    await page.route('**/api/v1/state', async (route) => {
      await new Promise((done) => setTimeout(done, SLOW_MS));
      await route.continue();
    });
    await page.goto(running.url + path);
    const input = page.locator(field);
    // The first that somebody can touch is the one that stays.
    await input.waitFor({ state: 'attached' });
    await input.evaluate((element) => element.setAttribute('data-first', ''));
    await page.getByRole('navigation', { name: '主菜单' }).waitFor();
    await page.waitForLoadState('networkidle');
    await expect(page.locator(`${field}[data-first]`)).toHaveCount(1);
    expect(await drawn(page)).toBe(1);
    await page.unroute('**/api/v1/state');
  });
}

test('a page that asks for a login first is drawn once after it', async ({ browser }) => {
  const visitor = await (await browser.newContext()).newPage();
  await visitor.addInitScript(COUNT);
  await visitor.goto(`${running.url}/upload`);
  await logIn(visitor, HEAD);
  await visitor.locator('input[type=file]').waitFor({ state: 'attached' });
  await visitor.waitForLoadState('networkidle');
  expect(await drawn(visitor)).toBe(1);
  await visitor.context().close();
});

test('what is written stays when the hub restarts in between', async () => {
  await page.goto(running.url);
  await page.getByRole('searchbox').fill('光合作用');
  await running.pause();
  await expect(page.getByText('暂时连不上')).toBeVisible();
  await running.resume();
  await expect(page.getByText('暂时连不上')).toHaveCount(0);
  await expect(page.getByRole('searchbox')).toHaveValue('光合作用');
  expect(await drawn(page)).toBe(1);
});
