import { beforeAll, describe, expect, it } from 'vitest';
import type { Night, NightSummary } from '$lib/api/night';
import type { Entry, Forecast } from '$lib/api/timetable';
import { overwriteGetLocale } from '$lib/paraglide/runtime';
import {
  forecastWords,
  likelyWords,
  nightKind,
  pauseChoices,
  summaryWords,
  whenWords,
} from './sentences';

const NOW = new Date(2026, 10, 22, 20, 15).getTime();
const at = (day: number, hour: number, minute: number) =>
  new Date(2026, 10, day, hour, minute).getTime();

function night(summary: Partial<NightSummary>, rest: Partial<Night> = {}): Night {
  return {
    date: '2026-11-23',
    now: NOW,
    generated_at: NOW,
    summary: {
      total: 16,
      ready: 14,
      ready_at: 0,
      not_ready: 2,
      checking: 0,
      downloading: 2,
      expected_done_at: at(23, 2, 10),
      free_bytes: 112_000_000_000,
      is_disk_full: false,
      needs_nothing: true,
      clock_doubt: false,
      ...summary,
    },
    entries: [],
    warnings: [],
    paused_until: null,
    number_for_support: '4821-07',
    is_online: true,
    window: { from: '22:00', to: '06:00', is_open: false },
    allowance: 'window',
    plan: [],
    ...rest,
  };
}

beforeAll(() => overwriteGetLocale(() => 'zh'));

describe('the night in sentences', () => {
  it('is what a tired administrator wants to read', () => {
    expect(summaryWords(night({}), 'zh')).toBe(
      '明天 16 节远程课：14 节已就绪，2 节正在下载，预计 11月23日 02:10 完成。' +
        '磁盘剩 112 GB。无需操作。',
    );
  });

  it('says when everything is here', () => {
    const words = summaryWords(
      night({ ready: 16, not_ready: 0, downloading: 0, expected_done_at: null }),
      'zh',
    );
    expect(words).toBe('明天 16 节远程课全部已就绪。磁盘剩 112 GB。无需操作。');
  });

  it('never counts a lesson twice: what downloads is not also called not ready', () => {
    const words = summaryWords(
      night({ ready: 10, ready_at: 2, not_ready: 4, downloading: 3, needs_nothing: false }),
      'zh',
    );
    expect(words).toContain(
      '10 节已就绪，2 节降级就绪，3 节正在下载，预计 11月23日 02:10 完成，1 节未就绪',
    );
    expect(words).not.toContain('无需操作');
  });

  it('names a lesson that does not come, beside upgrades that do', () => {
    const words = summaryWords(
      night({
        total: 3, ready: 0, ready_at: 2, not_ready: 1, downloading: 0,
        expected_done_at: null, needs_nothing: false,
      }),
      'zh',
    );
    expect(words).toContain('2 节降级就绪，1 节未就绪。');
    expect(words).not.toContain('正在下载');
  });

  it('promises a time only for what comes', () => {
    const words = summaryWords(
      night({ ready: 13, not_ready: 3, downloading: 2, needs_nothing: false }),
      'zh',
    );
    expect(words).toContain('2 节正在下载，预计 11月23日 02:10 完成，1 节未就绪。');
  });

  it('does not invent lessons or calm when there are none', () => {
    const none = night({
      total: 0,
      ready: 0,
      not_ready: 0,
      downloading: 0,
      expected_done_at: null,
    });
    expect(summaryWords(none, 'zh')).toBe('明天没有远程课。磁盘剩 112 GB。无需操作。');
    expect(nightKind(none)).toBe('calm');
  });

  it('is not calm with a disk that has room for nothing', () => {
    const full = night({
      total: 0, ready: 0, not_ready: 0, downloading: 0, expected_done_at: null,
      is_disk_full: true, needs_nothing: false,
    });
    expect(summaryWords(full, 'zh')).toBe(
      '明天没有远程课。磁盘没有地方放新的课，请管理员看“本机状况”。',
    );
    expect(nightKind(full)).toBe('warn');
  });

  it('says that there is no contact rather than that something must be done', () => {
    const cut = night({ needs_nothing: false }, { is_online: false });
    expect(summaryWords(cut, 'zh')).toContain('连不上');
  });

  it('says that something downloads only while it does', () => {
    expect(summaryWords(night({}), 'zh')).toContain('2 节正在下载');
    for (const rest of [{ is_online: false }, { paused_until: at(22, 22, 0) }]) {
      expect(summaryWords(night({}, rest), 'zh')).toContain('2 节等待下载');
    }
  });

  it('names today, tomorrow and other days', () => {
    expect(whenWords('2026-11-22', NOW, 'zh')).toBe('今天');
    expect(whenWords('2026-11-23', NOW, 'zh')).toBe('明天');
    expect(whenWords('2026-11-24', NOW, 'zh')).toBe('11月24日周二');
  });
});

describe('how it looks', () => {
  it('is green only when every lesson is here at its quality', () => {
    expect(nightKind(night({ ready: 16, not_ready: 0 }))).toBe('ok');
    expect(nightKind(night({ ready: 15, ready_at: 1, not_ready: 0 }))).toBe('calm');
    expect(nightKind(night({ needs_nothing: false }))).toBe('warn');
    const warnings = [
      {
        slot_id: 'a',
        reason: 'no_contact',
        next_step: 'courier',
        probability_percent: 10,
      } as const,
    ];
    expect(nightKind(night({}, { warnings }))).toBe('warn');
  });
});

describe('forecasts', () => {
  const entry = (forecast: Forecast | null, state = 'not_ready') =>
    ({ readiness: { state, forecast } }) as unknown as Entry;

  it('say when and how sure', () => {
    const words = forecastWords(
      entry({ complete_at: at(22, 23, 40), probability_percent: 97, tier: 't1' }),
      'zh',
      NOW,
    );
    expect(words).toContain('23:40');
    expect(words).toContain(likelyWords(97));
  });

  it('say nothing of a lesson that is here', () => {
    const sure = { complete_at: 1, probability_percent: 100, tier: 't1' } as const;
    expect(forecastWords(entry(sure, 'ready'), 'zh', NOW)).toBe('');
    expect(forecastWords(entry(null), 'zh', NOW)).toBe('');
  });

  it('are four words and not a percentage', () => {
    const words = [100, 95, 90, 50, 10, 0].map(likelyWords);
    expect(new Set(words).size).toBe(4);
    expect(words.join('')).not.toContain('%');
  });
});

describe('a pause', () => {
  it('ends at six in the morning at the latest', () => {
    const evening = new Date(2026, 10, 22, 20, 0);
    expect(pauseChoices(evening).map((one) => new Date(one.until).getHours())).toEqual([
      21, 22, 0, 6,
    ]);
    const night = new Date(2026, 10, 22, 4, 30);
    expect(pauseChoices(night).map((one) => one.until)).toEqual([
      at(22, 5, 30),
      at(22, 6, 0),
    ]);
  });
});
