import { expect, test, type Page } from '@playwright/test';
import type { Night } from '../src/lib/api/night';
import type { Changed, Term, TimetableDay } from '../src/lib/api/timetable';
import type { LessonPage } from '../src/lib/api/types';
import { logIn, look, seeInBothLanguages } from './looking';
import { HEAD, School } from './schools';
import type { RunningHub } from './serving';

/** Five lessons; one of them in no period. */
const CSV = `星期,节次,班级,课程,任课教师,单双周
周一,1,四(2)班,数学,张老师,
周二,第2节,四(2)班,语文,王老师,单周
周三,3,五(1)班,英语,李老师,双周
周四,早读,五(1)班,语文,李老师,
星期五,2,五(1)班,科学,王老师,
`;

/** Classes as rows, weekdays over their periods in merged cells. */
const ROWS_OF_CLASSES = '../hub/src/timetable/import/fixtures/rows-of-classes.xlsx';

test.describe.configure({ mode: 'serial' });
let school: School;
let running: RunningHub;
let page: Page;
let today: string;
let weekday: number;

test.beforeAll(async ({ browser }) => {
  school = await School.alone(browser);
  ({ hub: running, page } = school);
  running.add(running.slides('水的循环.mkv'), '水的循环');
  ({ date: today, weekday } = await school.ask<TimetableDay>('timetable/day'));
});
test.afterAll(async () => school?.stop());

test('a timetable is begun by hand', async () => {
  await page.goto(`${running.url}/timetable`);
  await page.getByRole('heading', { name: '还没有课表' }).waitFor();
  await seeInBothLanguages(page, 'timetable-none');
  await page.getByRole('button', { name: '新建课表' }).click();
  const form = page.getByRole('dialog');
  await form.getByLabel('学期名称').fill('2026年秋季学期');
  await form.getByLabel('单双周').selectOption({ label: '分单双周' });
  await look(page, 'timetable-term');
  await form.getByRole('button', { name: '保存' }).click();
  await expect(page.getByRole('heading', { level: 1, name: '2026年秋季学期' })).toBeVisible();

  // From the empty term to its classes, and there the form.
  await page.getByRole('button', { name: '加一个班' }).click();
  await page.getByRole('button', { name: '加一个班' }).click();
  await form.getByLabel('班级名称').fill('四(2)班');
  await form.getByLabel('人数').fill('45');
  await form.getByLabel('教室').fill('201');
  await form.getByRole('button', { name: '保存' }).click();
  await expect(page.getByText('已保存：四(2)班')).toBeVisible();
  await expect(page.getByText('45 人')).toBeVisible();
  await seeInBothLanguages(page, 'timetable-classes');
});

test('a lesson is put into the week, taken back, and put there again', async () => {
  await page.getByRole('button', { name: '周课表' }).click();
  await addLesson();
  const lesson = page.locator('[data-slot]').first();
  await expect(lesson).toContainText('其他');
  await page.getByRole('button', { name: '撤销' }).click();
  await expect(page.locator('[data-slot]')).toHaveCount(0);
  await addLesson();
  await expect(lesson).toContainText('已就绪');
  await seeInBothLanguages(page, 'timetable-week');
});

test('a lesson is cancelled on one day only, and taught again', async () => {
  await page.locator('[data-slot]').first().click();
  const form = page.getByRole('dialog');
  await form.getByRole('button', { name: /^只改/ }).click();
  await look(page, 'timetable-slot');
  await form.getByRole('button', { name: '这天停课' }).click();
  await expect(page.locator('[data-slot]')).toHaveCount(0);
  await page.getByRole('button', { name: '课表变动' }).click();
  await expect(page.locator('[data-exception=cancel]')).toContainText('不上');
  await seeInBothLanguages(page, 'timetable-exceptions');
  await page.getByRole('button', { name: '删除停课' }).click();
  await expect(page.locator('[data-exception]')).toHaveCount(0);
});

