import type { Change, Exception, ExceptionKind, Slot, Term } from '$lib/api/timetable';
import { m } from '$lib/paraglide/messages';
import { subjectWords } from '$lib/words/subjects';
import { dayWords, weekOf, weekdayOf, weekdayWords } from './days';
import { emptySlot, lessonOf } from './model';
import { periodWords, weekWords } from './words';

/** The fields of every kind side by side: a form can change its kind and keep what was said. */
export interface Draft {
  kind: ExceptionKind;
  until: string;
  class_ids: string[];
  holds_cycle: boolean;
  follows: 'date' | 'weekday';
  follows_date: string;
  weekday: number;
  week: number;
  slot_id: string;
  swap: 'slot' | 'period';
  with_slot_id: string;
  /** Another day of the other lesson; empty for the same. */
  with_date: string;
  to_period: number;
  slot: Slot;
}

export function draftOf(change: Change | null, term: Term): Draft {
  const draft: Draft = {
    kind: change?.kind ?? 'swap',
    until: '',
    class_ids: [],
    holds_cycle: false,
    follows: 'weekday',
    follows_date: '',
    weekday: 1,
    week: 1,
    slot_id: '',
    swap: 'slot',
    with_slot_id: '',
    with_date: '',
    to_period: term.periods[0]?.no ?? 1,
    slot: emptySlot(term, '', 1, term.periods[0]?.no ?? 1),
  };
  if (!change) return draft;
  const { kind } = change;
  if (kind === 'holiday' || kind === 'exam') {
    const { until, class_ids, holds_cycle } = change;
    return { ...draft, until: until ?? '', class_ids: [...class_ids], holds_cycle };
  }
  if (kind === 'makeup') {
    const { follows_date, weekday, week } = change;
    const follows = follows_date ? 'date' : 'weekday';
    return { ...draft, follows, follows_date: follows_date ?? '', weekday: weekday ?? 1,
      week: week ?? 1 };
  }
  if (kind === 'add') return { ...draft, slot: { ...draft.slot, ...change.slot } };
  const { slot_id } = change;
  if (kind === 'cancel') return { ...draft, slot_id };
  if (kind === 'replace') return { ...draft, slot_id, slot: { ...draft.slot, ...change.slot } };
  const { with_slot_id, to_period } = change;
  return {
    ...draft,
    slot_id,
    swap: with_slot_id === null ? 'period' : 'slot',
    with_slot_id: with_slot_id ?? '',
    with_date: change.with_date ?? '',
    to_period: to_period ?? draft.to_period,
  };
}

/** What the hub is sent: only the fields of the kind. */
export function changeOf(draft: Draft, cycle_weeks: number): Change {
  const { kind, slot_id } = draft;
  if (kind === 'holiday' || kind === 'exam') {
    const { until, class_ids, holds_cycle } = draft;
    return { kind, until: until || null, class_ids, holds_cycle };
  }
  if (kind === 'makeup') {
    const isDate = draft.follows === 'date';
    return {
      kind,
      follows_date: isDate ? draft.follows_date : null,
      weekday: isDate ? null : draft.weekday,
      week: isDate || cycle_weeks === 1 ? null : draft.week,
    };
  }
  if (kind === 'cancel') return { kind, slot_id };
  if (kind === 'add') return { kind, slot: lessonOf(draft.slot) };
  if (kind === 'replace') return { kind, slot_id, slot: lessonOf(draft.slot) };
  const isSlot = draft.swap === 'slot';
  return {
    kind,
    slot_id,
    with_slot_id: isSlot ? draft.with_slot_id : null,
    to_period: isSlot ? null : draft.to_period,
    with_date: isSlot && draft.with_date ? draft.with_date : null,
  };
}

/** The lessons that the cycle has on a date, before any exception. */
export function slotsOn(term: Term, date: string): Slot[] {
  const week = weekOf(date, term.first_day, term.cycle_weeks);
  return term.slots
    .filter((one) => one.weekday === weekdayOf(date))
    .filter((one) => one.weeks.length === 0 || one.weeks.includes(week))
    .sort((one, other) => one.period - other.period);
}

export function slotWords(slot: Pick<Slot, 'period' | 'class_id' | 'subject'>, term: Term): string {
  const period = term.periods.find((one) => one.no === slot.period);
  const name = term.classes.find((one) => one.id === slot.class_id)?.name ?? '';
  const time = periodWords(period ?? { no: slot.period, name: '' });
  return `${time} ${name} ${subjectWords(slot.subject)}`;
}

/** What an exception does, in words. */
export function changeWords(change: Exception, term: Term, language: string): string {
  const named = (id: string) => {
    const slot = term.slots.find((one) => one.id === id);
    return slot ? slotWords(slot, term) : m.lesson_gone();
  };
  switch (change.kind) {
    case 'holiday':
    case 'exam': {
      const names = term.classes
        .filter((one) => change.class_ids.includes(one.id))
        .map((one) => one.name);
      const who = names.length > 0 ? names.join(m.comma()) : m.all_classes();
      if (!change.until || change.until === change.date) return who;
      return m.who_until({ who, day: dayWords(change.until, language) });
    }
    case 'makeup': {
      const day = change.follows_date
        ? dayWords(change.follows_date, language)
        : weekdayWords(change.weekday ?? 1, language) +
          (change.week ? ` ${weekWords(change.week, term.cycle_weeks)}` : '');
      return m.makeup_like({ day });
    }
    case 'swap': {
      const slot = named(change.slot_id);
      if (change.with_slot_id && change.with_date) {
        const day = dayWords(change.with_date, language);
        return m.swap_days_words({ slot, day, other: named(change.with_slot_id) });
      }
      if (change.with_slot_id) {
        return m.swap_words({ slot, other: named(change.with_slot_id) });
      }
      const no = change.to_period ?? 0;
      const period = periodWords(term.periods.find((one) => one.no === no) ?? { no, name: '' });
      return m.move_words({ slot, period });
    }
    case 'replace':
      return m.replace_words({ slot: named(change.slot_id), other: slotWords(change.slot, term) });
    case 'cancel':
      return m.cancel_words({ slot: named(change.slot_id) });
    case 'add':
      return slotWords(change.slot, term);
  }
}
