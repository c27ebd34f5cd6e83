import { join } from 'node:path';
import { expect, type Browser, type Locator, type Page } from '@playwright/test';
import type { Changed, TimetableDay } from '../src/lib/api/timetable';
import type { Invitation, LessonPage } from '../src/lib/api/types';
import { addDays } from '../src/lib/timetable/days';
import { RunningHub } from './serving';

/** The first account of every school here. */
export const HEAD = { name: '李校长', login: 'li.head', password: 'snow-light-9' };
/** Half a minute of pictures, on a machine that may be busy. */
export const CARRY_MS_MAX = 120_000;

/** A running hub, and the browser of the school's head. */
export class School {
  private constructor(
    readonly hub: RunningHub,
    readonly page: Page,
  ) {}

  /** An empty hub that nobody has set up. */
  static async empty(browser: Browser, config = ''): Promise<School> {
    const hub = await RunningHub.start(config);
    return new School(hub, await (await browser.newContext()).newPage());
  }

  /** A hub that its head has set up, and is logged in to. */
  static async start(browser: Browser, name: string, config = ''): Promise<School> {
    const school = await School.empty(browser, config);
    await school.post('setup', { code: school.hub.code(), school: name, ...HEAD });
    return school;
  }

  /** One that is set up and an alliance of its own. */
  static async alone(browser: Browser): Promise<School> {
    const school = await School.start(browser, '青石镇中心小学');
    await school.found('青石联盟');
    return school;
  }

  found(name: string): Promise<object> {
    return this.post('alliance', { name });
  }

  /** An invitation as a line of text. */
  async invite(): Promise<string> {
    return (await this.post<Invitation>('alliance/invitations', { valid_hours: 1 })).text;
  }

  async join(lead: School): Promise<void> {
    await this.post('alliance/join', { invitation: await lead.invite() });
  }

  async ask<Answer>(path: string): Promise<Answer> {
    const answer = await this.page.request.get(`${this.hub.url}/api/v1/${path}`);
    expect(answer.ok(), path).toBe(true);
    return (await answer.json()) as Answer;
  }

  post<Answer = object>(path: string, data: object): Promise<Answer> {
    return this.#send('post', path, data);
  }

  put<Answer = object>(path: string, data: object): Promise<Answer> {
    return this.#send('put', path, data);
  }

  async open(path: string): Promise<void> {
    await this.page.goto(this.hub.url + path);
  }

  /** Clicks on a link or button that downloads, and gives where the file is. */
  async download(link: Locator): Promise<string> {
    const arriving = this.page.waitForEvent('download');
    await link.click();
    const download = await arriving;
    const path = join(this.hub.folder, download.suggestedFilename());
    await download.saveAs(path);
    return path;
  }

  /** Gives each day all lessons that there are, late enough that today's are not over. */
  async teachEachDay(): Promise<void> {
    const { items } = await this.ask<LessonPage>('lessons');
    const { date } = await this.ask<TimetableDay>('timetable/day');
    const { term } = await this.post<Changed>('timetable/terms', {
      name: '本学年', first_day: addDays(date, -7), last_day: addDays(date, 60),
      periods: items.map((_, index) => ({
        no: index + 1, start: `23:${15 * index + 10}`, end: `23:${15 * index + 20}`, name: '',
      })),
    });
    const at = `timetable/terms/${term.id}`;
    await this.put(`${at}/classes/c1`, { name: '四(2)班', grade: '4', pupils: 45, room: '201' });
    for (const weekday of [1, 2, 3, 4, 5, 6, 7]) {
      for (const [index, lesson] of items.entries()) {
        await this.put(`${at}/slots/s${weekday}-${index}`, {
          weekday, period: index + 1, class_id: 'c1', subject: 'science', lead: '', tutor: '',
          mode: 'recorded', source: { kind: 'lesson', lesson_id: lesson.id },
        });
      }
    }
  }

  stop(): Promise<void> {
    return this.hub.stop();
  }

  async #send<Answer>(method: 'post' | 'put', path: string, data: object): Promise<Answer> {
    const answer = await this.page.request[method](`${this.hub.url}/api/v1/${path}`, { data });
    expect(answer.ok(), `${path}: ${await answer.text()}`).toBe(true);
    return (answer.status() === 204 ? {} : await answer.json()) as Answer;
  }
}
