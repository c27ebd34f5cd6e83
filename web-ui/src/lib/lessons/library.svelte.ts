import { hub } from '$lib/api/client';
import type { Events } from '$lib/api/events';
import type { Job, Lesson } from '$lib/api/types';

/** The hub may tell of many lessons at once; after the first, the list is asked for all of them. */
const GATHER_MS = 300;

/** The lessons on the screen: what was asked for, page by page, kept true by the hub's events. */
export class Library {
  items = $state<Lesson[]>([]);
  total = $state(0);
  next = $state<string | null>(null);
  isAsked = $state(false);
  problem = $state<unknown>(null);
  #q = '';
  #subject = '';
  #turn = 0;
  #renewed_at = -Infinity;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** Shows the first page of what fits. */
  async find(q: string, subject: string): Promise<void> {
    this.#q = q;
    this.#subject = subject;
    await this.#ask();
  }

  async more(): Promise<void> {
    if (this.next) await this.#ask(this.next);
  }

  /** Follows the hub's events until the answer is called. */
  follow(events: Events): () => void {
    const stops = [
      events.on('progress', (now: Lesson & { lesson_id: string }) => this.#progress(now)),
      events.on('job', (job: Job) => this.#job(job)),
      events.on('lesson', () => this.#soon()),
      events.on('again', () => this.#soon()),
    ];
    return () => {
      clearTimeout(this.#timer);
      for (const stop of stops) stop();
    };
  }

  async #ask(after?: string): Promise<void> {
    const turn = ++this.#turn;
    try {
      const fields = { q: this.#q, subject: this.#subject, ...(after ? { after } : {}) };
      const page = await hub.lessons(fields);
      if (turn !== this.#turn) return; // a later question is on its way
      this.items = after ? [...this.items, ...page.items] : page.items;
      this.total = page.total;
      this.next = page.next;
      this.problem = null;
    } catch (failure) {
      if (turn === this.#turn) this.problem = failure;
    }
    this.isAsked = true;
  }

  /** Bytes move the meter at once; whether the light changes is for the hub to say. */
  #progress(now: { lesson_id: string; verified_bytes: number; total_bytes: number }): void {
    const lesson = this.items.find((one) => one.id === now.lesson_id);
    if (!lesson) return this.#soon();
    lesson.verified_bytes = now.verified_bytes;
    lesson.total_bytes = now.total_bytes;
    if (now.verified_bytes >= now.total_bytes || lesson.status === 'waiting') this.#soon();
  }

  #job(job: Job): void {
    const lesson = this.items.find((one) => one.id === job.lesson_id);
    if (lesson && lesson.job && job.state === 'running') lesson.job = job;
    else this.#soon();
  }

  /** Asks again for the first page, and keeps further ones that were already loaded. */
  #soon(): void {
    clearTimeout(this.#timer);
    const since_ms = performance.now() - this.#renewed_at;
    this.#timer = setTimeout(() => void this.#renew(), Math.max(0, GATHER_MS - since_ms));
  }

  async #renew(): Promise<void> {
    this.#renewed_at = performance.now();
    const turn = ++this.#turn;
    try {
      const page = await hub.lessons({ q: this.#q, subject: this.#subject });
      if (turn !== this.#turn) return;
      const fresh = new Set(page.items.map((lesson) => lesson.id));
      const hasMore = this.items.length > page.items.length && page.next !== null;
      const rest = hasMore ? this.items.slice(page.items.length) : [];
      this.items = [...page.items, ...rest.filter((lesson) => !fresh.has(lesson.id))];
      this.total = page.total;
      if (!hasMore) this.next = page.next;
      this.problem = null;
    } catch {
      // The banner says that the hub is away; what is on the screen stays.
    }
  }
}
