const UNITS = ['B', 'KB', 'MB', 'GB', 'TB'] as const;

/** `1.2 MB`; decimal units, as disks and links are sold; at most three digits. */
export function bytes(count: number): string {
  let value = Math.max(0, count);
  let unit = 0;
  while (value >= 999.5 && unit < UNITS.length - 1) {
    value /= 1000;
    unit += 1;
  }
  const digits = unit === 0 || value >= 99.95 ? 0 : 1;
  return `${value.toFixed(digits)} ${UNITS[unit]}`;
}

export function bytesPerSecond(rate: number): string {
  return `${bytes(rate)}/s`;
}

/** `8:05` or `1:02:09`: a place in a lesson or its length. */
export function clock(ms: number): string {
  const total = Math.max(0, Math.floor(ms / 1000));
  const seconds = String(total % 60).padStart(2, '0');
  const minutes = Math.floor(total / 60) % 60;
  const hours = Math.floor(total / 3600);
  return hours > 0
    ? `${hours}:${String(minutes).padStart(2, '0')}:${seconds}`
    : `${minutes}:${seconds}`;
}

/** Whole percent that reaches 100 only when nothing is missing. */
export function percent(part: number, whole: number): number {
  if (whole <= 0) return 0;
  const value = Math.floor((part / whole) * 100);
  return part < whole ? Math.min(value, 99) : 100;
}

const CODECS: [RegExp, string][] = [
  [/^avc[13]/, 'H.264'],
  [/^(hvc|hev)1/, 'H.265'],
  [/^av01/, 'AV1'],
  [/^mp4a\.40/, 'AAC'],
  [/^opus/i, 'Opus'],
  [/^wvtt/, 'WebVTT'],
];

/** `H.264, AAC` for `avc1.64001f,mp4a.40.2` (RFC 6381); what is unknown stays as it is. */
export function codecNames(codecs: string): string {
  const name = (one: string) => CODECS.find(([sign]) => sign.test(one))?.[1] ?? one;
  return codecs.split(',').map((one) => name(one.trim())).join(', ');
}

/** Sentences one after another: Chinese full stops carry their own space. */
export function paragraph(sentences: string[], language: string): string {
  return sentences.filter(Boolean).join(language === 'zh' ? '' : ' ');
}

const TAGS: Record<string, string> = { zh: 'zh-CN', en: 'en-GB' };

/** Day and time, without the year when it is this one. */
export function moment(at_ms: number, language: string, now_ms: number): string {
  const at = new Date(at_ms);
  const now = new Date(now_ms);
  const isToday = at.toDateString() === now.toDateString();
  const time: Intl.DateTimeFormatOptions = { hour: '2-digit', minute: '2-digit' };
  const day: Intl.DateTimeFormatOptions = isToday ? {} : { month: 'short', day: 'numeric' };
  const year: Intl.DateTimeFormatOptions =
    at.getFullYear() === now.getFullYear() ? {} : { year: 'numeric' };
  const format = { ...year, ...day, ...time, hour12: false };
  return new Intl.DateTimeFormat(TAGS[language] ?? language, format).format(at);
}

/** What may be between two clocks that are right. */
const CLOCKS_MS = 5 * 60_000;
const AGES: readonly [Intl.RelativeTimeFormatUnit, number][] = [
  ['day', 86_400_000],
  ['hour', 3_600_000],
  ['minute', 60_000],
];

/** `3小时前`, `yesterday`: how long ago something was; none of what is still to come. */
export function ago(at_ms: number, language: string, now_ms: number): string | null {
  const age_ms = now_ms - at_ms;
  if (age_ms < -CLOCKS_MS) return null;
  const words = new Intl.RelativeTimeFormat(TAGS[language] ?? language, { numeric: 'auto' });
  const [unit, unit_ms] = AGES.find(([, unit_ms]) => age_ms >= unit_ms) ?? ['second', Infinity];
  return words.format(-Math.floor(age_ms / unit_ms) || 0, unit);
}

/** How long something takes, in the largest fitting unit: `3 分钟`, `45 seconds`. */
export function span(seconds: number, language: string): string {
  const [value, unit] =
    seconds < 60
      ? [Math.ceil(seconds), 'second']
      : seconds < 5400
        ? [Math.round(seconds / 60), 'minute']
        : [Math.round(seconds / 3600), 'hour'];
  const format = { style: 'unit', unit, unitDisplay: 'long' } as Intl.NumberFormatOptions;
  return new Intl.NumberFormat(TAGS[language] ?? language, format).format(value as number);
}
