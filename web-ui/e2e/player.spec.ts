import { expect, test, type Page } from '@playwright/test';
import type { LessonDetail, LessonPage } from '../src/lib/api/types';
import { expectPlaying, look, played, seeInBothLanguages } from './looking';
import { School } from './schools';
import type { RunningHub } from './serving';


test.describe.configure({ mode: 'serial' });
let school: School;
let running: RunningHub;
let page: Page;
let lesson: LessonDetail;

test.beforeAll(async ({ browser }) => {
  school = await School.alone(browser);
  ({ hub: running, page } = school);
  running.add(running.slides('水的循环.mkv'), '水的循环');
  const { items } = await school.ask<LessonPage>('lessons');
  lesson = await school.ask<LessonDetail>(`lessons/${items[0]?.id}`);
});
test.afterAll(async () => school?.stop());
test.beforeEach(async () => {
  await page.goto(`${running.url}/lessons/${lesson.id}`);
  await page.getByTestId('tier').selectOption('t0');
  await expect(page.locator('.player')).toHaveAttribute('data-tier', 't0');
});

test('slides are shown in step with the sound', async () => {
  await seek(0);
  await page.getByRole('button', { name: '播放', exact: true }).first().click();
  await expectPlaying(page, false);
  await expectSlide(0);
  await seek(14);
  await expectSlide(1);
  await expectPlaying(page, false);
  await page.keyboard.press('PageDown');
  await expectSlide(2);
  expect((await played(page)).at).toBeGreaterThanOrEqual(23.9);
  await page.keyboard.press('PageUp');
  await expectSlide(1);
  await page.getByRole('button', { name: '下一页' }).click();
  await expectSlide(2);
});

test('a remote turns pages whatever was chosen last', async () => {
  await seek(0);
  await expectSlide(0);
  const speed = page.getByLabel('速度');
  await speed.focus();
  await page.keyboard.press('PageDown');
  await expectSlide(1);
  await expect(speed, 'who chooses by keys goes on choosing').toBeFocused();
  await expect(speed).toHaveValue('1');
  // A hand on a screen: what it opens is the system's own list, which is chosen from here.
  await speed.dispatchEvent('pointerdown', { pointerType: 'touch' });
  await speed.selectOption('1.25');
  await expect(speed).not.toBeFocused();
  await page.keyboard.press('PageDown');
  await expectSlide(2);
  await page.keyboard.press('b');
  await expect(page.getByText('黑屏中')).toBeVisible();
  await page.keyboard.press('b');
  await expect(speed).toHaveValue('1.25');
});

test('a slide is zoomed into, and the remote makes the screen black', async () => {
  await seek(2);
  await expectSlide(0);
  const width = () => page.locator('.sheet').evaluate((sheet) => sheet.clientWidth);
  const before = await width();
  await page.keyboard.press('+');
  await expect.poll(width).toBeGreaterThan(before * 1.4);
  await page.keyboard.press('-');
  await expect.poll(width).toBe(before);
  await page.keyboard.press('b');
  await expect(page.getByText('黑屏中')).toBeVisible();
  await page.keyboard.press('b');
  await expect(page.getByText('黑屏中')).toHaveCount(0);
});

test('captions are chosen by language, and remembered', async () => {
  await seek(2);
  const captions = page.getByTestId('captions');
  await captions.selectOption('1');
  await expect(page.locator('[data-cue]')).toHaveText('水的循环');
  await captions.selectOption('2');
  await expect(page.locator('[data-cue]')).toHaveText('The water cycle');
  await seek(20);
  await expect(page.locator('[data-cue]')).toHaveText('Exercise');
  await page.reload();
  await expect(captions).toHaveValue('2');
  await captions.selectOption('');
  await expect(page.locator('[data-cue]')).toHaveCount(0);
});

test('a stretch is played again and again', async () => {
  await seek(3);
  await page.keyboard.press('[');
  await seek(6);
  await page.keyboard.press(']');
  await expect(page.locator('[data-loop]')).toBeVisible();
  await page.getByRole('button', { name: '播放', exact: true }).first().click();
  const at = async () => (await played(page)).at;
  const often = { intervals: [100] };
  for (const _ of [1, 2]) {
    await expect.poll(at, often).toBeGreaterThan(4.5);
    await expect.poll(at, often).toBeLessThan(4);
  }
  await page.keyboard.press('\\');
  await expect(page.locator('[data-loop]')).toHaveCount(0);
  await expect.poll(at).toBeGreaterThan(6.5);
});

