/** The names of what the hub tells as it happens; `again` is ours: a new connection, refetch. */
export const EVENT_NAMES = [
  'lesson',
  'comment',
  'progress',
  'job',
  'contact',
  'alliance',
  'link',
  'timetable',
  'night',
  'alarm',
] as const;
export type EventName = (typeof EVENT_NAMES)[number] | 'again';

type Listener = (data: never) => void;

/** What is used of the browser's EventSource; a test hands in its own. */
export interface Source {
  onopen: (() => void) | null;
  onerror: (() => void) | null;
  addEventListener(name: string, listener: (event: { data: string }) => void): void;
  close(): void;
}

/** First wait before a new try; doubled each time. Short: a hub restarts in well under a second. */
export const RETRY_MS_MIN = 500;
/** Longest wait: a teacher who plugs the cable back in looks at the page for about this long. */
export const RETRY_MS_MAX = 8_000;

/** A connection to `/events` that comes back by itself and says so. */
export class Events {
  #listeners = new Map<EventName, Set<Listener>>();
  #source: Source | null = null;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #retry_ms = RETRY_MS_MIN;
  #wasOpen = false;

  constructor(
    private readonly open: () => Source,
    private readonly onReach: (isReached: boolean) => void = () => {},
  ) {}

  /** Calls `listener` at each event of this name; answers how to stop. */
  on(name: EventName, listener: (data: never) => void): () => void {
    const all = this.#listeners.get(name) ?? new Set();
    this.#listeners.set(name, all.add(listener));
    return () => all.delete(listener);
  }

  start(): void {
    if (this.#source || this.#timer) return;
    this.#connect();
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#source?.close();
    this.#source = null;
    this.#wasOpen = false;
    this.#retry_ms = RETRY_MS_MIN;
  }

  /** Tries at once instead of at the end of the wait, as when the network comes back. */
  hurry(): void {
    if (!this.#timer) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#connect();
  }

  #connect(): void {
    const source = this.open();
    this.#source = source;
    source.onopen = () => {
      this.#retry_ms = RETRY_MS_MIN;
      this.onReach(true);
      if (this.#wasOpen) this.#emit('again', {});
      this.#wasOpen = true;
    };
    source.onerror = () => this.#later(source);
    for (const name of EVENT_NAMES) {
      source.addEventListener(name, (event) => this.#receive(name, event.data));
    }
  }

  #later(source: Source): void {
    if (this.#source !== source) return;
    source.close();
    this.#source = null;
    this.onReach(false);
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#connect();
    }, this.#retry_ms);
    this.#retry_ms = Math.min(this.#retry_ms * 2, RETRY_MS_MAX);
  }

  #receive(name: EventName, data: string): void {
    let parsed: unknown;
    try {
      parsed = JSON.parse(data);
    } catch {
      return; // not from our hub, or cut short; the next event or `again` sets it right
    }
    this.#emit(name, parsed);
  }

  #emit(name: EventName, data: unknown): void {
    for (const listener of this.#listeners.get(name) ?? []) listener(data as never);
  }
}
