import { describe, expect, it } from 'vitest';
import { bytes, clock, codecNames, moment, paragraph, percent, span } from './format';

describe('bytes', () => {
  it.each([
    [0, '0 B'],
    [-5, '0 B'],
    [999, '999 B'],
    [1000, '1.0 KB'],
    [12_340_000, '12.3 MB'],
    [99_960_000, '100 MB'],
    [999_600_000, '1.0 GB'],
    [2_400_000_000_000, '2.4 TB'],
  ])('%d is %s', (count, words) => expect(bytes(count)).toBe(words));
});

describe('clock', () => {
  it.each([
    [0, '0:00'],
    [-1, '0:00'],
    [59_999, '0:59'],
    [485_000, '8:05'],
    [3_729_000, '1:02:09'],
  ])('%d ms is %s', (ms, words) => expect(clock(ms)).toBe(words));
});

describe('percent', () => {
  it('never says 100 while a byte is missing', () => {
    expect(percent(999_999_999, 1_000_000_000)).toBe(99);
    expect(percent(1_000_000_000, 1_000_000_000)).toBe(100);
  });
  it('is 0 of nothing', () => expect(percent(0, 0)).toBe(0));
});

describe('moment', () => {
  const now = new Date(2026, 10, 22, 18, 0).getTime();
  it('leaves out the day of today', () => {
    expect(moment(new Date(2026, 10, 22, 7, 5).getTime(), 'en', now)).toBe('07:05');
  });
  it('names the day of this year and the year of others', () => {
    expect(moment(new Date(2026, 10, 21, 7, 5).getTime(), 'zh', now)).toBe('11月21日 07:05');
    expect(moment(new Date(2025, 10, 21, 7, 5).getTime(), 'zh', now)).toContain('2025年');
  });
});

describe('span', () => {
  it.each([
    [12.2, 'en', '13 seconds'],
    [59.4, 'en', '60 seconds'],
    [130, 'en', '2 minutes'],
    [7200, 'en', '2 hours'],
    [130, 'zh', '2分钟'],
  ])('%d s in %s is %s', (seconds, language, words) => {
    expect(span(seconds, language).replace(/\s(?=[^\d\w])/g, '')).toBe(words);
  });
});

describe('codecNames', () => {
  it.each([
    ['avc1.64001f,mp4a.40.2', 'H.264, AAC'],
    ['av01.0.01M.08', 'AV1'],
    ['opus', 'Opus'],
    ['vp09.00.10.08', 'vp09.00.10.08'],
  ])('%s is %s', (codecs, words) => expect(codecNames(codecs)).toBe(words));
});

it('puts a space between English sentences only', () => {
  expect(paragraph(['好。', '', '走。'], 'zh')).toBe('好。走。');
  expect(paragraph(['Good.', 'Go.'], 'en')).toBe('Good. Go.');
});
