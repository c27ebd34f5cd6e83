import type { MapSchool } from '$lib/api/night';
import { m } from '$lib/paraglide/messages';
import type { IconName } from '$lib/ui/icons';
import { moment } from '$lib/words/format';

/** After a day without news nobody knows how a school stands, whatever it wrote. */
const STALE_MS = 24 * 3_600_000;

export type Standing = 'unknown' | 'lacking' | 'lower' | 'ready' | 'none';

/** How a school stands for the day. What is old is not believed: no false green. */
export function standingOf(school: MapSchool, now: number): Standing {
  if (school.written_at === null || now - school.written_at > STALE_MS) return 'unknown';
  if (school.not_ready > 0) return 'lacking';
  if (school.ready_at > 0) return 'lower';
  return school.ready > 0 ? 'ready' : 'none';
}

export const STANDINGS: Record<Standing, { kind: string; icon: IconName; words: () => string }> = {
  lacking: { kind: 'bad', icon: 'stop', words: m.standing_lacking },
  unknown: { kind: 'calm', icon: 'gone', words: m.standing_unknown },
  lower: { kind: 'warn', icon: 'half', words: m.standing_lower },
  ready: { kind: 'ok', icon: 'check', words: m.standing_ready },
  none: { kind: 'calm', icon: 'clock', words: m.standing_none },
};

const ORDER = Object.keys(STANDINGS) as Standing[];

/** The school that needs help most comes first; then who lacks most lessons; then the oldest news. */
export function worstFirst(schools: readonly MapSchool[], now: number): MapSchool[] {
  const rank = (one: MapSchool) => ORDER.indexOf(standingOf(one, now));
  return [...schools].sort(
    (one, other) =>
      rank(one) - rank(other) ||
      other.not_ready - one.not_ready ||
      other.ready_at - one.ready_at ||
      (one.written_at ?? 0) - (other.written_at ?? 0) ||
      one.school.localeCompare(other.school),
  );
}

export function countsOf(schools: readonly MapSchool[], now: number): [Standing, number][] {
  const all = schools.map((one) => standingOf(one, now));
  return ORDER.map((name) => [name, all.filter((one) => one === name).length]);
}

/** When a school said so; the map is never newer than its news. */
export function ageWords(school: MapSchool, language: string, now: number): string {
  if (school.written_at === null) return m.news_never();
  return m.news_of({ time: moment(school.written_at, language, now) });
}

export function linkWords(school: MapSchool, language: string, now: number): string {
  if (school.link?.state === 'connected') return m.contact_connected();
  if (school.link?.state === 'trying') return m.contact_trying();
  if (school.last_seen_at === null) return m.never_met();
  return m.last_met({ time: moment(school.last_seen_at, language, now) });
}

export function lessonsWords({ ready, ready_at, not_ready }: MapSchool): string {
  const total = ready + ready_at + not_ready;
  return total === 0 ? m.no_remote() : m.ready_of({ ready, total });
}
