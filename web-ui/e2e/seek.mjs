// Measures seeking in our own page: `seek.mjs PAGE SECOND,SECOND…`, the login's cookie in
// YINGXUE_COOKIE. Prints a JSON list: milliseconds from setting the place to its picture.
import { chromium } from 'playwright-core';

/** The tier that is sought in. */
const TIER = 't1';
/** A seek that takes so long has failed. */
const WAIT_MS_MAX = 30_000;
/** Chromium as the walk starts it, and a picture for every place without a click. */
const ARGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--mute-audio'];

const [page_url, places] = process.argv.slice(2);
const [name, value] = (process.env.YINGXUE_COOKIE ?? '').split('=');
if (!page_url || !places || !value) throw new Error('seek.mjs PAGE SECONDS, and YINGXUE_COOKIE');

const browser = await chromium.launch({
  executablePath: process.env.YINGXUE_CHROMIUM ?? '/usr/bin/chromium',
  args: ARGS,
});
try {
  const context = await browser.newContext({ locale: 'zh-CN' });
  await context.addCookies([{ name, value, url: new URL(page_url).origin }]);
  await context.addInitScript((tier) => localStorage.setItem('yingxue.tier', tier), TIER);
  const page = await context.newPage();
  page.setDefaultTimeout(WAIT_MS_MAX);
  await page.goto(page_url);
  await page.locator(`.player[data-tier=${TIER}]`).waitFor();
  await calm(page);
  const waits = [];
  for (const place of places.split(',')) {
    waits.push(await page.evaluate(seek, { at: Number(place), wait_ms_max: WAIT_MS_MAX }));
    await calm(page);
  }
  console.log(JSON.stringify(waits.map((wait) => Math.round(wait * 10) / 10)));
} finally {
  await browser.close();
}

/** Waits until the player has what it shows and some seconds more, as it has while one watches. */
function calm(page) {
  return page.waitForFunction(() => {
    const video = document.querySelector('video');
    if (!video || video.seeking || video.readyState < 3) return false;
    const { buffered, currentTime: at } = video;
    const end = Math.min(at + 4, video.duration - 0.5);
    for (let i = 0; i < buffered.length; i += 1) {
      if (buffered.start(i) <= at + 0.1 && buffered.end(i) >= end) return true;
    }
    return false;
  });
}

/** In the page: sets the place; the wait ends once it is reached and a picture is presented. */
function seek({ at, wait_ms_max }) {
  const video = document.querySelector('video');
  const from = performance.now();
  const shown = new Promise((done) => video.requestVideoFrameCallback(done));
  const reached = new Promise((done) => video.addEventListener('seeked', done, { once: true }));
  const late = new Promise((_, fail) => {
    setTimeout(() => fail(new Error(`no picture of second ${at}`)), wait_ms_max);
  });
  video.currentTime = at;
  return Promise.race([Promise.all([shown, reached]), late]).then(() => performance.now() - from);
}
