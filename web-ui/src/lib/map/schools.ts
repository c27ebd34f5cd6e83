import type { MapDay, MapSchool } from '$lib/api/night';
import { m } from '$lib/paraglide/messages';
import type { IconName } from '$lib/ui/icons';
import { dayWords } from '$lib/timetable/days';
import { ago, bytesPerSecond, moment } from '$lib/words/format';

/** After a day without news nobody knows how a school stands, whatever it wrote. */
const STALE_MS = 24 * 3_600_000;

export type Standing = 'unknown' | 'lacking' | 'lower' | 'ready' | 'none';

/** The day that the news of a school is about: the newest it told of. */
export function dayTold(school: MapSchool): MapDay | null {
  return school.days[0] ?? null;
}

/** How a school stands for the day. What is old is not believed: no false green. */
export function standingOf(school: MapSchool, now: number): Standing {
  const day = dayTold(school);
  if (!day || now - day.written_at > STALE_MS) return 'unknown';
  if (day.not_ready > 0) return 'lacking';
  if (day.ready_at > 0) return 'lower';
  return day.ready > 0 ? 'ready' : 'none';
}

export const STANDINGS: Record<Standing, { kind: string; icon: IconName; words: () => string }> = {
  lacking: { kind: 'bad', icon: 'stop', words: m.standing_lacking },
  unknown: { kind: 'calm', icon: 'gone', words: m.standing_unknown },
  lower: { kind: 'warn', icon: 'half', words: m.standing_lower },
  ready: { kind: 'ok', icon: 'check', words: m.standing_ready },
  none: { kind: 'calm', icon: 'clock', words: m.standing_none },
};

const ORDER = Object.keys(STANDINGS) as Standing[];

/** Who needs help most comes first; then who lacks most lessons; then the oldest news. */
export function worstFirst(schools: readonly MapSchool[], now: number): MapSchool[] {
  const rank = (one: MapSchool) => ORDER.indexOf(standingOf(one, now));
  const lacks = (one: MapSchool, what: 'not_ready' | 'ready_at') => dayTold(one)?.[what] ?? 0;
  return [...schools].sort(
    (one, other) =>
      rank(one) - rank(other) ||
      lacks(other, 'not_ready') - lacks(one, 'not_ready') ||
      lacks(other, 'ready_at') - lacks(one, 'ready_at') ||
      (dayTold(one)?.written_at ?? 0) - (dayTold(other)?.written_at ?? 0) ||
      one.school.localeCompare(other.school),
  );
}

export function countsOf(schools: readonly MapSchool[], now: number): [Standing, number][] {
  const all = schools.map((one) => standingOf(one, now));
  return ORDER.map((name) => [name, all.filter((one) => one === name).length]);
}

/** How old the news of a school is, and of which day; the map is never newer than its news. */
export function ageWords(school: MapSchool, language: string, now: number): string {
  const told = dayTold(school);
  if (!told) return m.news_never();
  const day = dayWords(told.date, language);
  if (school.is_own) return m.news_own({ day });
  const age = ago(told.written_at, language, now);
  return age === null ? m.news_doubtful({ day }) : m.news_of({ age, day });
}

export function linkWords(school: MapSchool, language: string, now: number): string {
  const { link, last_seen_at } = school;
  // A school needs no link to itself.
  if (school.is_own) return '';
  if (link.is_up) {
    const usual = link.usual_bytes_per_s;
    return usual ? m.link_usual({ speed: bytesPerSecond(usual) }) : m.contact_connected();
  }
  if (last_seen_at === null) return m.never_met();
  return m.last_met({
    time: ago(last_seen_at, language, now) ?? moment(last_seen_at, language, now),
  });
}

export function lessonsWords(school: MapSchool): string {
  const day = dayTold(school);
  if (!day) return '';
  const { ready, ready_at, not_ready } = day;
  const total = ready + ready_at + not_ready;
  return total === 0 ? m.no_remote() : m.ready_of({ ready, total });
}
