import { beforeAll, describe, expect, it } from 'vitest';
import type { MapSchool } from '$lib/api/night';
import { overwriteGetLocale } from '$lib/paraglide/runtime';
import { ageWords, countsOf, lessonsWords, linkWords, standingOf, worstFirst } from './schools';

const NOW = new Date(2026, 10, 23, 7, 0).getTime();
const HOUR = 3_600_000;

const school = (name: string, counts: number[], age_h: number | null): MapSchool => ({
  hub_id: name,
  school: name,
  is_lead: false,
  is_own: false,
  days:
    age_h === null
      ? []
      : [
          {
            date: '2026-11-23',
            ready: counts[0] ?? 0,
            ready_at: counts[1] ?? 0,
            not_ready: counts[2] ?? 0,
            written_at: NOW - age_h * HOUR,
            lessons: [],
          },
        ],
  last_seen_at: null,
  link: {
    is_up: false,
    receive_bytes_per_s: 0,
    send_bytes_per_s: 0,
    usual_bytes_per_s: null,
    rtt_ms: null,
  },
});

beforeAll(() => overwriteGetLocale(() => 'zh'));

describe('how a school stands', () => {
  it('is as bad as its worst lesson', () => {
    expect(standingOf(school('a', [5, 0, 0], 1), NOW)).toBe('ready');
    expect(standingOf(school('a', [5, 1, 0], 1), NOW)).toBe('lower');
    expect(standingOf(school('a', [5, 1, 1], 1), NOW)).toBe('lacking');
    expect(standingOf(school('a', [0, 0, 0], 1), NOW)).toBe('none');
  });

  it('is unknown when the news is old or never came, however green it was', () => {
    expect(standingOf(school('a', [5, 0, 0], 25), NOW)).toBe('unknown');
    expect(standingOf(school('a', [5, 0, 0], null), NOW)).toBe('unknown');
  });
});

it('shows the worst first and what lacks most before what lacks less', () => {
  const all = [
    school('ready', [5, 0, 0], 1),
    school('one', [4, 0, 1], 1),
    school('old', [5, 0, 0], 30),
    school('three', [2, 0, 3], 1),
    school('lower', [4, 1, 0], 1),
  ];
  expect(worstFirst(all, NOW).map((one) => one.school)).toEqual([
    'three', 'one', 'old', 'lower', 'ready',
  ]);
  expect(Object.fromEntries(countsOf(all, NOW))).toEqual({
    lacking: 2, unknown: 1, lower: 1, ready: 1, none: 0,
  });
});

it('says how old the news is and how many of how many', () => {
  expect(ageWords(school('a', [1], null), 'zh', NOW)).not.toContain('NaN');
  expect(ageWords(school('a', [1], 2), 'zh', NOW)).toContain('2小时前');
  expect(ageWords(school('a', [1], 30), 'zh', NOW)).toContain('昨天');
  expect(ageWords(school('a', [1], 2), 'en', NOW)).toContain('2 hours ago');
  expect(ageWords(school('a', [1], 0), 'zh', NOW)).toContain('现在');
  expect(lessonsWords(school('a', [4, 1, 1], 1))).toContain('4/6');
});

it('knows its own school now, and does not believe a clock that is ahead', () => {
  const own = { ...school('a', [1], 0), is_own: true };
  expect(ageWords(own, 'zh', NOW)).toContain('本校现在');
  expect(linkWords(own, 'zh', NOW)).toBe('');
  expect(ageWords(school('a', [1], -2), 'zh', NOW)).toContain('时间可能不准');
  const met = { ...school('a', [1], 1), last_seen_at: NOW - 3 * HOUR };
  expect(linkWords(met, 'zh', NOW)).toContain('3小时前');
});
