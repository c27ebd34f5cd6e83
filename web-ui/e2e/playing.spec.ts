import { expect, test, type Page } from '@playwright/test';
import type { LessonDetail, LessonPage, Timeline, TrackKind } from '../src/lib/api/types';
import { expectPlaying, logIn, look, played } from './looking';
import { CARRY_MS_MAX, HEAD, School } from './schools';

/** Both qualities of some seconds of film, on a machine that may be busy with other work. */
const IMPORT_MS_MAX = 10 * 60_000;
/** What a player holds in advance, and a segment that is under way. */
const AHEAD_S_MAX = 60 + 10;

test.describe.configure({ mode: 'serial' });
let lead: School;
let village: School;
let page: Page;
let film: LessonDetail;
let talk: LessonDetail;

test.beforeAll(async ({ browser }) => {
  lead = await School.alone(browser);
  village = await School.start(browser, '云岭村小学');
  await village.join(lead);
  page = village.page;
  lead.hub.add(lead.hub.film('滴水穿石.mp4', 12), '滴水穿石');
  lead.hub.add(lead.hub.sound('听力.m4a', 300), '听力');
  await expect.poll(() => isHere('滴水穿石', ['source', 'video-360', 'video-480', 'audio']),
    { timeout: IMPORT_MS_MAX }).toBe(true);
  await expect.poll(() => isHere('听力', ['audio']), { timeout: CARRY_MS_MAX }).toBe(true);
  [film, talk] = [await find('滴水穿石'), await find('听力')];
});
test.afterAll(async () => {
  await village?.stop();
  await lead?.stop();
});

test('the finest picture of ours plays, at every speed', async () => {
  await open(page, film);
  await choose(page, 't2');
  await begin(page);
  await expectPlaying(page);
  expect((await played(page)).height).toBe(480);
  const rate = () =>
    page.locator('video').evaluate((video) => (video as HTMLVideoElement).playbackRate);
  await page.getByLabel('速度').selectOption('0.5');
  await expect.poll(rate).toBe(0.5);
  await choose(page, 't1');
  await expect.poll(rate, 'another quality keeps the speed').toBe(0.5);
  await page.getByLabel('播放位置').fill('0');
  await expectPlaying(page);
  expect((await played(page)).height).toBe(360);
});

test('a browser without AV1 and Opus plays what the hub remakes for it', async ({ browser }) => {
  const old = await (await browser.newContext()).newPage();
  await old.addInitScript(() => {
    const isNew = (mime: string) => /av01|opus/i.test(mime);
    const { isTypeSupported } = MediaSource;
    MediaSource.isTypeSupported = (mime) => !isNew(mime) && isTypeSupported.call(MediaSource, mime);
    const { addSourceBuffer } = MediaSource.prototype;
    MediaSource.prototype.addSourceBuffer = function (mime) {
      if (isNew(mime)) throw new DOMException(mime, 'NotSupportedError');
      return addSourceBuffer.call(this, mime);
    };
    const { canPlayType } = HTMLMediaElement.prototype;
    HTMLMediaElement.prototype.canPlayType = function (mime) {
      return isNew(mime) ? '' : canPlayType.call(this, mime);
    };
  });
  const remade: string[] = [];
  old.on('response', (answer) => {
    if (answer.url().includes('/h264/') && answer.ok()) remade.push(answer.url());
  });
  await old.goto(`${village.hub.url}/lessons/${film.id}`);
  await logIn(old, HEAD);
  await choose(old, 't1');
  await begin(old);
  await expectPlaying(old);
  expect((await played(old)).height).toBe(360);
  await old.getByLabel('播放位置').fill('9');
  await expect.poll(async () => (await played(old)).at).toBeGreaterThan(10);
  // What was on its way when the place changed is given up.
  const numbers = remade.map((url) => /h264\/(\w+)/.exec(url)?.[1]);
  expect(numbers).toEqual(expect.arrayContaining(['init', '0', '2']));
  await old.context().close();
});

