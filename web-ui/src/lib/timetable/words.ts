import type {
  Conflict,
  EntryReadiness,
  ExceptionKind,
  Mode,
  NextStep,
  Period,
  PlanNotice,
  Reason,
  Term,
} from '$lib/api/timetable';
import { CHECKING, type Light, tierWords } from '$lib/lessons/readiness';
import { m } from '$lib/paraglide/messages';
import type { IconName } from '$lib/ui/icons';
import { subjectWords } from '$lib/words/subjects';
import { dayWords, weekdayWords } from './days';

/** A way of teaching has one shape and one word everywhere. */
export const MODE_SIGNS: Record<Mode, { icon: IconName; words: () => string }> = {
  local: { icon: 'user', words: m.mode_local },
  live: { icon: 'live', words: m.mode_live },
  recorded: { icon: 'film', words: m.mode_recorded },
  embedded: { icon: 'embedded', words: m.mode_embedded },
  observe: { icon: 'eye', words: m.mode_observe },
};

const REASONS: Record<Reason, () => string> = {
  not_arrived: m.reason_not_arrived,
  importing: m.reason_importing,
  import_failed: m.reason_import_failed,
  no_lesson: m.reason_no_lesson,
  damaged: m.reason_damaged,
  deleted: m.reason_deleted,
  disk_full: m.reason_disk_full,
  no_contact: m.reason_no_contact,
  disk_fails: m.reason_disk_fails,
};

const NEXT_STEPS: Record<Exclude<NextStep, 'none'>, () => string> = {
  wait: m.step_wait,
  choose_lesson: m.step_choose_lesson,
  courier: m.step_courier,
  make_room: m.step_make_room,
  reconnect: m.step_reconnect,
  ask_lead: m.step_ask_lead,
  check_disk: m.step_check_disk,
};

export function reasonWords(reason: Reason | null): string {
  return reason ? (REASONS[reason] ?? m.reason_not_arrived)() : m.reason_not_arrived();
}

/** What a person can do now; empty if nothing has to be done. */
export function nextStepWords(step: NextStep): string {
  return step === 'none' ? '' : (NEXT_STEPS[step]?.() ?? '');
}

/** The light of a timetabled lesson: green only when all that the school wants is verified, and
 * nothing of it is being read again. */
export function entryLight(readiness: EntryReadiness): Light {
  if (readiness.is_checking) return CHECKING();
  if (readiness.state === 'ready') return { kind: 'ok', icon: 'check', words: m.ready() };
  if (readiness.state === 'ready_at') {
    const tier = readiness.tier ? tierWords(readiness.tier) : '';
    return { kind: 'warn', icon: 'half', words: m.ready_at({ tier }) };
  }
  const reason = reasonWords(readiness.reason);
  return { kind: 'bad', icon: 'stop', words: m.not_ready({ reason }) };
}

const NOTICES: Record<PlanNotice, () => string> = {
  lesson_deleted: m.notice_lesson_deleted,
  offer_withdrawn: m.notice_offer_withdrawn,
  item_withdrawn: m.notice_item_withdrawn,
  offer_missing: m.notice_offer_missing,
  plan_ended: m.notice_plan_ended,
};

/** What people should know of the plan that fills a lesson. */
export function noticeWords(notice: PlanNotice): string {
  return NOTICES[notice]?.() ?? '';
}

export function periodWords(period: Pick<Period, 'no' | 'name'>): string {
  return period.name || m.period_no({ no: period.no });
}

/** `单周`, `双周`; in longer cycles the numbers; nothing for every week. */
export function weeksWords(weeks: readonly number[], cycle_weeks: number): string {
  if (weeks.length === 0 || weeks.length >= cycle_weeks) return '';
  if (cycle_weeks === 2) return weeks[0] === 1 ? m.week_odd() : m.week_even();
  return m.weeks_of({ weeks: [...weeks].sort().join(m.comma()) });
}

/** The name of a week within its cycle: `单周`, `第 2 周（共 3 周）`; nothing without a cycle. */
export function weekWords(week: number, cycle_weeks: number): string {
  if (cycle_weeks <= 1) return '';
  if (cycle_weeks === 2) return week === 1 ? m.this_week_odd() : m.this_week_even();
  return m.week_of_cycle({ week, cycle: cycle_weeks });
}

export function exceptionWords(kind: ExceptionKind): string {
  return {
    swap: m.exception_swap,
    replace: m.exception_replace,
    cancel: m.exception_cancel,
    add: m.exception_add,
    makeup: m.exception_makeup,
    exam: m.exception_exam,
    holiday: m.exception_holiday,
  }[kind]();
}

export function conflictWords(conflict: Conflict, term: Term, language: string): string {
  const { kind, name, date, weekday, period, weeks } = conflict;
  const day = date
    ? [dayWords(date, language)]
    : [weekdayWords(weekday, language), weeksWords(weeks, term.cycle_weeks)];
  const named = term.periods.find((one) => one.no === period) ?? { no: period, name: '' };
  const time = [...day, periodWords(named)].filter(Boolean).join(' ');
  if (kind === 'change') {
    const slot = term.slots.find((one) => one.id === conflict.slot_ids[0]);
    const lesson = slot ? ` ${subjectWords(slot.subject)}` : '';
    return m.conflict_change({ time, name: name + lesson });
  }
  return { room: m.conflict_room, class: m.conflict_class, teacher: m.conflict_teacher }[kind]({
    time,
    name,
  });
}
