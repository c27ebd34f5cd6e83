/** What the player uses of a video element's clock. */
export type Clock = Pick<
  HTMLVideoElement,
  'currentTime' | 'paused' | 'play' | 'pause' | 'playbackRate'
>;

/** Pages change seconds apart; a quarter of one is as good as at once. */
const TICK_MS = 250;

/** The clock of a lesson of pages without sound: it stands, or turns the pages slowly. */
export class PageClock implements Clock {
  playbackRate = 1;
  #at_s = 0;
  #timer: ReturnType<typeof setInterval> | undefined;
  #seen_ms = 0;

  constructor(
    private readonly duration_s: number,
    private readonly moved: () => void,
    private readonly now: () => number = () => performance.now(),
  ) {}

  get currentTime(): number {
    return this.#at_s;
  }

  set currentTime(at_s: number) {
    this.#at_s = Math.min(Math.max(0, at_s), this.duration_s);
    this.moved();
  }

  get paused(): boolean {
    return this.#timer === undefined;
  }

  play(): Promise<void> {
    if (this.paused) {
      this.#seen_ms = this.now();
      this.#timer = setInterval(() => this.tick(), TICK_MS);
      this.moved();
    }
    return Promise.resolve();
  }

  pause(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.moved();
  }

  /** Goes on by what has passed; stands at the end. */
  tick(): void {
    const now = this.now();
    const passed_s = ((now - this.#seen_ms) / 1000) * this.playbackRate;
    this.#seen_ms = now;
    this.currentTime = this.#at_s + passed_s;
    if (this.#at_s >= this.duration_s) this.pause();
  }
}
