import { expect, test } from '@playwright/test';
import type { Alliance } from '../src/lib/api/types';
import { look, seeInBothLanguages } from './looking';
import { CARRY_MS_MAX, HEAD, School } from './schools';

const VILLAGE = '云顶村教学点';

test.describe.configure({ mode: 'serial' });
let lead: School;
let village: School;
let invitation: string;
let answer: string;
let parcel: string;

test.beforeAll(async ({ browser }) => {
  lead = await School.start(browser, '泉州市实验小学');
  await lead.found('山海联盟');
  lead.hub.add(lead.hub.sound('古诗.m4a', 20), '古诗二首');
  invitation = await lead.invite();
  village = await School.empty(browser);
  // No network: only one of the two is ever on.
  await lead.hub.pause();
});
test.afterAll(async () => {
  await village?.stop();
  await lead?.stop();
});

test('a school that begins without a network writes its answer to an invitation', async () => {
  const { page } = village;
  await village.open('/');
  await page.getByLabel('一次性代码').fill(village.hub.code());
  await page.getByLabel('学校名称').fill(VILLAGE);
  await page.getByLabel('您的姓名').fill(HEAD.name);
  await page.getByLabel('登录名').fill(HEAD.login);
  await page.getByLabel('密码').fill(HEAD.password);
  await page.getByRole('button', { name: '下一步' }).click();
  await page.getByRole('button', { name: /用 U 盘加入/ }).click();
  await seeInBothLanguages(page, 'stick-join-open');
  const write = page.getByRole('button', { name: '制作答复文件' });
  await page.getByRole('textbox', { name: '邀请文字' }).fill('山海联盟的邀请');
  await write.click();
  await expect(page.getByRole('alert')).toBeVisible();
  await look(page, 'stick-join-wrong');
  await page.getByRole('textbox', { name: '邀请文字' }).fill(invitation);
  await write.click();
  const file = page.getByRole('link', { name: /下载答复/ });
  await expect(file).toBeVisible();
  await seeInBothLanguages(page, 'stick-join-answer');
  answer = await village.download(file);
});

test('the answer is imported at the lead school, which writes for the new member', async () => {
  await village.hub.pause();
  await lead.hub.resume();
  const { page } = lead;
  await lead.open('/courier');
  await page.getByRole('button', { name: /^2 导入/ }).click();
  await page.locator('input[type=file]').setInputFiles(answer);
  const done = page.locator('[data-import=done]');
  await expect(done).toContainText(`${VILLAGE}已加入联盟`, { timeout: CARRY_MS_MAX });
  await seeInBothLanguages(page, 'stick-join-admitted');
  await page.getByRole('button', { name: `为${VILLAGE}导出` }).click();
  await expect(page.getByLabel(VILLAGE)).toBeChecked();
  await look(page, 'stick-join-export');
  await page.getByRole('button', { name: /^导出给/ }).click();
  const file = page.getByRole('link', { name: '下载' });
  await expect(file).toBeVisible({ timeout: CARRY_MS_MAX });
  parcel = await lead.download(file);
});

test('what came back makes the village a member, with a lesson', async () => {
  await lead.hub.pause();
  await village.hub.resume();
  const { page } = village;
  await village.open('/');
  // Who lost the file takes it again.
  await expect(page.getByRole('link', { name: /下载答复/ })).toBeVisible();
  // Another file than the one that was asked for is refused in words, and nothing is lost.
  await page.locator('input[type=file]').setInputFiles(answer);
  await expect(page.locator('[data-import=failed], [data-import=done]')).toBeVisible({
    timeout: CARRY_MS_MAX,
  });
  await look(page, 'stick-join-own-answer');
  await page.getByRole('button', { name: '再导入一个' }).click();
  await page.locator('input[type=file]').setInputFiles(parcel);
  await expect(page.getByText('本校已加入“山海联盟”')).toBeVisible({ timeout: CARRY_MS_MAX });
  await seeInBothLanguages(page, 'stick-join-joined');
  await page.getByRole('button', { name: '开始使用' }).click();
  await expect(page.getByText('古诗二首').first()).toBeVisible();
  await look(page, 'stick-join-member');
  const { name, members } = await village.ask<Alliance>('alliance');
  expect([name, members.length]).toEqual(['山海联盟', 2]);
  await village.open('/alliance');
  await expect(page.getByText(VILLAGE).last()).toBeVisible();
});
