import { hub } from '$lib/api/client';
import { Problem } from '$lib/api/problem';

/** A comment written here that the hub has not acknowledged yet. */
export interface Waiting {
  op_id: string;
  lesson_id: string;
  text: string;
  at_ms: number | null;
  written_at: number;
  /** Why the hub will not take it as it stands; null while it is only late. */
  refused: string | null;
}

/** The part of `localStorage` that is used; a test hands in a map. */
export type Store = Pick<Storage, 'getItem' | 'setItem' | 'removeItem'>;
type Send = (waiting: Waiting) => Promise<unknown>;

/** More than anyone writes while a hub is away; storage of a browser is about 5 MB. */
export const WAITING_MAX = 200;
const RETRY_MS_MIN = 1_000;
const RETRY_MS_MAX = 15_000;

/**
 * Comments on their way to the hub. They outlive reload and power cut, and each carries its own
 * `op_id`, so that sending one twice is the same as once.
 */
export class Outbox {
  items = $state<Waiting[]>([]);
  #timer: ReturnType<typeof setTimeout> | undefined;
  #retry_ms = RETRY_MS_MIN;
  #isSending = false;

  constructor(
    private readonly key: string,
    private readonly store: Store,
    private readonly send: Send,
    private readonly onSent: (waiting: Waiting) => void = () => {},
  ) {
    this.items = this.#read();
  }

  /** Keeps the comment, then tries to send it. Answers false when the outbox is full. */
  add(comment: Pick<Waiting, 'lesson_id' | 'text' | 'at_ms'>, now: number): boolean {
    this.items = this.#read();
    if (this.items.length >= WAITING_MAX) return false;
    this.items.push({ ...comment, op_id: newOpId(), written_at: now, refused: null });
    this.#write();
    void this.flush();
    return true;
  }

  drop(op_id: string): void {
    this.items = this.#read().filter((item) => item.op_id !== op_id);
    this.#write();
  }

  /** Sends what waits, oldest first; a refused one does not hold up the others. */
  async flush(): Promise<void> {
    if (this.#isSending) return;
    this.#isSending = true;
    clearTimeout(this.#timer);
    try {
      for (const item of this.#read()) {
        if (item.refused === null && !(await this.#sendOne(item))) {
          this.#later();
          return;
        }
      }
      this.#retry_ms = RETRY_MS_MIN;
    } finally {
      this.#isSending = false;
    }
    if (this.items.some((item) => item.refused === null)) this.#later();
  }

  stop(): void {
    clearTimeout(this.#timer);
  }

  async #sendOne(item: Waiting): Promise<boolean> {
    try {
      await this.send(item);
    } catch (failure) {
      if (!(failure instanceof Problem) || failure.isPassing) return false;
      this.#refuse(item.op_id, failure.code);
      return true;
    }
    this.drop(item.op_id);
    this.onSent(item);
    return true;
  }

  #refuse(op_id: string, code: string): void {
    this.items = this.#read();
    const kept = this.items.find((item) => item.op_id === op_id);
    if (kept) kept.refused = code;
    this.#write();
  }

  #later(): void {
    this.#timer = setTimeout(() => void this.flush(), this.#retry_ms);
    this.#retry_ms = Math.min(this.#retry_ms * 2, RETRY_MS_MAX);
  }

  /** Storage is the truth: another tab of the same user may have written. */
  #read(): Waiting[] {
    try {
      const kept: unknown = JSON.parse(this.store.getItem(this.key) ?? '[]');
      return Array.isArray(kept) ? kept.filter(isWaiting) : [];
    } catch {
      return this.items.slice();
    }
  }

  #write(): void {
    try {
      if (this.items.length === 0) this.store.removeItem(this.key);
      else this.store.setItem(this.key, JSON.stringify(this.items));
    } catch {
      // Storage refused: the comment still waits in this page and is shown as waiting.
    }
  }
}

function isWaiting(item: unknown): item is Waiting {
  const fields = item as Waiting | null;
  return typeof fields?.op_id === 'string' && typeof fields.text === 'string';
}

/** 32 hex characters; not `randomUUID`, which plain HTTP does not have. */
export function newOpId(): string {
  const random = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(random, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** The outbox of one user at this hub, in this browser. */
export function outboxOf(user_id: string, onSent: (waiting: Waiting) => void): Outbox {
  return new Outbox(
    `yingxue.outbox.${user_id}`,
    localStorage,
    ({ lesson_id, op_id, text, at_ms }) => hub.addComment(lesson_id, { op_id, text, at_ms }),
    onSent,
  );
}
