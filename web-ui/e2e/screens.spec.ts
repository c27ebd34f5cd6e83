import { expect, test, type Page } from '@playwright/test';
import { expectPlaying, logIn, look, seeInBothLanguages } from './looking';
import { RunningHub } from './serving';

/** Ten seconds of picture on a machine that may be busy with other work. */
const IMPORT_MS_MAX = 600_000;
/** A file of three megabytes takes a quarter of a minute and is surely caught half-way. */
const SLOW_BYTES_PER_S = 200_000;

const ADMIN = { login: 'li.head', password: 'snow-light-9' };
const PUPIL = { login: 'ming', password: '1234' };

test.describe.configure({ mode: 'serial' });
let running: RunningHub;
let page: Page;

test.beforeAll(async ({ browser }) => {
  running = await RunningHub.start();
  page = await (await browser.newContext()).newPage();
});
test.afterAll(async () => running?.stop());

test('an empty hub is set up in the browser', async () => {
  await page.goto(running.url);
  await page.getByRole('heading', { name: '设置本校的萤雪' }).waitFor();
  await seeInBothLanguages(page, 'setup');
  await page.getByLabel('一次性代码').fill('000-00000');
  await page.getByLabel('学校名称').fill('青石镇中心小学');
  await page.getByLabel('您的姓名').fill('李校长');
  await page.getByLabel('登录名').fill(ADMIN.login);
  await page.getByLabel('密码').fill(ADMIN.password);
  await page.getByRole('button', { name: '下一步' }).click();
  await expect(page.getByText('一次性代码不对')).toBeVisible();
  await look(page, 'setup-wrong-code');

  await page.getByLabel('一次性代码').fill(running.code());
  await page.getByRole('button', { name: '下一步' }).click();
  await page.getByRole('heading', { name: '加入或发起联盟' }).waitFor();
  await seeInBothLanguages(page, 'setup-alliance');
  await page.getByLabel('邀请文字').fill('不是邀请');
  await page.getByRole('button', { name: '加入', exact: true }).click();
  await expect(page.getByText('邀请文字不完整')).toBeVisible();
  await page.getByLabel('联盟名称').fill('青石联盟');
  await page.getByRole('button', { name: '发起联盟' }).click();
  await page.getByRole('heading', { level: 1, name: '课程' }).waitFor();
  await seeInBothLanguages(page, 'library-empty');
});

test('a text file that calls itself a video is refused in words', async () => {
  await page.goto(`${running.url}/upload`);
  await page.getByRole('button', { name: '选择文件' }).waitFor();
  await seeInBothLanguages(page, 'upload-empty');
  const buffer = Buffer.from('教学计划：第一周，分数。\n'.repeat(50));
  const file = { name: '教学计划.mp4', mimeType: 'video/mp4', buffer };
  await page.locator('input[type=file]').setInputFiles(file);
  await expect(page.getByLabel('课题')).toHaveValue('教学计划');
  await look(page, 'upload-about');
  await page.getByRole('button', { name: '开始上传' }).click();
  const failed = page.locator('[data-job=failed]');
  await expect(failed).toContainText('这不是视频或音频文件', { timeout: IMPORT_MS_MAX });
  await seeInBothLanguages(page, 'upload-refused');
});

test('an upload that is cut off goes on where it was, and plays', async () => {
  const file = running.lesson('水的循环.mp4', 10);
  page.on('dialog', (dialog) => void dialog.accept());
  await page.goto(`${running.url}/upload`);
  await page.locator('input[type=file]').setInputFiles(file);
  const network = await page.context().newCDPSession(page);
  const slow = { offline: false, latency: 0, downloadThroughput: -1 };
  const emulate = (uploadThroughput: number) =>
    network.send('Network.emulateNetworkConditions', { ...slow, uploadThroughput });
  await emulate(SLOW_BYTES_PER_S);
  await page.getByRole('button', { name: '开始上传' }).click();
  const meter = page.locator('section').getByRole('progressbar').first();
  const part = () => meter.getAttribute('aria-valuenow').then(Number);
  await expect.poll(part).toBeGreaterThan(5);
  await look(page, 'upload-sending');
  await expect.poll(part, { intervals: [50] }).toBeGreaterThan(60);
  await page.reload();
  await emulate(-1);
  await expect(page.getByRole('heading', { name: '没传完的文件' })).toBeVisible();
  await seeInBothLanguages(page, 'upload-unfinished');

  await page.locator('input[type=file]').setInputFiles(file);
  const resumed = page.waitForRequest((request) => request.method() === 'PATCH');
  await page.getByRole('button', { name: '开始上传' }).click();
  expect(Number((await resumed).headers()['upload-offset'])).toBeGreaterThan(0);
  // The finer picture is a job of its own, which may be done as well by then.
  await expect(page.locator('[data-job=done]').first()).toBeVisible({ timeout: IMPORT_MS_MAX });
  await seeInBothLanguages(page, 'upload-done');
  await page.getByRole('link', { name: '打开课程' }).first().click();
  await page.getByRole('button', { name: '播放', exact: true }).first().click();
  await expectPlaying(page);
  await seeInBothLanguages(page, 'lesson-own');
});

test('the other screens of an administrator', async () => {
  await page.goto(`${running.url}/users`);
  await addUser('小明', PUPIL, '学生');
  for (const path of ['users', 'contacts', 'alliance', 'nowhere']) {
    await page.goto(`${running.url}/${path}`);
    await page.locator('main h1, main h2').first().waitFor();
    await seeInBothLanguages(page, `alone-${path}`);
  }
});

test('a pupil watches, and sees nothing that is not for pupils', async () => {
  await page.locator('.account > summary').click();
  await page.getByRole('button', { name: '退出登录' }).click();
  await logIn(page, PUPIL);
  await page.locator('.account').waitFor();
  await page.goto(running.url);
  await page.locator('.lesson').first().waitFor();
  await seeInBothLanguages(page, 'pupil-library');
  const menu = page.getByRole('navigation');
  await expect(menu.getByRole('link')).toHaveText(['今日', '课程']);
  await page.getByRole('link', { name: /水的循环/ }).click();
  await page.getByRole('heading', { name: '评论' }).waitFor();
  await expect(page.getByLabel('写评论')).toHaveCount(0);
  await expect(page.getByRole('button', { name: '删除' })).toHaveCount(0);
  await seeInBothLanguages(page, 'pupil-lesson');
  for (const path of ['upload', 'users', 'contacts', 'courier', 'timetable/import']) {
    await page.goto(`${running.url}/${path}`);
    await expect(page.getByText('您的身份不能做这件事')).toBeVisible();
  }
  await seeInBothLanguages(page, 'pupil-not-allowed');
});

async function addUser(name: string, who: typeof PUPIL, role: string) {
  await page.getByRole('button', { name: '添加用户' }).click();
  const form = page.getByRole('dialog');
  await form.getByLabel('姓名').fill(name);
  await form.getByLabel('登录名').fill(who.login);
  await form.getByLabel('身份').selectOption({ label: role });
  await form.getByLabel('密码').fill(who.password);
  await look(page, 'users-add');
  await form.getByRole('button', { name: '添加用户' }).click();
  await expect(form).toHaveCount(0);
}
