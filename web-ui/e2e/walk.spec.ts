import { expect, test, type Page } from '@playwright/test';
import { RunningDemo } from './demo';
import {
  chooseLanguage,
  expectAccessible,
  expectPlaying,
  logIn,
  look,
  played,
} from './looking';

/** A lesson of a minute or two, encoded on this machine and sent over loopback. */
const ARRIVE_MS_MAX = 6 * 60_000;
/** A restored link is dialled again within seconds; comments follow at once. */
const MEET_MS_MAX = 90_000;

let running: RunningDemo;

test.beforeAll(async () => {
  running = await RunningDemo.start();
});
test.afterAll(async () => running?.stop());

test('a lesson crosses from school to school and lives through a cut', async ({ browser }) => {
  // Each school has a browser of its own, as each has a teacher of its own.
  const rural = await (await browser.newContext()).newPage();
  const lead = await (await browser.newContext()).newPage();

  await test.step('log in at a rural school and see the lesson arrive', async () => {
    await setLink(rural, false);
    await look(rural, 'demo-cut');
    await rural.goto(running.rural);
    await rural.waitForURL('**/today');
    await rural.getByRole('link', { name: '登录' }).click();
    await rural.getByRole('heading', { name: '登录' }).waitFor();
    await expectAccessible(rural, 'login');
    await look(rural, 'login');
    await logIn(rural, running.login('teacher'));
    await rural.getByRole('heading', { level: 1, name: '课程' }).waitFor();
    await expect(rural.locator('[data-readiness=ready]')).toHaveCount(0);
    await look(rural, 'library-before');
    await watchArrival(rural);
    await setLinkElsewhere(rural, true);
    await expect(rural.locator('.lesson').first()).toBeVisible({ timeout: ARRIVE_MS_MAX });
    const ready = rural.locator('.lesson [data-readiness=ready]').first();
    await expect(ready).toBeVisible({ timeout: ARRIVE_MS_MAX });
    const seen = await rural.evaluate(() => (window as unknown as { seen: string[] }).seen);
    expect(seen.join(' | '), 'the meter on the way').toMatch(/已收到 \S+ \S+，共 \S+ \S+/);
    await expectAccessible(rural, 'library');
    await look(rural, 'library');
  });

  await test.step('play it, seek, change the tier', async () => {
    await rural.locator('.lesson').first().click();
    await rural.getByRole('button', { name: '播放', exact: true }).first().click();
    await expectPlaying(rural);
    await rural.getByLabel('播放位置').fill('30');
    await expect.poll(async () => (await played(rural)).at).toBeGreaterThanOrEqual(30);
    await expectPlaying(rural);
    const tiers = [['t1', true], ['t0', false], ['source', true]] as const;
    for (const [tier, hasPictures] of tiers) {
      await rural.getByTestId('tier').selectOption(tier);
      await expect(rural.locator('.player')).toHaveAttribute('data-tier', tier);
      await expectPlaying(rural, hasPictures);
      if (tier === 't1') expect((await played(rural)).height).toBe(360);
    }
    await rural.getByText('详细情况').click();
    await expectAccessible(rural, 'lesson');
    await look(rural, 'lesson');
  });

  await test.step('change the language without a break', async () => {
    const before = await played(rural);
    await chooseLanguage(rural, 'English');
    const menu = rural.getByRole('navigation');
    await expect(menu.getByRole('link', { name: 'Lessons' })).toBeVisible();
    expect((await played(rural)).at).toBeGreaterThanOrEqual(before.at);
    await expectPlaying(rural);
    await look(rural, 'lesson-en');
    await chooseLanguage(rural, '中文');
  });

  const [there, here] = ['折纸这一步，可以多给孩子们两分钟。', '分数墙很直观，孩子们都看懂了。'];
  await test.step('cut the link, go on watching, write at both schools', async () => {
    await setLinkElsewhere(rural, false);
    await expectContacts(rural, false);
    await rural.getByLabel('播放位置').fill('5');
    await expectPlaying(rural);
    await comment(rural, here);
    await lead.goto(running.lead + new URL(rural.url()).pathname);
    await logIn(lead, running.login('teacher'));
    await comment(lead, there);
    await expect(rural.getByText(there)).toHaveCount(0);
    await expect(lead.getByText(here)).toHaveCount(0);
    await expect(rural.locator('[data-waiting-hubs]').first()).toBeVisible();
  });

  await test.step('restore the link and see both comments at both schools', async () => {
    await setLinkElsewhere(rural, true);
    await expect(rural.getByText(there)).toBeVisible({ timeout: MEET_MS_MAX });
    await expect(lead.getByText(here)).toBeVisible({ timeout: MEET_MS_MAX });
    await expect(rural.getByText(here)).toBeVisible();
    await expect(lead.getByText(there)).toBeVisible();
    await expectContacts(rural, true);
    await look(rural, 'lesson-comments');
  });
});