test('what cannot be is refused in words, and two lessons at once are told', async () => {
  await page.getByRole('button', { name: '加一处变动' }).click();
  const form = page.getByRole('dialog');
  await form.getByLabel('变动').selectOption({ label: '调休补课' });
  await form.getByLabel('按什么上课').selectOption({ label: '按某一天的课上' });
  await form.getByLabel('按哪一天的课上').fill(today);
  await form.getByRole('button', { name: '保存' }).click();
  await expect(form.getByRole('alert')).toBeVisible();
  await form.getByRole('button', { name: '取消' }).click();

  const { term } = await school.ask<{ term: Term }>('timetable');
  const [slot] = term.slots;
  const twin = { ...slot, id: 'twin', subject: 'music', mode: 'local', source: { kind: 'none' } };
  const path = `${running.url}/api/v1/timetable/terms/${term.id}/slots/twin`;
  const answer = await page.request.put(path, { data: twin });
  expect(((await answer.json()) as Changed).conflicts.length).toBeGreaterThan(0);
  await expect(page.locator('[data-conflicts]')).toContainText('四(2)班');
  await look(page, 'timetable-conflict');
  expect((await page.request.delete(path)).ok()).toBe(true);
  await expect(page.locator('[data-conflicts]')).toHaveCount(0);
});

test('a plan of lessons is made, ordered, chosen and withdrawn', async () => {
  await page.getByRole('link', { name: '课程计划' }).click();
  await page.getByRole('button', { name: '新建计划' }).click();
  const form = page.getByRole('dialog');
  await form.getByLabel('计划名称').fill('四年级科学上册');
  await form.getByLabel('学科').selectOption({ label: '科学' });
  await form.getByRole('button', { name: '保存' }).click();
  for (const title of ['水的循环', '云和雨']) {
    await page.getByRole('button', { name: '加一节课' }).click();
    await form.getByLabel('课题', { exact: true }).fill(title);
    await form.getByRole('button', { name: '保存' }).click();
    await expect(page.locator('[data-offer] li', { hasText: title })).toBeVisible();
  }
  const first = page.locator('[data-offer] li').first();
  await page.getByRole('button', { name: '把“云和雨”往前移' }).click();
  await expect(first).toContainText('云和雨');
  await seeInBothLanguages(page, 'offers');

  await page.goto(`${running.url}/timetable`);
  await page.getByRole('button', { name: '选主播' }).click();
  await page.getByRole('button', { name: '选一位主播' }).click();
  await form.getByLabel('学科').selectOption({ label: '科学' });
  await form.getByLabel('主讲学校和课程计划').selectOption({ index: 0 });
  await form.getByRole('button', { name: '保存' }).click();
  await expect(page.locator('[data-follow]')).toContainText('四年级科学上册');
  await seeInBothLanguages(page, 'timetable-follows');
});

test('who is not logged in sees the day and the night, and logs in for the rest', async ({
  browser,
}) => {
  const visitor = await (await browser.newContext()).newPage();
  await visitor.goto(running.url);
  await visitor.waitForURL('**/today');
  await expect(visitor.locator('[data-entry]').first()).toContainText('四(2)班');
  await seeInBothLanguages(visitor, 'today-visitor');
  await visitor.getByRole('link', { name: '今晚' }).click();
  await expect(visitor.locator('[data-night]')).toContainText('磁盘剩');
  await expect(visitor.getByRole('button', { name: '现在同步' })).toHaveCount(0);
  await seeInBothLanguages(visitor, 'tonight-visitor');
  const slip = await visitor.getByRole('link', { name: '早间就绪单' }).getAttribute('href');
  const printed = await visitor.request.get(running.url + slip);
  expect(printed.headers()['content-type']).toContain('text/html');
  expect(await printed.text()).toContain('青石镇中心小学');

  await visitor.goto(`${running.url}/today`);
  await visitor.getByRole('link', { name: '水的循环' }).first().click();
  await logIn(visitor, HEAD);
  await expect(visitor.getByRole('heading', { level: 1, name: '水的循环' })).toBeVisible();
});

