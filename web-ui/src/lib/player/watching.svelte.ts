import { hub } from '$lib/api/client';
import type { LessonDetail, TierName, Timeline } from '$lib/api/types';
import { recallCaption, rememberCaption } from './captions';
import { gapAt, middleOf, type Gap } from './gaps';
import { NO_LOOP, loopBack, setEnd } from './loop';
import { PageClock, type Clock } from './pages';
import { keepPlace, placeOf } from './place';
import { Playback, canPlay, type Begin } from './playback';
import { choose, floorOf, heldOf, isRemade, standing, type Wish } from './tier';
import { indexAt, isMissingAt, turnFrom } from './timeline';

const WISH_KEY = 'yingxue.tier';
/** Losing power costs at most this much of the place. */
const KEEP_EVERY_MS = 5_000;
/** While it plays, the hub is told so; it takes a minute of silence for the end of a class. */
const SAY_EVERY_MS = 20_000;
/** Playing begins anew at a gap no more often than this. */
const GAP_AGAIN_MS = 5_000;
/**
 * While pieces arrive or a gap is near, what is missing is asked anew at this pace: an hour's is
 * some 10 KB.
 */
const TIMELINE_EVERY_MS = 3_000;
/** Where a lesson goes on from is told until so much of it has been played. */
const RESUMED_TOLD_S = 20;

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
  /** What is not here of what comes next. */
  gap = $state.raw<Gap | null>(null);
  /** Where it was taken up again, as long as that is worth telling. */
  resumed_s = $state<number | null>(null);
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
  /** Would sound and slides play here, where this tier has a gap? */
  readonly floorHelps = $derived(
    this.tier !== 't0' && standing(this.lesson, 't0', canPlay) === 'whole',
  );

  #video: HTMLVideoElement | null = null;
  #pages: PageClock | null = null;
  #playback: ReturnType<Begin> | null = null;
  #gaps: Gap[] = [];
  /** What was here of the tier's tracks when it began. */
  #held = '';
  #kept_at = 0;
  #said_at = -Infinity;
  #restarted_at = 0;
  #timeline_at = -Infinity;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #wasPlaying = false;
  /** Between two tiers the element can neither play nor seek: what was asked for meanwhile. */
  #isStarting = false;
  #isWanted = false;

  constructor(
    private readonly asked: () => LessonDetail,
    private readonly begin: Begin = (video, ears) => new Playback(video, ears),
  ) {}

  get lesson(): LessonDetail {
    return this.asked();
  }

  /** Begins on this element, where the lesson was left; the answer ends it. */
  open(video: HTMLVideoElement): () => void {
    this.#video = video;
    this.#pages = new PageClock(this.duration, () => this.#paged());
    this.#resume(placeOf(localStorage, this.lesson.id, this.lesson.duration_ms) / 1000);
    void this.readTimeline().then(() => {
      this.caption = recallCaption(localStorage, this.timeline?.captions ?? []);
    });
    return () => {
      this.keep();
      this.#forgetGaps();
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
    this.#forgetGaps();
    this.isStalled = this.isWaiting = false;
    this.#restarted_at = performance.now();
    this.time = at_s;
    if (!next) return;
    if (this.isSilent) return this.#startPages(at_s, wasPlaying);
    this.#held = heldOf(this.lesson, next);
    const playback = this.begin(video, {
      gap: (gap) => this.#met(gap),
      waiting: () => (this.isWaiting = true),
      flowing: () => (this.isWaiting = false),
      failed: () => this.#fallBack(next),
    });
    this.#playback = playback;
    this.#isStarting = true;
    this.#isWanted = wasPlaying;
    const how = { tier: next, isRemade: this.#isRemade };
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

  fromBeginning(): void {
    this.go(0);
    void this.play();
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
    this.resumed_s = null;
    if (this.#isStarting) this.#playback?.from(to);
    if (this.#clock) this.#clock.currentTime = to;
    this.#lookAhead();
  }

  /** To the next slide or the one before, and the sound with it. */
  turn(by: 1 | -1): void {
    const at_ms = turnFrom(this.slides, this.now_ms, by);
    if (at_ms === null) return;
    if (this.isSilent) this.hasBegun = true;
    this.#say();
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

  /** Playing stands still for want of bytes. */
  stalled(): void {
    this.isStalled = true;
    this.#lookAhead();
  }

  /** More of the lesson arrived: begins what could not begin, and asks what is missing still. */
  arrived(): void {
    if (this.tier === null) this.start(this.time);
    this.#readSoon();
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
    this.#mend();
    if (this.gap) this.#readSoon();
  }

  isMissing(at_s: number): boolean {
    return isMissingAt(this.missing, at_s * 1000);
  }

  get #isRemade(): boolean {
    return this.tier !== null && isRemade(this.lesson, this.tier, canPlay);
  }

  get #clock(): Clock | null {
    return this.isSilent ? this.#pages : this.#video;
  }

  #resume(at_s: number): void {
    this.resumed_s = at_s > 0 ? at_s : null;
    this.start(at_s);
  }

  #at(time: number): void {
    const back = loopBack(this.loop, this.time, time);
    this.time = time;
    if (this.resumed_s !== null && time > this.resumed_s + RESUMED_TOLD_S) this.resumed_s = null;
    if (back !== null) this.go(back);
    this.#lookAhead();
    if (this.isPlaying) this.#say();
    if (performance.now() - this.#kept_at > KEEP_EVERY_MS) this.keep();
  }

  /** The hub leaves its processor to classes; what is held in advance asks it for nothing. */
  #say(): void {
    const now = performance.now();
    if (now - this.#said_at < SAY_EVERY_MS) return;
    this.#said_at = now;
    // A hub that is away hears of the next one; the banner says that it is away.
    void hub.sayPlaying(this.lesson.id).catch(() => {});
  }

  #readSoon(): void {
    const wait_ms = Math.max(0, this.#timeline_at + TIMELINE_EVERY_MS - performance.now());
    this.#timer ??= setTimeout(() => void this.readTimeline(), wait_ms);
  }

  #met(gap: Gap): void {
    if (!this.#gaps.some(([from_s]) => from_s === gap[0])) this.#gaps.push(gap);
    this.#lookAhead();
  }

  /** Looks for a gap near ahead; while there is one, the hub is asked whether it has come. */
  #lookAhead(): void {
    this.gap = gapAt(this.#gaps, this.time);
    if (this.gap) this.#readSoon();
  }

  /** The playlist is read once: what has come since is played after a new beginning. */
  #mend(): void {
    const isDue = performance.now() - this.#restarted_at >= GAP_AGAIN_MS;
    if (this.gap && isDue && this.#hasCome(middleOf(this.gap))) this.start(this.time);
  }

  #hasCome(at_ms: number): boolean {
    if (!this.timeline) return false;
    if (!isMissingAt(this.missing, at_ms)) return true;
    // A slide, or the sound of a picture that is remade, may be all that is missing there: then
    // each new piece is tried while nothing plays anyhow.
    const isOther =
      this.slides[indexAt(this.slides, at_ms)]?.is_here === false || this.#isRemade;
    const held = this.tier ? heldOf(this.lesson, this.tier) : this.#held;
    return isOther && this.isStalled && held !== this.#held;
  }

  #forgetGaps(): void {
    this.#gaps = [];
    this.gap = null;
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
