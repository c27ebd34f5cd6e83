import { hub } from '$lib/api/client';
import type { LessonDetail, TierName, Timeline } from '$lib/api/types';
import { recallCaption, rememberCaption } from './captions';
import { NO_LOOP, loopBack, setEnd } from './loop';
import { PageClock, type Clock } from './pages';
import { keepPlace, placeOf } from './place';
import { Playback, canPlay } from './playback';
import { choose, floorOf, isRemade, standing, type Wish } from './tier';
import { indexAt, isMissingAt, turnFrom } from './timeline';

const WISH_KEY = 'yingxue.tier';
/** Losing power costs at most this much of the place. */
const KEEP_EVERY_MS = 5_000;
/** A gap is looked at again at this pace while pieces arrive. */
const GAP_AGAIN_MS = 5_000;
/** While pieces arrive, what is missing is asked anew at this pace: an hour's is some 10 KB. */
const TIMELINE_EVERY_MS = 3_000;
/** A gap nearer than this is told of before it is reached. */
const GAP_NEAR_S = 8;

/** Nearer than this is the same place: no seek for a rounding. */
const SAME_S = 0.1;

export const RATES: readonly number[] = [0.5, 0.75, 1, 1.25, 1.5, 2];
/** Beyond four times, a slide of a lesson's resolution has nothing more to show. */
export const ZOOMS: readonly number[] = [1, 1.5, 2, 3, 4];

/** One viewer with one lesson: what plays, where it is, and what was chosen. */
export class Watching {
  timeline = $state.raw<Timeline | null>(null);
  wish = $state<Wish>((localStorage.getItem(WISH_KEY) as Wish | null) ?? 'auto');
  avoid = $state.raw<TierName[]>([]);
  tier = $state<TierName | null>(null);
  time = $state(0);
  buffered = $state(0);
  isPlaying = $state(false);
  hasBegun = $state(false);
  isStalled = $state(false);
  isWaiting = $state(false);
  gap_s = $state<number | null>(null);
  rate = $state(1);
  isMuted = $state(false);
  isBlank = $state(false);
  zoom = $state(1);
  loop = $state.raw(NO_LOOP);
  caption = $state<number | null>(null);

  readonly duration = $derived(this.lesson.duration_ms / 1000);
  readonly now_ms = $derived(Math.round(this.time * 1000));
  readonly slides = $derived(this.timeline?.slides ?? []);
  readonly slide = $derived(indexAt(this.slides, this.now_ms));
  readonly isPaged = $derived(this.tier === 't0' && floorOf(this.lesson) !== 'sound');
  readonly isSilent = $derived(this.tier === 't0' && floorOf(this.lesson) === 'slides');
  readonly missing = $derived((this.tier && this.timeline?.missing[this.tier]) || []);
  readonly isAtGap = $derived(
    this.gap_s !== null && (this.isStalled || Math.abs(this.gap_s - this.time) < GAP_NEAR_S),
  );
  /** Would sound and slides play here, where this tier has a gap? */
  readonly floorHelps = $derived(
    this.tier !== 't0' && standing(this.lesson, 't0', canPlay) === 'whole',
  );

  #video: HTMLVideoElement | null = null;
  #pages: PageClock | null = null;
  #playback: Playback | null = null;
  #kept_at = 0;
  #restarted_at = 0;
  #timeline_at = -Infinity;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #wasPlaying = false;
  /** Between two tiers the element can neither play nor seek: what was asked for meanwhile. */
  #isStarting = false;
  #isWanted = false;

  constructor(private readonly asked: () => LessonDetail) {}

  get lesson(): LessonDetail {
    return this.asked();
  }

