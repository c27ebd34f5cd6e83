import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { expect, test, type Page } from '@playwright/test';
import type { Changed, TimetableDay } from '../src/lib/api/timetable';
import type { LessonDetail, LessonPage } from '../src/lib/api/types';
import { addDays } from '../src/lib/timetable/days';
import { look } from './looking';
import { School } from './schools';

/** As many as the slip lists at its smallest size, and at its normal one. */
const [LINES_TIGHT, LINES_NORMAL] = [44, 18];
const PERIODS = 15;
const TITLE = '第十二课 用分数解决生活中的实际问题：从测量操场到分配图书，一节很长很长的综合实践课';
/** A sheet of A4 without its margins, in CSS pixels. */
const PRINTED_PX = { width: Math.floor((190 / 25.4) * 96), height: 1_400 };

test.describe.configure({ mode: 'serial' });
let school: School;
let lesson: LessonDetail;
/** Today has one lesson more than the slip lists, tomorrow as many as it has room for. */
let today: string;
let tomorrow: string;

test.beforeAll(async ({ browser }) => {
  school = await School.alone(browser);
  school.hub.add(school.hub.sound('综合实践.m4a', 20), TITLE);
  const { items } = await school.ask<LessonPage>('lessons');
  lesson = await school.ask<LessonDetail>(`lessons/${items[0]?.id}`);
  today = (await school.ask<TimetableDay>('timetable/day')).date;
  tomorrow = addDays(today, 1);
  await fillDays();
});
test.afterAll(async () => school?.stop());

/** Gives both days the lesson in each period of three classes. */
async function fillDays(): Promise<void> {
  const time = (minute: number) =>
    [Math.floor(minute / 60), minute % 60].map((n) => String(n).padStart(2, '0')).join(':');
  const { term } = await school.post<Changed>('timetable/terms', {
    name: '本学年', first_day: addDays(today, -7), last_day: addDays(today, 60),
    periods: Array.from({ length: PERIODS }, (_, n) => ({
      no: n + 1, start: time(400 + 60 * n), end: time(440 + 60 * n), name: '',
    })),
  });
  const at = `timetable/terms/${term.id}`;
  for (const n of [1, 2, 3, 4]) {
    const name = `六年级(${10 + n})实验班`;
    await school.put(`${at}/classes/c${n}`, { name, grade: '6', pupils: 45, room: '多媒体教室' });
  }
  for (const [date, lines] of [[today, LINES_TIGHT + 1], [tomorrow, LINES_NORMAL]] as const) {
    const weekday = new Date(`${date}T12:00:00Z`).getUTCDay() || 7;
    for (let n = 0; n < lines; n += 1) {
      await school.put(`${at}/slots/s${weekday}-${n}`, {
        weekday, period: (n % PERIODS) + 1, class_id: `c${Math.floor(n / PERIODS) + 1}`,
        subject: 'science', lead: '欧阳明月老师（镇中心小学）', tutor: '司马青山老师（村小）',
        mode: 'recorded', source: { kind: 'lesson', lesson_id: lesson.id },
      });
    }
  }
}

/** Prints the page; gives what `pdfinfo` says of it, and its text. */
async function print(page: Page): Promise<{ info: string; text: string }> {
  const path = join(school.hub.folder, 'slip.pdf');
  await page.pdf({ path, preferCSSPageSize: true });
  const read = (program: string, ...args: string[]) =>
    execFileSync(program, [...args], { encoding: 'utf8' });
  return { info: read('pdfinfo', path), text: read('pdftotext', '-layout', path, '-') };
}

/** What is cut without a sign of it, or lies over something else, as it is printed. */
async function faults(page: Page): Promise<string[]> {
  await page.emulateMedia({ media: 'print' });
  await page.setViewportSize(PRINTED_PX);
  const found = await page.evaluate(() => {
    const faults: string[] = [];
    const whole = [1, 5, 6];
    for (const cell of document.querySelectorAll('td')) {
      const isWhole = whole.includes(cell.cellIndex + 1);
      for (const part of [cell, ...cell.querySelectorAll<HTMLElement>('b, small')]) {
        const isCut = part.scrollWidth > part.clientWidth && part.clientWidth > 0;
        const hasSign = getComputedStyle(part).textOverflow === 'ellipsis';
        if (isCut && (isWhole || !hasSign)) faults.push(`cut: ${part.outerHTML}`);
        if (part.scrollHeight > part.clientHeight + 1 && part.clientHeight > 0) {
          faults.push(`cut below: ${part.outerHTML}`);
        }
      }
    }
    const parts = [...document.querySelectorAll('header, .sum, tr, footer')];
    for (const [n, part] of parts.slice(1).entries()) {
      const [above, below] = [parts[n], part].map((one) => one?.getBoundingClientRect());
      if ((below?.top ?? 0) < (above?.bottom ?? 0) - 0.5) faults.push(`over: ${part.outerHTML}`);
    }
    return faults;
  });
  await page.emulateMedia({ media: 'screen' });
  return found;
}

/** Says on the page what it says while the clock is doubtful and lessons are being read. */
async function addNotices(page: Page): Promise<void> {
  const words = 'Lessons are being read off the disk; print when that is done. Checked: 3/44';
  await page.locator('.sum').evaluate((sum, text) => {
    for (let n = 0; n < 2; n += 1) {
      const notice = Object.assign(document.createElement('p'), { textContent: text });
      notice.className = 'clock';
      sum.after(notice);
    }
  }, words);
}

async function expectOneSheet(said: Record<string, string>, shot: string): Promise<void> {
  const { page } = school;
  for (const [date, lines] of [[today, LINES_TIGHT], [tomorrow, LINES_NORMAL]] as const) {
    for (const [lang, words] of Object.entries(said)) {
      const name = `${shot}-${lines}-${lang}`;
      // A lesson that is still being read has the page load itself again.
      await expect(async () => {
        await page.goto(`${school.hub.url}/api/v1/night/slip?date=${date}&lang=${lang}`);
        await expect(page.getByText(words)).toHaveCount(lines, { timeout: 1_000 });
      }).toPass({ timeout: 60_000 });
      await look(page, name);
      await addNotices(page);
      expect(await faults(page), name).toEqual([]);
      const { info, text } = await print(page);
      expect(info, name).toMatch(/^Pages:\s+1$/m);
      expect(info, name).toMatch(/^Page size:.*A4/m);
      expect(text.match(/\d\d:\d\d–\d\d:\d\d/g), name).toHaveLength(lines);
    }
  }
}

test('a day of lessons with long titles is one sheet of A4 in both languages', async () => {
  await expectOneSheet({ zh: '✔ 已就绪', en: '✔ Ready' }, 'slip-full');
});

test('and so is one on which each line says what is wrong and what to do', async () => {
  for (const { blob_id } of lesson.tracks) school.hub.lose(blob_id);
  // What to do beside it depends on who is known to have it by then.
  const said = { zh: '文件损坏，正在修复；', en: 'was damaged, is mended; ' };
  await expectOneSheet(said, 'slip-full-damaged');
});