test('every screen stands in both sizes and both languages', async ({ browser }) => {
  const page = await (await browser.newContext()).newPage();
  await page.goto(`${running.lead}/login`);
  await logIn(page, running.login('admin'));
  await page.getByRole('heading', { level: 1, name: '课程' }).waitFor();
  for (const [language, suffix] of [['中文', ''], ['English', '-en']] as const) {
    await chooseLanguage(page, language);
    for (const path of ['upload', 'contacts', 'alliance', 'users', 'demo', 'nowhere']) {
      await page.goto(`${running.lead}/${path}`);
      await page.locator('main h1, main h2').first().waitFor();
      if (path === 'alliance') {
        await page.locator('form .button.main').click();
        await page.getByTestId('invitation').waitFor();
      }
      await expectAccessible(page, path + suffix);
      await look(page, path + suffix);
    }
  }
});

test('a pupil sees no more than a pupil may', async ({ browser }) => {
  const page = await (await browser.newContext()).newPage();
  await page.goto(`${running.rural}/users`);
  await logIn(page, running.login('pupil'));
  await page.waitForURL('**/users');
  await expect(page.getByRole('button', { name: '添加用户' })).toHaveCount(0);
  await expect(page.getByRole('navigation').getByRole('link', { name: '上传' })).toHaveCount(0);
});

/** Moves the switch on the demo page, in this tab. */
async function setLink(page: Page, isOnline: boolean) {
  await page.goto(`${running.rural}/demo`);
  await page.getByRole('button', { name: isOnline ? '恢复连接' : '断开连接' }).click();
  await expect(page.locator(`[data-link=${isOnline ? 'online' : 'cut'}]`)).toBeVisible();
}

/** The same in another tab, so that the lesson goes on in this one. */
async function setLinkElsewhere(page: Page, isOnline: boolean) {
  const other = await page.context().newPage();
  await setLink(other, isOnline);
  await other.close();
}

/** The contacts page, in another tab, says how things stand; cut off, no school is connected. */
async function expectContacts(page: Page, isOnline: boolean) {
  const other = await page.context().newPage();
  await other.goto(`${running.rural}/contacts`);
  await expect(other.locator(`[data-online=${isOnline}]`)).toBeVisible();
  const connected = other.locator('[data-contact=connected]');
  if (isOnline) await expect(connected.first()).toBeVisible({ timeout: MEET_MS_MAX });
  else await expect(connected).toHaveCount(0);
  await expectAccessible(other, 'contacts');
  await look(other, isOnline ? 'contacts-met' : 'contacts-cut');
  await other.close();
}

/** Writes down every state that the lights and meters of the library go through. */
async function watchArrival(page: Page) {
  await page.evaluate(() => {
    const seen: string[] = ((window as unknown as { seen: string[] }).seen = []);
    const write = () => {
      const parts = [...document.querySelectorAll('.lesson [data-readiness], [data-arriving] p')];
      const now = parts.map((part) => part.textContent?.trim()).join(' ') || 'no lesson';
      if (seen[seen.length - 1] !== now) seen.push(now);
    };
    write();
    const all = { subtree: true, childList: true, characterData: true };
    new MutationObserver(write).observe(document.body, all);
  });
}

async function comment(page: Page, text: string) {
  await page.getByLabel('写评论').fill(text);
  await page.getByRole('button', { name: '发送' }).click();
  await expect(page.locator('.comment:not([data-waiting])', { hasText: text })).toBeVisible();
}