test('a lesson is taken up where it was left, and can be begun anew', async () => {
  await open(page, talk);
  await begin(page);
  await page.getByLabel('播放位置').fill('100');
  await expectPlaying(page, false);
  await page.reload();
  const told = page.locator('[data-resumed]');
  await expect(told).toContainText(/从 1:4\d 继续/);
  await expect.poll(async () => (await played(page)).at).toBeGreaterThanOrEqual(100);
  // t1, which was chosen for the film, is nothing that a talk has.
  await expect(page.getByTestId('tier')).toHaveValue('auto');
  await look(page, 'player-resumed');
  await told.getByRole('button', { name: '从头播放' }).click();
  await expect(told).toHaveCount(0);
  await expectPlaying(page, false);
  expect((await played(page)).at).toBeLessThan(60);
});

test('a class is known to the hub as long as it plays', async () => {
  await open(page, talk);
  const saying = page.waitForRequest(`**/lessons/${talk.id}/playing`);
  await page.getByLabel('播放位置').fill('0');
  await begin(page);
  expect((await (await saying).response())?.status()).toBe(204);
  await expect.poll(async () => (await played(page)).at).toBeGreaterThan(5);
  const ahead_s = await page.locator('video').evaluate((element) => {
    const { buffered, currentTime } = element as HTMLVideoElement;
    return buffered.end(buffered.length - 1) - currentTime;
  });
  expect(ahead_s).toBeLessThan(AHEAD_S_MAX);
});

test('what is missing is waited for, and plays by itself when it has come', async () => {
  await lead.hub.pause();
  await village.hub.cut(film.tracks.filter((one) => one.kind === 'source').map(blobOf), 0.5);
  const { missing } = await village.ask<Timeline>(`lessons/${film.id}/timeline`);
  const gap_s = (missing.source?.[0]?.[0] ?? 0) / 1000;
  expect(gap_s).toBeGreaterThan(1);
  await open(page, film);
  await choose(page, 'source');
  await page.getByLabel('播放位置').fill(String(Math.floor(gap_s) - 1));
  await begin(page);
  const told = page.getByText('这一段还没有传到本校');
  await expect(told).toBeVisible();
  await expect.poll(async () => (await played(page)).at).toBeGreaterThan(gap_s - 0.5);
  await lead.hub.resume();
  await expect.poll(async () => (await played(page)).at, { timeout: CARRY_MS_MAX })
    .toBeGreaterThan(gap_s + 1);
  await expect(told).toHaveCount(0);
  await expect(page.locator('[data-gap]')).toHaveCount(0);
});

function blobOf({ blob_id }: LessonDetail['tracks'][number]): string {
  return blob_id;
}

async function find(title: string): Promise<LessonDetail> {
  const { items } = await village.ask<LessonPage>('lessons');
  const found = items.find((one) => one.title === title);
  return village.ask<LessonDetail>(`lessons/${found?.id}`);
}

/** Has a lesson these tracks, and is all of them here? */
async function isHere(title: string, kinds: TrackKind[]): Promise<boolean> {
  const { items } = await village.ask<LessonPage>('lessons');
  if (!items.some((one) => one.title === title)) return false;
  const { tracks } = await find(title);
  return kinds.every((kind) => tracks.some((one) => one.kind === kind && one.is_complete));
}

async function open(on: Page, lesson: LessonDetail): Promise<void> {
  await on.goto(`${village.hub.url}/lessons/${lesson.id}`);
  await on.locator('.player').waitFor();
}

async function choose(on: Page, tier: string): Promise<void> {
  await on.getByTestId('tier').selectOption(tier);
  await expect(on.locator('.player')).toHaveAttribute('data-tier', tier);
}

async function begin(on: Page): Promise<void> {
  await on.getByRole('button', { name: '播放', exact: true }).first().click();
}