  /** Begins on this element, where the lesson was left; the answer ends it. */
  open(video: HTMLVideoElement): () => void {
    this.#video = video;
    this.#pages = new PageClock(this.duration, () => this.#paged());
    this.start(placeOf(localStorage, this.lesson.id, this.lesson.duration_ms) / 1000);
    void this.readTimeline().then(() => {
      this.caption = recallCaption(localStorage, this.timeline?.captions ?? []);
    });
    return () => {
      this.keep();
      clearTimeout(this.#timer);
      this.#pages?.pause();
      this.#playback?.stop();
    };
  }

  /** Begins the best tier that fits the wish. */
  start(at_s: number): void {
    const video = this.#video;
    if (!video) return;
    const next = choose(this.lesson, this.wish, canPlay, this.avoid);
    const wasPlaying = this.isPlaying || (this.#isStarting && this.#isWanted);
    this.#isStarting = false;
    this.#playback?.stop();
    this.#pages?.pause();
    this.#playback = null;
    this.tier = next;
    this.gap_s = null;
    this.isStalled = this.isWaiting = false;
    this.#restarted_at = performance.now();
    this.time = at_s;
    if (!next) return;
    if (this.isSilent) return this.#startPages(at_s, wasPlaying);
    const playback = new Playback(video, {
      gap: (at) => (this.gap_s = at),
      waiting: () => (this.isWaiting = true),
      flowing: () => (this.isWaiting = false),
      failed: () => this.#fallBack(next),
    });
    this.#playback = playback;
    this.#isStarting = true;
    this.#isWanted = wasPlaying;
    const how = { tier: next, isRemade: isRemade(this.lesson, next, canPlay) };
    void playback.start(this.lesson, { ...how, at_s: () => this.time });
  }

  /** The element has a new source: it goes on where the viewer is, and as was asked meanwhile. */
  loaded(): void {
    const video = this.#video;
    if (!video || !this.#isStarting) return;
    this.#isStarting = false;
    if (Math.abs(video.currentTime - this.time) > SAME_S) video.currentTime = this.time;
    video.playbackRate = this.rate;
    if (this.#isWanted) void this.play();
  }

  pick(wish: Wish): void {
    this.wish = wish;
    this.avoid = [];
    localStorage.setItem(WISH_KEY, wish);
    this.start(this.time);
  }

  async play(): Promise<void> {
    this.hasBegun = true;
    this.isBlank = false;
    this.#isWanted = true;
    await this.#clock?.play().catch(() => {}); // refused by the browser: the button says "play"
  }

  pause(): void {
    this.#isWanted = false;
    this.#clock?.pause();
  }

  toggle(): void {
    if (this.#clock?.paused) void this.play();
    else this.pause();
  }

  /** Goes to a place in the lesson. */
  go(at_s: number): void {
    const to = Math.min(Math.max(0, at_s), Math.max(0, this.duration - 0.2));
    this.time = to;
    if (this.#clock) this.#clock.currentTime = to;
  }

  /** To the next slide or the one before, and the sound with it. */
  turn(by: 1 | -1): void {
    const at_ms = turnFrom(this.slides, this.now_ms, by);
    if (at_ms === null) return;
    if (this.isSilent) this.hasBegun = true;
    this.go(at_ms / 1000);
  }

  setRate(rate: number): void {
    this.rate = rate;
    if (this.#clock) this.#clock.playbackRate = rate;
  }

  faster(by: 1 | -1): void {
    const next = RATES[RATES.indexOf(this.rate) + by];
    if (next) this.setRate(next);
  }

  zoomBy(by: 1 | -1): void {
    this.zoom = ZOOMS[ZOOMS.indexOf(this.zoom) + by] ?? this.zoom;
  }

  louder(by: number): void {
    if (this.#video) this.#video.volume = Math.min(1, Math.max(0, this.#video.volume + by));
  }

  /** Sets an end of the loop here; null takes the loop away. A whole loop begins at once. */
  setLoop(end: 'a' | 'b' | null): void {
    this.loop = end ? setEnd(this.loop, end, this.time) : NO_LOOP;
    if (this.loop.a !== null && this.loop.b !== null) this.go(this.loop.a);
  }

  /** A black and silent screen, so that the class looks at its teacher; again: goes on. */
  blank(): void {
    if (this.isBlank) {
      this.isBlank = false;
      if (this.#wasPlaying) void this.play();
      return;
    }
    this.#wasPlaying = this.isPlaying;
    this.pause();
    this.isBlank = true;
  }

  chooseCaption(n: number | null): void {
    this.caption = n;
    const found = this.timeline?.captions.find((one) => one.n === n);
    rememberCaption(localStorage, found ?? null);
  }

  /** The video element's clock moved on. */
  moved(): void {
    const video = this.#video;
    if (!video || this.#isStarting || video.readyState === 0 || this.isSilent) return;
    const last = video.buffered.length - 1;
    this.buffered = last >= 0 ? video.buffered.end(last) : 0;
    this.#at(video.currentTime);
  }

  keep(): void {
    if (!this.hasBegun) return;
    this.#kept_at = performance.now();
    keepPlace(localStorage, this.lesson.id, this.now_ms, Date.now());
  }

  /** More of the lesson arrived: begins what could not begin, goes on where a gap was met. */
  arrived(): void {
    const now = performance.now();
    const isDue = now - this.#restarted_at > GAP_AGAIN_MS;
    if (this.tier === null || (this.isAtGap && this.isStalled && isDue)) this.start(this.time);
    const wait_ms = Math.max(0, this.#timeline_at + TIMELINE_EVERY_MS - now);
    this.#timer ??= setTimeout(() => void this.readTimeline(), wait_ms);
  }

  async readTimeline(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#timeline_at = performance.now();
    try {
      this.timeline = await hub.timeline(this.lesson.id);
    } catch {
      // The lesson plays without; the banner says if the hub is away.
    }
  }

  isMissing(at_s: number): boolean {
    return isMissingAt(this.missing, at_s * 1000);
  }

  get #clock(): Clock | null {
    return this.isSilent ? this.#pages : this.#video;
  }

  #at(time: number): void {
    const back = loopBack(this.loop, this.time, time);
    this.time = time;
    if (back !== null) this.go(back);
    if (performance.now() - this.#kept_at > KEEP_EVERY_MS) this.keep();
  }

  #startPages(at_s: number, isPlaying: boolean): void {
    this.#video?.pause();
    if (!this.#pages) return;
    this.#pages.playbackRate = this.rate;
    this.#pages.currentTime = at_s;
    if (isPlaying) void this.play();
  }

  #paged(): void {
    if (!this.#pages || !this.isSilent) return;
    this.isPlaying = !this.#pages.paused;
    this.#at(this.#pages.currentTime);
  }

  #fallBack(failed: TierName): void {
    this.avoid = [...this.avoid, failed];
    this.start(this.time);
  }
}
