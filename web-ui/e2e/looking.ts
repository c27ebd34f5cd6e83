import { readFileSync, mkdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { expect, type Page } from '@playwright/test';

/** A wall panel and a small phone. */
const SIZES = { panel: { width: 1920, height: 1080 }, phone: { width: 360, height: 640 } };
const FOLDER = process.env.YINGXUE_SHOTS ?? 'test-results/shots';
const AXE_PATH = createRequire(import.meta.url).resolve('axe-core/axe.min.js');
const AXE = readFileSync(AXE_PATH, 'utf8');

/**
 * Photographs a screen in both sizes, and whole if it is longer.
 * Nothing may be wider than the screen.
 */
export async function look(page: Page, name: string): Promise<void> {
  mkdirSync(FOLDER, { recursive: true });
  for (const [size, viewport] of Object.entries(SIZES)) {
    await page.setViewportSize(viewport);
    await page.evaluate(() => scrollTo(0, 0));
    const spill = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    expect(spill, `${name} is wider than the ${size}`).toBeLessThanOrEqual(0);
    await page.screenshot({ path: join(FOLDER, `${name}-${size}.png`) });
    const height = await page.evaluate(() => document.documentElement.scrollHeight);
    if (height <= viewport.height) continue;
    // A window as tall as the page, so that bars that stay in view do not lie across it.
    await page.setViewportSize({ ...viewport, height });
    await page.screenshot({ path: join(FOLDER, `${name}-${size}-whole.png`) });
  }
  await page.setViewportSize(SIZES.panel);
}

/** Finds no fault of WCAG 2.2 A and AA that axe can see. */
export async function expectAccessible(page: Page, name: string): Promise<void> {
  await page.evaluate(AXE);
  const faults = await page.evaluate(async () => {
    const axe = (globalThis as unknown as { axe: typeof import('axe-core') }).axe;
    const values = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'];
    const result = await axe.run(document, { runOnly: { type: 'tag', values } });
    return result.violations.map((one) => `${one.id}: ${one.nodes.map((node) => node.html)}`);
  });
  expect(faults, name).toEqual([]);
}

/** Logs in on the page that asks for it. */
export async function logIn(page: Page, who: { login: string; password: string }): Promise<void> {
  await page.getByLabel('登录名').fill(who.login);
  await page.getByLabel('密码').fill(who.password);
  await page.getByRole('button', { name: '登录' }).click();
}

/** Changes the language of the page by the account menu, or by the button below a form. */
export async function chooseLanguage(page: Page, name: string): Promise<void> {
  const account = page.locator('.account');
  if (await account.isVisible()) {
    await account.locator('summary').click();
    await account.getByRole('button', { name }).click();
    await page.keyboard.press('Escape');
  } else {
    await page.getByRole('button', { name }).click();
  }
  await expect(page.locator('html')).toHaveAttribute('lang', name === '中文' ? /^zh/ : /^en/);
}

/** Photographs and examines a screen in Chinese and in English; leaves it in Chinese. */
export async function seeInBothLanguages(page: Page, name: string): Promise<void> {
  await expectAccessible(page, name);
  await look(page, name);
  await chooseLanguage(page, 'English');
  await expectAccessible(page, `${name}-en`);
  await look(page, `${name}-en`);
  await chooseLanguage(page, '中文');
}

/** Pictures decoded so far and the place in the lesson. */
export function played(page: Page): Promise<{ at: number; frames: number; height: number }> {
  return page.locator('video').evaluate((element) => {
    const video = element as HTMLVideoElement;
    const frames = video.getVideoPlaybackQuality().totalVideoFrames;
    return { at: video.currentTime, frames, height: video.videoHeight };
  });
}

/** Waits until the lesson really moves on from where it is now, with pictures if it has any. */
export async function expectPlaying(page: Page, hasPictures = true): Promise<void> {
  const before = await played(page);
  await expect.poll(async () => (await played(page)).at).toBeGreaterThan(before.at + 1);
  if (!hasPictures) return;
  // A new tier counts from nought, so the count is looked at afresh. A slide that stays is one
  // picture each four seconds.
  const { frames } = await played(page);
  await expect.poll(async () => (await played(page)).frames).toBeGreaterThan(frames);
}
