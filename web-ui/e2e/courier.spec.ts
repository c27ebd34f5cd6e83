import { expect, test, type Page } from '@playwright/test';
import type { LessonPage } from '../src/lib/api/types';
import { look, seeInBothLanguages } from './looking';
import { CARRY_MS_MAX, School } from './schools';

test.describe.configure({ mode: 'serial' });
let lead: School;
let rural: School;
let there: Page;
let here: Page;
let parcel: string;

test.beforeAll(async ({ browser }) => {
  lead = await School.start(browser, '泉州市实验小学');
  rural = await School.start(browser, '青石镇中心小学');
  ({ page: there } = lead);
  ({ page: here } = rural);
  await lead.found('山海联盟');
  await rural.join(lead);
});
test.afterAll(async () => {
  await rural?.stop();
  await lead?.stop();
});

test('what a school lacks is exported for the browser', async () => {
  // While the rural school is off, a lesson is made that it does not have.
  await rural.hub.pause();
  lead.hub.add(lead.hub.slides('水的循环.mkv'), '水的循环');
  await lead.open('/courier');
  await expect(there.getByText('还缺 1 节课')).toBeVisible();
  await seeInBothLanguages(there, 'courier-export');
  await there.getByRole('button', { name: /^导出给/ }).click();
  const file = there.getByRole('link', { name: '下载' });
  await expect(file).toBeVisible({ timeout: CARRY_MS_MAX });
  await seeInBothLanguages(there, 'courier-exported');
  parcel = await lead.download(file);
  expect(parcel).toMatch(/\.yxc$/);
});

test('it is imported at the school, and the lesson can be taught', async () => {
  await lead.hub.pause();
  await rural.hub.resume();
  await rural.open('/courier');
  await here.getByRole('button', { name: /^2 导入/ }).click();
  await seeInBothLanguages(here, 'courier-import');
  await here.locator('input[type=file]').setInputFiles(parcel);
  await expect(here.locator('[data-import=done]')).toContainText('收到 1 节课', {
    timeout: CARRY_MS_MAX,
  });
  await seeInBothLanguages(here, 'courier-imported');
  const { items } = await rural.ask<LessonPage>('lessons');
  expect(items.map((one) => [one.title, one.readiness.state])).toEqual([['水的循环', 'ready']]);
});

test('the same file again is no mistake, and another file is refused in words', async () => {
  await here.getByRole('button', { name: '再导入一个' }).click();
  await here.locator('input[type=file]').setInputFiles(parcel);
  await expect(here.locator('[data-import=done]')).toContainText('本校都已经有了', {
    timeout: CARRY_MS_MAX,
  });
  await here.getByRole('button', { name: '再导入一个' }).click();
  const file = { name: '照片.yxc', mimeType: '', buffer: Buffer.alloc(100_000, 'not a courier') };
  await here.locator('input[type=file]').setInputFiles(file);
  const told = here.locator('[data-import]:not([data-import=running]):not([data-import=queued])');
  await expect(told).toBeVisible({ timeout: CARRY_MS_MAX });
  await look(here, 'courier-refused');
  await expect(told).not.toContainText('收到 1 节课');
});
