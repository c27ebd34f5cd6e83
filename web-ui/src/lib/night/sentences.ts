import type { Night, NightSummary, PlanLine } from '$lib/api/night';
import type { Entry } from '$lib/api/timetable';
import { m } from '$lib/paraglide/messages';
import { addDays, dayOf, dayWords } from '$lib/timetable/days';
import { bytes, moment, paragraph } from '$lib/words/format';

/** `明天`, `今天`, else the date. */
export function whenWords(date: string, now_ms: number, language: string): string {
  const today = dayOf(new Date(now_ms));
  if (date === today) return m.today();
  if (date === addDays(today, 1)) return m.tomorrow();
  return dayWords(date, language);
}

/** The night in a few sentences that nobody has to interpret (DOMAIN §6.5). */
export function summaryWords(night: Night, language: string): string {
  const { summary, now } = night;
  const day = whenWords(night.date, now, language);
  if (summary.total === 0) {
    return paragraph([m.night_nothing({ day }), disk(summary), ending(night, true)], language);
  }
  const parts = counts(night, language);
  const count = summary.total;
  const lessons =
    summary.ready === count
      ? m.night_all_ready({ day, count })
      : m.night_lessons({ day, count, parts: parts.join(m.clause_comma()) });
  return paragraph([lessons, disk(summary), ending(night, false)], language);
}

function counts({ summary, now, is_online, paused_until }: Night, language: string): string[] {
  const { ready, ready_at, not_ready, checking, downloading, expected_done_at } = summary;
  const left = Math.max(0, not_ready - downloading);
  const coming = is_online && paused_until === null ? m.night_downloading : m.night_waiting;
  const time = expected_done_at === null ? '' : moment(expected_done_at, language, now);
  return [
    ready > 0 ? m.night_ready({ count: ready }) : '',
    ready_at > 0 ? m.night_ready_at({ count: ready_at }) : '',
    checking > 0 ? m.night_checking({ count: checking }) : '',
    downloading > 0 ? coming({ count: downloading }) : '',
    time ? m.night_done_by({ time }) : '',
    left > 0 ? m.night_not_ready({ count: left }) : '',
  ].filter(Boolean);
}

const disk = (summary: NightSummary) =>
  summary.is_disk_full ? m.night_full() : m.night_free({ free: bytes(summary.free_bytes) });

function ending({ summary, is_online, warnings }: Night, isEmpty: boolean): string {
  if (summary.needs_nothing) return m.nothing_to_do();
  if (isEmpty || summary.checking > 0) return '';
  if (!is_online) return m.night_offline();
  return warnings.length > 0 ? m.something_to_do() : '';
}

/** How the whole looks: as bad as its worst part that somebody must see to. */
export function nightKind({ summary, warnings }: Night): 'ok' | 'warn' | 'bad' | 'calm' {
  if (summary.is_disk_full) return 'warn';
  if (summary.total === 0 || summary.checking > 0) return 'calm';
  if (summary.ready === summary.total) return 'ok';
  return summary.needs_nothing && warnings.length === 0 ? 'calm' : 'warn';
}

/** How sure a forecast is, in words: nobody plans a lesson by a percentage. */
export function likelyWords(percent: number): string {
  if (percent >= 95) return m.likely_sure();
  if (percent >= 75) return m.likely_probable();
  return percent >= 40 ? m.likely_maybe() : m.likely_hardly();
}

/** When a lesson will be here and how sure that is; empty if there is nothing to wait for. */
export function forecastWords({ readiness }: Entry, language: string, now: number): string {
  const forecast = readiness?.forecast;
  if (!forecast || readiness.state === 'ready') return '';
  const sure = likelyWords(forecast.probability_percent);
  if (forecast.complete_at === null) return m.forecast_none({ sure });
  const time = moment(forecast.complete_at, language, now);
  return m.forecast_at({ time, sure });
}

/** What the plan believes of one lesson, as a sentence. */
export function planWords(line: PlanLine, language: string, now: number): string {
  const from = line.from_school ? m.plan_from({ school: line.from_school }) : m.plan_from_none();
  const time = line.by === null ? '' : moment(line.by, language, now);
  const by = time ? m.plan_by({ time }) : m.plan_by_none();
  return paragraph([from, by], language);
}

/** Until when a pause may last: the choices that people ask for. */
export function pauseChoices(now: Date): { until: number; isTomorrow: boolean }[] {
  const hours = [1, 2, 4].map((count) => now.getTime() + count * 3_600_000);
  const six = new Date(now);
  six.setHours(6, 0, 0, 0);
  if (six.getTime() <= now.getTime()) six.setDate(six.getDate() + 1);
  const all = [...hours.filter((until) => until < six.getTime()), six.getTime()];
  return all.map((until) => ({
    until,
    isTomorrow: dayOf(new Date(until)) !== dayOf(now),
  }));
}