test('the day stands on the home page, and the night answers to its buttons', async () => {
  await page.goto(running.url);
  await page.locator('.today').waitFor();
  await seeInBothLanguages(page, 'home-today');
  await page.goto(`${running.url}/today`);
  await seeInBothLanguages(page, 'today');

  await page.goto(`${running.url}/tonight`);
  const night = await school.ask<Night>('night');
  await expect(page.getByText(night.number_for_support)).toBeVisible();
  await page.getByRole('button', { name: '查看原因' }).click();
  await expect(page.locator('[data-plan]')).toBeVisible();
  await seeInBothLanguages(page, 'tonight');
  await page.getByRole('button', { name: '暂停到…' }).click();
  await page.getByRole('dialog').getByRole('button', { name: /^到 / }).first().click();
  await expect(page.getByText('自动继续')).toBeVisible();
  expect((await school.ask<Night>('night')).paused_until).not.toBeNull();
  await look(page, 'tonight-paused');
  await page.getByRole('button', { name: '撤销' }).click();
  await expect.poll(async () => (await school.ask<Night>('night')).paused_until).toBeNull();
});

test("a school's own file is read, matched, applied and undone", async () => {
  await page.goto(`${running.url}/timetable/import`);
  await page.getByRole('button', { name: '选择文件' }).waitFor();
  await seeInBothLanguages(page, 'import-empty');
  const file = { name: '课表.csv', mimeType: 'text/csv', buffer: Buffer.from(CSV) };
  await page.locator('input[type=file]').setInputFiles(file);
  const preview = page.locator('[data-preview]');
  await expect(preview).toHaveAttribute('data-preview', '4');
  await expect(page.locator('[data-problems]')).toContainText('早读');
  await seeInBothLanguages(page, 'import-preview');

  await page.getByLabel('“班级”是什么').selectOption({ label: '不用' });
  await expect(page.getByText('还缺：班级')).toBeVisible();
  await expect(page.getByRole('button', { name: /^导入/ })).toBeDisabled();
  await page.getByLabel('“班级”是什么').selectOption({ label: '班级' });
  await expect(preview).toHaveAttribute('data-preview', '4');
  const before = (await school.ask<{ term: Term }>('timetable')).term.slots;
  await page.getByRole('button', { name: '导入 4 节课' }).click();
  await page.waitForURL('**/timetable');
  await expect.poll(async () => (await slots()).length).toBeGreaterThan(before.length);
  await look(page, 'import-applied');
  // The panel's week again, after the phone's one day.
  await expect.poll(() => page.locator('[data-slot]').count()).toBeGreaterThan(1);
  const shown = await page.locator('[data-slot]').count();
  await page.getByRole('button', { name: '撤销', exact: true }).click();
  await expect.poll(slots).toEqual(before);
  await expect.poll(() => page.locator('[data-slot]').count()).toBeLessThan(shown);
  // Long after the offer is gone it can be done again, and taken back, from the timetable.
  await page.goto(`${running.url}/timetable`);
  const undos = page.locator('[data-undos]');
  await undos.getByRole('button').click();
  await expect.poll(async () => (await slots()).length).toBeGreaterThan(before.length);
  await expect(undos).toContainText('导入“课表.csv”');
  await look(page, 'timetable-undos');
  await undos.getByRole('button').click();
  await expect.poll(slots).toEqual(before);
});

test('a whole school in one sheet is read, with its headers in the row that is named', async () => {
  await page.goto(`${running.url}/timetable/import`);
  await page.locator('input[type=file]').setInputFiles(ROWS_OF_CLASSES);
  const preview = page.locator('[data-preview]');
  await expect(preview).toHaveAttribute('data-preview', '90');
  const rows = page.getByRole('button', { name: '一行一个班的总课表' });
  await expect(rows).toHaveAttribute('aria-pressed', 'true');
  await expect(page.getByLabel('表头在第几行')).toHaveValue('2');
  await seeInBothLanguages(page, 'import-rows');
  await page.getByLabel('表头在第几行').fill('3');
  await page.getByLabel('表头在第几行').press('Tab');
  await expect(preview).toHaveAttribute('data-preview', '0');
  await page.getByLabel('表头在第几行').fill('2');
  await page.getByLabel('表头在第几行').press('Tab');
  await expect(preview).toHaveAttribute('data-preview', '90');
  await page.getByText('一列一列地看').click();
  await page.getByLabel('“周五 6”是什么').selectOption({ label: '不用' });
  await expect(preview).toHaveAttribute('data-preview', '86');
});

