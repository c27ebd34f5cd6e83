import { join } from 'node:path';
import { expect, test, type Page } from '@playwright/test';
import type { Invitation, LessonPage } from '../src/lib/api/types';
import { look, seeInBothLanguages } from './looking';
import { RunningHub } from './serving';

const WHO = { name: '李校长', login: 'li.head', password: 'snow-light-9' };
/** Half a minute of pictures, on a machine that may be busy. */
const CARRY_MS_MAX = 120_000;

test.describe.configure({ mode: 'serial' });
let lead: RunningHub;
let rural: RunningHub;
let there: Page;
let here: Page;
let parcel: string;

test.beforeAll(async ({ browser }) => {
  lead = await RunningHub.start();
  rural = await RunningHub.start();
  there = await (await browser.newContext()).newPage();
  here = await (await browser.newContext()).newPage();
  await post(there, lead, 'setup', { code: lead.code(), school: '泉州市实验小学', ...WHO });
  await post(there, lead, 'alliance', { name: '山海联盟' });
  const { text } = await post<Invitation>(there, lead, 'alliance/invitations', { valid_hours: 1 });
  await post(here, rural, 'setup', { code: rural.code(), school: '青石镇中心小学', ...WHO });
  await post(here, rural, 'alliance/join', { invitation: text });
});
test.afterAll(async () => {
  await rural?.stop();
  await lead?.stop();
});

test('what a school lacks is exported for the browser', async () => {
  // While the rural school is off, a lesson is made that it does not have.
  await rural.pause();
  lead.add(lead.slides('水的循环.mkv'), '水的循环');
  await there.goto(`${lead.url}/courier`);
  await expect(there.getByText('还缺 1 节课')).toBeVisible();
  await seeInBothLanguages(there, 'courier-export');
  await there.getByLabel('插在我的电脑上').first().check();
  await there.getByRole('button', { name: /^导出给/ }).click();
  const file = there.getByRole('link', { name: '下载' });
  await expect(file).toBeVisible({ timeout: CARRY_MS_MAX });
  await seeInBothLanguages(there, 'courier-exported');
  const arriving = there.waitForEvent('download');
  await file.click();
  const download = await arriving;
  expect(download.suggestedFilename()).toMatch(/\.yxc$/);
  parcel = join(lead.folder, download.suggestedFilename());
  await download.saveAs(parcel);
});

test('it is imported at the school, and the lesson can be taught', async () => {
  await lead.pause();
  await rural.resume();
  await here.goto(`${rural.url}/courier`);
  await here.getByRole('button', { name: /^2 导入/ }).click();
  await seeInBothLanguages(here, 'courier-import');
  await here.locator('input[type=file]').setInputFiles(parcel);
  await expect(here.locator('[data-import=done]')).toContainText('收到 1 节课', {
    timeout: CARRY_MS_MAX,
  });
  await seeInBothLanguages(here, 'courier-imported');
  const { items } = await ask<LessonPage>(here, rural, 'lessons');
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

async function post<Answer>(page: Page, hub: RunningHub, path: string, data: object) {
  const answer = await page.request.post(`${hub.url}/api/v1/${path}`, { data });
  expect(answer.ok(), path).toBe(true);
  return (await answer.json()) as Answer;
}

async function ask<Answer>(page: Page, hub: RunningHub, path: string): Promise<Answer> {
  return (await (await page.request.get(`${hub.url}/api/v1/${path}`)).json()) as Answer;
}