test('the bar shows pictures and chapters, and the lists lead there', async () => {
  await expect(page.locator('[data-chapter]')).toHaveCount(2);
  const bar = page.getByLabel('播放位置');
  const { width } = (await bar.boundingBox()) ?? { width: 0 };
  await bar.hover({ position: { x: Math.round(width * 0.9), y: 20 } });
  const preview = page.locator('[data-preview]');
  await expect(preview).toContainText('作业');
  const picture = preview.locator('img');
  await expect.poll(() => picture.evaluate(sizeOf)).toBeGreaterThan(0);
  expect(await picture.evaluate(addressOf)).toContain('/thumbs/');

  await page.getByRole('button', { name: '目录与工具' }).click();
  await expect(page.locator('[data-slides] li')).toHaveCount(3);
  await seeInBothLanguages(page, 'player-slides');
  await page.getByRole('button', { name: '第 2 页' }).click();
  await expectSlide(1);
  await page.getByRole('button', { name: /^章节/ }).click();
  await page.getByRole('button', { name: /作业/ }).click();
  await expectSlide(2);
});

test('marks stay in this browser until they are deleted', async () => {
  await seek(7);
  await page.keyboard.press('n');
  await page.reload();
  await page.getByRole('button', { name: '目录与工具' }).click();
  await page.getByRole('button', { name: /^记号/ }).click();
  await page.getByLabel('0:07 的备注').fill('再讲一遍');
  await page.getByLabel('0:07 的备注').press('Enter');
  await seeInBothLanguages(page, 'player-marks');
  await page.getByRole('button', { name: '删除 0:07 的记号' }).click();
  await expect(page.locator('[data-marks] li')).toHaveCount(0);
});

test('the keys are told, and letters can be turned off', async () => {
  await page.keyboard.press('?');
  const help = page.getByRole('dialog');
  await expect(help).toContainText('翻页笔');
  await look(page, 'player-keys');
  await help.getByLabel('使用单个字母和符号键').uncheck();
  await help.getByRole('button', { name: '完成' }).click();
  await page.keyboard.press('b');
  await expect(page.getByText('黑屏中')).toHaveCount(0);
  await page.getByRole('button', { name: '目录与工具' }).click();
  await page.getByRole('button', { name: '按键说明' }).click();
  await help.getByLabel('使用单个字母和符号键').check();
  await help.getByRole('button', { name: '完成' }).click();
});

test('what is not here is shown on the bar and told in words', async () => {
  const cut = lesson.tracks.filter(({ kind }) => kind === 'slides' || kind === 'source');
  await running.cut(cut.map((track) => track.blob_id), 0.6);
  await page.reload();
  await seek(30);
  const missing = page.locator('[data-slide-missing]');
  await expect(missing).toContainText('第 3 页还没有传到本校');
  await expect(page.locator('[data-gap]').first()).toBeVisible();
  await page.getByRole('button', { name: '播放', exact: true }).first().click();
  await expectPlaying(page, false);
  await seeInBothLanguages(page, 'player-missing');
  await page.getByTestId('tier').selectOption('source');
  await seek(34);
  await expect(page.getByText('这一段还没有传到本校')).toBeVisible();
  await expect(page.locator('[data-gap]').first()).toBeVisible();
});

/** Goes to a place by the bar, which keeps the focus: a remote's keys are the player's there. */
async function seek(at_s: number) {
  await page.getByLabel('播放位置').fill(String(at_s));
}

/** The slide's own picture is on the screen, decoded. */
async function expectSlide(number: number) {
  await expect(page.locator('[data-slide]')).toHaveAttribute('data-slide', String(number));
  const picture = page.locator('.sheet img');
  await expect.poll(() => picture.evaluate(addressOf)).toContain(`/slides/${number}.avif`);
  await expect.poll(() => picture.evaluate(sizeOf)).toBeGreaterThan(0);
}

function addressOf(picture: Element): string {
  return (picture as HTMLImageElement).currentSrc;
}

function sizeOf(picture: Element): number {
  return (picture as HTMLImageElement).naturalWidth;
}
