import { expect, test, type Page } from '@playwright/test';
import { look, logIn, seeInBothLanguages } from './looking';
import { HEAD, School } from './schools';
import type { RunningHub } from './serving';

/** A few small pictures and seconds of sound, on a machine that may be busy with other work. */
const IMPORT_MS_MAX = 600_000;

const SRT = '1\n00:00:00,500 --> 00:00:02,000\n光合作用\n';

test.describe.configure({ mode: 'serial' });
let school: School;
let running: RunningHub;
let page: Page;

test.beforeAll(async ({ browser }) => {
  school = await School.alone(browser);
  ({ hub: running, page } = school);
});
test.afterAll(async () => school?.stop());

test('pictures and a sound become one lesson in the order that the teacher set', async () => {
  const files = [
    running.picture('板书10.png', 'white'),
    running.picture('板书2.png', 'gray'),
    running.picture('板书1.png', 'black'),
  ];
  await open();
  await page.locator('input[type=file]').setInputFiles(files);
  const record = page.getByRole('button', { name: '为课件配录音' });
  await seeInBothLanguages(page, 'upload-pages');
  // A phone's recorder answers, or the file chooser of a computer.
  const [chooser] = await Promise.all([page.waitForEvent('filechooser'), record.click()]);
  await chooser.setFiles(running.sound('讲解.m4a', 6));
  await expect(record).toHaveCount(0);
  const chosen = page.locator('[data-chosen] li b');
  await expect(chosen).toHaveText(['板书1.png', '板书2.png', '板书10.png', '讲解.m4a']);
  await page.getByRole('button', { name: '把“板书10.png”往前移' }).click();
  await page.getByRole('button', { name: '把“板书10.png”往前移' }).click();
  await expect(chosen).toHaveText(['板书10.png', '板书1.png', '板书2.png', '讲解.m4a']);
  await page.getByLabel('课题').fill('叶子');
  await seeInBothLanguages(page, 'upload-together');
  await page.getByRole('button', { name: '开始上传' }).click();
  await expect(page.locator('[data-job=done]')).toHaveCount(1, { timeout: IMPORT_MS_MAX });
  await page.getByRole('link', { name: '打开课程' }).first().click();
  await page.getByRole('heading', { level: 1, name: '叶子' }).waitFor();
  const levels = await Promise.all([0, 1, 2].map(brightness));
  expect(levels[0]).toBeGreaterThan(220);
  expect(levels[1]).toBeLessThan(40);
  expect(levels[2]).toBeGreaterThan(90);
  expect(levels[2]).toBeLessThan(170);
});

test('the teacher sets when the pages appear, and adds subtitles', async () => {
  await page.getByRole('button', { name: '设定翻页时间' }).click();
  const times = page.locator('[data-page-times]');
  await times.getByText('第 1 页，共 3 页').waitFor();
  await seeInBothLanguages(page, 'lesson-page-times');
  await times.locator('audio').evaluate(async (element) => {
    const audio = element as HTMLAudioElement;
    const found = new Promise((done) => audio.addEventListener('seeked', done, { once: true }));
    audio.currentTime = 2;
    await found;
  });
  await times.getByRole('button', { name: '下一页' }).click();
  await expect(times.getByText('第 2 页，共 3 页')).toBeVisible();
  await times.getByRole('button', { name: '保存' }).click();
  await expect(times.getByText('翻页时间已保存')).toBeVisible();
  const lesson = new URL(page.url()).pathname.split('/').pop() ?? '';
  const timeline = await page.request.get(`${running.url}/api/v1/lessons/${lesson}/timeline`);
  const slides = ((await timeline.json()) as { slides: { at_ms: number }[] }).slides;
  expect(slides[1]?.at_ms).toBe(2_000);
  // The third page shares the rest.
  expect(slides[2]?.at_ms).toBeGreaterThan(3_500);

  await page.getByText('详细情况').click();
  const buffer = Buffer.from(SRT);
  const file = { name: '叶子.srt', mimeType: 'application/x-subrip', buffer };
  await page.locator('[data-captions]').setInputFiles(file);
  await expect(page.getByRole('button', { name: '去掉字幕' })).toHaveCount(1);
  await seeInBothLanguages(page, 'lesson-captions');
  await page.getByRole('button', { name: '去掉字幕' }).click();
  await expect(page.getByRole('button', { name: '去掉字幕' })).toHaveCount(0);
});

test('files that make no lesson together are refused before they are sent', async () => {
  await open();
  const video = (name: string) => ({ name, mimeType: 'video/mp4', buffer: Buffer.from(name) });
  await page.locator('input[type=file]').setInputFiles([video('一.mp4'), video('二.mp4')]);
  await expect(page.getByText('一课只能有一个视频或一段录音')).toBeVisible();
  await expect(page.getByRole('button', { name: '开始上传' })).toBeDisabled();
  await seeInBothLanguages(page, 'upload-two-videos');
  await page.getByRole('button', { name: '分成 2 课上传' }).click();
  const failed = page.locator('[data-job=failed]');
  await expect(failed).toHaveCount(2, { timeout: IMPORT_MS_MAX });
});

test('what is finished of a lesson stays when the rest is cancelled', async () => {
  const file = running.moving('实验.mp4', 5);
  await open();
  await page.locator('input[type=file]').setInputFiles(file);
  await page.getByRole('button', { name: '开始上传' }).click();
  const second = page.locator('[data-job=running]', { hasText: '实验（清晰画面）' });
  await second.waitFor({ timeout: IMPORT_MS_MAX });
  await second.getByRole('button', { name: '取消' }).click();
  const cancelled = page.locator('[data-job=cancelled]');
  await expect(cancelled).toContainText('这节课保留已经做好的部分');
  await seeInBothLanguages(page, 'upload-rest-cancelled');
  await cancelled.getByRole('link', { name: '打开课程' }).click();
  const rest = page.locator('[data-rest]');
  await expect(rest).toContainText('已取消其余画质的制作');
  await look(page, 'lesson-rest-cancelled');
  await rest.getByRole('button', { name: '继续制作' }).click();
  await expect(rest).toHaveCount(0);
});

async function open() {
  await page.goto(`${running.url}/upload`);
  const login = page.getByLabel('登录名');
  await login.or(page.getByRole('button', { name: '选择文件' })).first().waitFor();
  if (await login.isVisible()) await logIn(page, HEAD);
  await page.getByRole('button', { name: '选择文件' }).waitFor();
}

/** The mean brightness of one slide of the lesson that is open. */
async function brightness(n: number): Promise<number> {
  return page.evaluate(async (slide) => {
    const lesson = location.pathname.split('/').pop();
    const answer = await fetch(`/media/${lesson}/slides/${slide}.jpg`);
    const picture = await createImageBitmap(await answer.blob());
    const canvas = new OffscreenCanvas(1, 1);
    const context = canvas.getContext('2d');
    context?.drawImage(picture, 0, 0, 1, 1);
    return context?.getImageData(0, 0, 1, 1).data[0] ?? -1;
  }, n);
}
