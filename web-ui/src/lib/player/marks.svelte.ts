import { keepMarks, marksOf, withMark, withNote, type Mark } from './marks';

/** One's own marks in one lesson, as state; each change is kept at once. */
export class Marks {
  items = $state.raw<Mark[]>([]);
  /** Did this browser refuse to keep the last change? */
  isForgotten = $state(false);

  constructor(
    private readonly lesson: string,
    private readonly store: Storage = localStorage,
  ) {
    this.items = marksOf(store, lesson);
  }

  add(at_ms: number): void {
    this.#keep(withMark(this.items, at_ms));
  }

  note(at_ms: number, note: string): void {
    this.#keep(withNote(this.items, at_ms, note));
  }

  remove(at_ms: number): void {
    this.#keep(this.items.filter((mark) => mark.at_ms !== at_ms));
  }

  #keep(next: Mark[]): void {
    this.items = next;
    this.isForgotten = !keepMarks(this.store, this.lesson, next, Date.now());
  }
}
