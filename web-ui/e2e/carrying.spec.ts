import { expect, test } from '@playwright/test';
import type { CourierFor } from '../src/lib/api/night';
import type { LessonPage } from '../src/lib/api/types';
import { expectAccessible, look, seeInBothLanguages } from './looking';
import { CARRY_MS_MAX, School } from './schools';

/** A report goes out within a minute. */
const REPORT_MS_MAX = 150_000;
const HOUR_MS = 3_600_000;
const VILLAGE = '青石镇中心小学';

test.describe.configure({ mode: 'serial' });
let lead: School;
let village: School;
let parcel: string;

test.beforeAll(async ({ browser }) => {
  lead = await School.start(browser, '泉州市实验小学');
  village = await School.start(browser, VILLAGE);
  await lead.found('山海联盟');
  await village.join(lead);
  // It hears of lessons, and fetches none of them: the line is too slow for that.
  await village.post('night/pause', { until: Date.now() + 12 * HOUR_MS });
  lead.hub.add(lead.hub.slides('水的循环.mkv'), '水的循环');
  lead.hub.add(lead.hub.sound('古诗.m4a', 20), '古诗二首');
  const known = () => village.ask<LessonPage>('lessons').then((page) => page.items.length);
  await expect.poll(known).toBe(2);
  await village.teachEachDay();
  const lists = () => lead.ask<CourierFor[]>('night/courier_list');
  await expect.poll(async () => (await lists())[0]?.lessons.length, { timeout: REPORT_MS_MAX })
    .toBe(2);
});
test.afterAll(async () => {
  await village?.stop();
  await lead?.stop();
});

test('what a school needs for its timetable is listed, chosen and downloaded', async () => {
  await village.hub.pause();
  const { page } = lead;
  await lead.open('/courier');
  const list = page.locator('[data-carry]');
  await expect(list).toContainText(VILLAGE);
  await expect(list).toContainText('现在能上 0 节，带去后能上 2 节');
  await seeInBothLanguages(page, 'carry');
  await list.getByLabel('古诗二首').uncheck();
  await expect(list).toContainText('带去后能上 1 节');
  await expect(page.getByRole('button', { name: /^就带这 1 节课/ })).toBeVisible();
  await look(page, 'carry-one');
  await list.getByLabel('水的循环').uncheck();
  await expect(page.getByRole('button', { name: '请至少选一节课' })).toBeDisabled();
  await list.getByLabel(VILLAGE).check();
  await page.getByRole('button', { name: /^就带这 2 节课/ }).click();
  const file = page.getByRole('link', { name: '下载' });
  await expect(file).toBeVisible({ timeout: CARRY_MS_MAX });
  await expect(page.locator('[data-export=done]')).toContainText('已写好 2 节课');
  await seeInBothLanguages(page, 'carry-written');
  parcel = await lead.download(file);
});

test('it is imported at the school, and the next day is ready', async () => {
  await lead.hub.pause();
  await village.hub.resume();
  const { page } = village;
  await village.open('/tonight');
  await expect(page.locator('[data-entry=not_ready]')).toHaveCount(2);
  await look(page, 'carry-tonight-before');
  await page.getByRole('button', { name: '查看原因' }).click();
  const reasons = page.locator('[data-plan] [data-why]');
  await expect(reasons.first()).toHaveText('已暂停。');
  await page.getByRole('button', { name: '继续', exact: true }).click();
  await expect(page.locator('[data-plan] li')).not.toHaveCount(0);
  await expect(reasons.first()).not.toHaveText('已暂停。');
  for (const words of await reasons.allTextContents()) {
    expect(words).toMatch(/^[\p{Script=Han}：；，、]+。$/u);
  }
  await seeInBothLanguages(page, 'carry-tonight-why');
  await village.open('/courier');
  await page.getByRole('button', { name: /^2 导入/ }).click();
  await page.locator('input[type=file]').setInputFiles(parcel);
  await expect(page.locator('[data-import=done]')).toContainText('收到 2 节课', {
    timeout: CARRY_MS_MAX,
  });
  await seeInBothLanguages(page, 'carry-imported');
  await page.locator('main').getByRole('link', { name: '今晚' }).click();
  await expect(page.locator('[data-entry=ready]')).toHaveCount(2);
  await expectAccessible(page, 'carry-tonight-after');
  await look(page, 'carry-tonight-after');
});

test('the receipt comes back with what the school sends, and the list is empty', async () => {
  const { page } = village;
  await village.open('/courier');
  await expect(page.locator('[data-export]')).toHaveCount(0);
  await page.getByLabel('泉州市实验小学').check();
  await look(page, 'carry-back');
  await page.getByRole('button', { name: /^导出给/ }).click();
  const file = page.getByRole('link', { name: '下载' });
  await expect(file).toBeVisible({ timeout: CARRY_MS_MAX });
  await seeInBothLanguages(page, 'carry-answer');
  const answer = await village.download(file);
  await village.hub.pause();
  await lead.hub.resume();
  await lead.open('/courier');
  await lead.page.getByRole('button', { name: /^2 导入/ }).click();
  await lead.page.locator('input[type=file]').setInputFiles(answer);
  await expect(lead.page.locator('[data-import=done]')).toBeVisible({ timeout: CARRY_MS_MAX });
  await look(lead.page, 'carry-receipt-imported');
  await lead.page.getByRole('button', { name: /^1 导出/ }).click();
  await lead.page.getByRole('button', { name: '再导出一次' }).click();
  await expect(lead.page.getByText(/上次回执：/)).toBeVisible();
  await expect(lead.page.locator('[data-carry]')).toHaveCount(0);
  await seeInBothLanguages(lead.page, 'carry-receipt');
});
