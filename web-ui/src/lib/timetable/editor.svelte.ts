import {
  timetable,
  type Changed,
  type Conflict,
  type MayChange,
  type Term,
  type TermFields,
  type TermName,
} from '$lib/api/timetable';
import { undo } from '$lib/ui/undo.svelte';

type Part = 'slots' | 'exceptions' | 'classes' | 'follows';
type Words = () => string;

/** The term on the screen, and its changes; each can be taken back while the offer stands. */
export class Editor {
  term = $state.raw<Term | null>(null);
  terms = $state.raw<TermName[]>([]);
  conflicts = $state.raw<Conflict[]>([]);
  may = $state.raw<MayChange>({
    all: false, slot_ids: [], exception_ids: [], is_name_shared: false,
  });
  isAsked = $state(false);
  problem = $state<unknown>(null);
  /** Counts the changes: what is derived of the term is asked for again. */
  version = $state(0);

  /** May who is logged in change this lesson of the cycle? */
  isOwn(slot_id: string): boolean {
    return this.may.all || this.may.slot_ids.includes(slot_id);
  }

  /** And take this exception back? */
  hasWritten(exception_id: string): boolean {
    return this.may.all || this.may.exception_ids.includes(exception_id);
  }

  async load(): Promise<void> {
    try {
      const answer = await timetable.now();
      this.term = answer.term;
      this.terms = answer.terms;
      this.conflicts = answer.conflicts;
      this.may = answer.may_change;
      this.version += 1;
      this.problem = null;
    } catch (failure) {
      this.problem = failure;
    }
    this.isAsked = true;
  }

  /** Makes or replaces an entry; throws what the hub refuses, for the dialog to say. */
  async put(part: Part, entry: { id: string }, words: Words): Promise<void> {
    const term = this.#term();
    const before = (term[part] as { id: string }[]).find((one) => one.id === entry.id);
    this.#take(await timetable.put(term.id, part, entry));
    const back = () =>
      before ? timetable.put(term.id, part, before) : timetable.drop(term.id, part, entry.id);
    this.offer(words, back);
  }

  async drop(part: Part, id: string, words: Words): Promise<void> {
    const term = this.#term();
    const before = (term[part] as { id: string }[]).find((one) => one.id === id);
    try {
      this.#take(await timetable.drop(term.id, part, id));
    } catch (failure) {
      this.problem = failure;
      return;
    }
    if (before) this.offer(words, () => timetable.put(term.id, part, before));
  }

  async change(fields: TermFields, words: Words): Promise<void> {
    const term = this.term;
    if (!term) {
      this.#take(await timetable.addTerm(fields));
      return;
    }
    const { name, first_day, last_day, periods, cycle_weeks } = term;
    const before = { name, first_day, last_day, periods, cycle_weeks };
    this.#take(await timetable.changeTerm(term.id, fields));
    this.offer(words, () => timetable.changeTerm(term.id, before));
  }

  /** Offers to take a change back by another call. */
  offer(words: Words, back: () => Promise<Changed>): void {
    const take = async () => {
      try {
        this.#take(await back());
      } catch (failure) {
        this.problem = failure;
      }
    };
    undo.offer({ words, undo: take });
  }

  #take(changed: Changed): void {
    this.term = changed.term;
    this.conflicts = changed.conflicts;
    this.version += 1;
    this.problem = null;
  }

  #term(): Term {
    if (!this.term) throw new Error('There is no term yet.');
    return this.term;
  }
}
