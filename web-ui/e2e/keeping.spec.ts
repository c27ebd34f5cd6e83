import { expect, test } from '@playwright/test';
import type { LessonDetail, LessonPage } from '../src/lib/api/types';
import { logIn, look, seeInBothLanguages } from './looking';
import { HEAD, School } from './schools';

/** What the hub may not take of the disk: more than any has. */
const FULL = '[uploads]\ndisk_reserve_bytes = 9000000000000000\n';

test.describe.configure({ mode: 'serial' });
let school: School;
let lesson: LessonDetail;

test.beforeAll(async ({ browser }) => {
  school = await School.alone(browser);
  school.hub.add(school.hub.sound('古诗.m4a', 20), '古诗二首');
  const { items } = await school.ask<LessonPage>('lessons');
  lesson = await school.ask<LessonDetail>(`lessons/${items[0]?.id}`);
  await school.teachEachDay();
});
test.afterAll(async () => school?.stop());

test('a bit that rots after the last reading is green on no slip and no page', async () => {
  const { page } = school;
  await school.open('/tonight');
  await expect(page.locator('[data-readiness=ready]')).toHaveCount(1);
  await expect(page.locator('.lit').first()).toContainText('核对');
  await seeInBothLanguages(page, 'fresh-tonight');
  const slip = page.getByRole('link', { name: '早间就绪单' });
  const address = new URL((await slip.getAttribute('href')) ?? '', school.hub.url).href;
  await page.goto(address);
  await expect(page.locator('tr.s0')).toContainText('✔ 已就绪');
  await look(page, 'fresh-slip');
  for (const { blob_id } of lesson.tracks) school.hub.rot(blob_id);
  // Who has just looked is shown what was just read; after that it is read again.
  await expect(async () => {
    await page.goto(address);
    await expect(page.locator('tr.s2')).toContainText('✘ 未就绪', { timeout: 1_000 });
  }).toPass({ timeout: 90_000 });
  await look(page, 'fresh-slip-rotten');
  await school.open('/today');
  await expect(page.locator('[data-readiness=not_ready]').first()).toBeVisible();
  await school.open('/tonight');
  await expect(page.locator('[data-readiness=not_ready]')).toContainText('内容损坏');
  await look(page, 'fresh-tonight-rotten');
});

test('the keeper sees when the database was copied, and copies it now', async () => {
  const { page } = school;
  await school.open('/hub');
  const copies = page.locator('[data-copies]');
  await expect(copies).toContainText('最近一份核对过的副本');
  await seeInBothLanguages(page, 'keeping');
  await page.getByText('回到某一份副本').click();
  await expect(copies.locator('.code')).toHaveCount(1);
  await page.getByRole('button', { name: '现在复制一份' }).click();
  await expect(copies.locator('.code')).toHaveCount(2);
  await seeInBothLanguages(page, 'keeping-copies');
});

test('after a repair it is said what was done, until somebody has understood it', async () => {
  const { page } = school;
  await school.hub.zeroDatabase();
  await school.open('/hub');
  // Logins that do not read whole are not taken over: one that was ended must not come back.
  await expect(page.locator('[data-ended]')).toContainText('所有人都要重新登录一次');
  await seeInBothLanguages(page, 'login-after-repair');
  await logIn(page, HEAD);
  const repaired = page.locator('[data-repaired=open]');
  await expect(repaired).toContainText('数据库损坏');
  await expect(repaired).toContainText('damaged/');
  await expect(page.locator('[data-copies=ok]')).toBeVisible();
  await seeInBothLanguages(page, 'keeping-repaired');
  await page.getByRole('button', { name: '知道了' }).click();
  await expect(page.locator('[data-repaired=understood]')).toBeVisible();
  await page.reload();
  await expect(page.locator('[data-repaired=understood]')).toBeVisible();
  await look(page, 'keeping-understood');
});

test('a copy for which there is no room is said with what to do', async ({ browser }) => {
  const full = await School.start(browser, '云顶村教学点', FULL);
  try {
    await full.open('/hub');
    await expect(full.page.locator('[data-copies=bad]')).toContainText('磁盘满了');
    await seeInBothLanguages(full.page, 'keeping-full');
  } finally {
    await full.stop();
  }
});