test('a teacher changes the own lessons and no others', async ({ browser }) => {
  const zhang = { login: 'zhang', name: '张老师', role: 'teacher', password: 'snow-light-7' };
  await school.post('users', zhang);
  const teacher = await (await browser.newContext()).newPage();
  await teacher.goto(`${running.url}/timetable`);
  await logIn(teacher, zhang);
  const own = teacher.locator('button[data-slot]').first();
  await own.waitFor();
  await seeInBothLanguages(teacher, 'timetable-teacher');
  await own.click();
  const form = teacher.getByRole('dialog');
  await expect(form.getByLabel('学科')).toHaveCount(0);
  await look(teacher, 'slot-teacher');
  await form.getByLabel('观摩').check();
  await form.getByRole('button', { name: '保存' }).click();
  await expect(own).toContainText('观摩');
  await own.click();
  await form.getByRole('button', { name: /^只改/ }).click();
  await form.getByRole('button', { name: '换课' }).click();
  await expect(form.getByLabel('另一节课在哪一天')).toBeVisible();
  await look(teacher, 'swap-teacher');
  await form.getByLabel('怎么换').selectOption({ label: '挪到另一节次' });
  await form.getByLabel(/^节次/).selectOption({ index: 3 });
  await form.getByRole('button', { name: '保存' }).click();
  await teacher.getByRole('button', { name: '课表变动' }).click();
  await expect(teacher.locator('[data-exception=swap]')).toHaveCount(1);
  await teacher.getByRole('button', { name: /^删除/ }).click();
  await expect(teacher.locator('[data-exception]')).toHaveCount(0);
});

test('a lesson is marked for now and for ever, and taken back, wherever it is named', async () => {
  await page.goto(`${running.url}/tonight`);
  const pin = page.locator('[data-pin]').first();
  await pin.getByRole('button', { name: '一直保留' }).click();
  await expect(pin).toHaveAttribute('data-pin', 'kept');
  await seeInBothLanguages(page, 'tonight-pinned');
  await page.goto(`${running.url}/today`);
  await expect(page.locator('[data-pin=kept]').first()).toBeVisible();
  await seeInBothLanguages(page, 'today-pinned');
  await page.getByRole('link', { name: '水的循环' }).first().click();
  await page.locator('[data-pin=kept]').getByRole('button', { name: '一直保留' }).click();
  await expect(page.locator('[data-pin=none]')).toBeVisible();
  await look(page, 'lesson-pin');
  expect((await school.ask<{ items: unknown[] }>('night/pins')).items).toEqual([]);
});

test('a file that is no timetable is refused in words', async () => {
  await page.goto(`${running.url}/timetable/import`);
  const buffer = Buffer.from('PK\u0003\u0004 this is no workbook');
  const file = { name: '课表.xlsx', mimeType: 'application/zip', buffer };
  await page.locator('input[type=file]').setInputFiles(file);
  await expect(page.getByRole('alert')).toContainText('读不出课表');
  await look(page, 'import-refused');
});

test('the map shows each school, as tiles and as a table', async () => {
  await page.goto(`${running.url}/map`);
  const tile = page.locator('[data-standing]');
  await expect(tile).toHaveCount(1);
  await expect(tile).not.toHaveAttribute('data-standing', 'unknown');
  await expect(tile).toContainText('本校现在的情况');
  await seeInBothLanguages(page, 'map');
  await page.getByRole('button', { name: '看表格' }).click();
  await expect(page.getByRole('rowheader')).toHaveText('青石镇中心小学');
  await seeInBothLanguages(page, 'map-table');
});

async function slots() {
  return (await school.ask<{ term: Term }>('timetable')).term.slots;
}

/** Puts the lesson into today's first period, by the dialog: nothing has to be dragged. */
async function addLesson() {
  const { items } = await school.ask<LessonPage>('lessons');
  // The term begins today: days before it have no place for a lesson.
  await page.getByRole('button', { name: /第 1 节加一节课$/ }).first().click();
  const form = page.getByRole('dialog');
  await form.getByLabel('星期').selectOption(String(weekday));
  await form.getByLabel('学科').selectOption({ label: '其他' });
  await form.getByLabel('录播').check();
  await form.getByLabel('主讲教师').fill('张老师');
  await form.getByLabel('上哪节课').selectOption({ label: '指定一节课' });
  await form.getByLabel(items[0]?.title ?? '').check();
  await form.getByRole('button', { name: '保存' }).click();
  await expect(form).toHaveCount(0);
}
