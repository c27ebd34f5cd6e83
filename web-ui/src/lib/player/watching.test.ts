import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import type { LessonDetail, Stretch, Timeline, Track } from '$lib/api/types';
import type { Ears, How } from './playback';
import { Watching } from './watching.svelte';

const LESSON_ID = 'l1';
/** What a hub leaves between two answers, and a player between two beginnings, at the least. */
const LOOKED_AGAIN_MS = 3_000;
const BEGUN_AGAIN_MS = 5_000;

/** What plays, as far as it is asked for here. */
class Player {
  isStopped = false;
  how: How | null = null;
  /** Where it was told to begin after all. */
  readonly from_s: number[] = [];

  constructor(readonly ears: Ears) {}

  start(_: LessonDetail, how: How): Promise<void> {
    this.how = how;
    return Promise.resolve();
  }

  from(at_s: number): void {
    this.from_s.push(at_s);
  }

  stop(): void {
    this.isStopped = true;
  }
}

/** A video element's clock: it goes where it is set. */
class Screen {
  currentTime = 0;
  paused = true;
  playbackRate = 1;
  readyState = 4;
  buffered = { length: 0 };
  play = () => Promise.resolve(void (this.paused = false));
  pause = () => void (this.paused = true);
}

let lesson: LessonDetail;
let timeline: Timeline;
let screen: Screen;
let players: Player[];
let watching: Watching;
let end: () => void;
/** What the hub was asked and told, such as `POST /api/v1/lessons/l1/playing`. */
let asked: string[];

beforeEach(() => {
  vi.useFakeTimers();
  const kept = new Map<string, string>([['yingxue.tier', 'source']]);
  vi.stubGlobal('localStorage', {
    getItem: (key: string) => kept.get(key) ?? null,
    setItem: (key: string, value: string) => void kept.set(key, value),
  });
  vi.stubGlobal('MediaSource', { isTypeSupported: () => true });
  asked = [];
  vi.stubGlobal('fetch', (path: string, { method }: RequestInit) => {
    asked.push(`${method} ${path}`);
    return Promise.resolve(new Response(JSON.stringify(timeline)));
  });
  lesson = lessonOf([trackOf('source', 50), trackOf('audio', 100), trackOf('slides', 100)]);
  timeline = timelineOf({ source: [[20_000, 60_000]], t0: [] });
  players = [];
  screen = new Screen();
  watching = new Watching(
    () => lesson,
    (_, ears) => {
      players.push(new Player(ears));
      return players[players.length - 1]!;
    },
  );
  end = watching.open(screen as unknown as HTMLVideoElement);
  watching.loaded();
});
afterEach(async () => {
  end();
  await passed(0);
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

it('goes on by itself when what was missing came before the place was reached', async () => {
  await passed(BEGUN_AGAIN_MS);
  meet([20, 24], [24, 28]);
  expect(watching.gap).toBeNull();
  timeline = timelineOf({ source: [] });
  lesson = lessonOf([trackOf('source', 100)]);
  playTo(19.9);
  watching.stalled();
  expect(watching.gap).toEqual([20, 24]);
  await passed(LOOKED_AGAIN_MS);
  expect(players).toHaveLength(2);
  expect(players[0]?.isStopped).toBe(true);
  expect(players[1]?.how?.at_s()).toBe(19.9);
  expect(watching.gap).toBeNull();
});

it('waits at a gap for as long as it is one, and then goes on', async () => {
  await passed(BEGUN_AGAIN_MS);
  playTo(20);
  meet([20, 24]);
  watching.stalled();
  await passed(10 * 60_000);
  expect(players).toHaveLength(1);
  expect(watching.gap).toEqual([20, 24]);
  timeline = timelineOf({ source: [[24_000, 60_000]] });
  await passed(LOOKED_AGAIN_MS);
  expect(players).toHaveLength(2);
});

it('asks a hub that is away until it answers', async () => {
  await passed(BEGUN_AGAIN_MS);
  watching.timeline = null;
  vi.stubGlobal('fetch', () => Promise.reject(new Error('away')));
  playTo(20);
  meet([20, 24]);
  await passed(10 * LOOKED_AGAIN_MS);
  expect(players, 'nothing is known, so nothing has come').toHaveLength(1);
  vi.stubGlobal('fetch', () => Promise.resolve(new Response(JSON.stringify(timeline))));
  timeline = timelineOf({ source: [] });
  await passed(LOOKED_AGAIN_MS);
  expect(players).toHaveLength(2);
});

it('speaks of a gap only near it, whatever stands still elsewhere', async () => {
  playTo(20);
  meet([20, 24]);
  expect(watching.gap).not.toBeNull();
  watching.go(5);
  watching.stalled();
  expect(watching.gap).toBeNull();
  playTo(13);
  expect(watching.gap, 'it is told of before it is reached').not.toBeNull();
  playTo(24);
  watching.stalled();
  expect(watching.gap, 'it was jumped over').toBeNull();
  watching.go(22);
  expect(watching.gap, 'the same gap, met again').not.toBeNull();
});

it('tries new pieces where a missing slide hides whether the sound is here', async () => {
  lesson = lessonOf([trackOf('audio', 50), trackOf('slides', 50)]);
  timeline = timelineOf({ t0: [[20_000, 60_000]] }, [[0, true], [16_000, false]]);
  watching.pick('t0');
  watching.loaded();
  await watching.readTimeline();
  await passed(BEGUN_AGAIN_MS);
  playTo(20);
  meet([20, 24]);
  watching.stalled();
  await passed(10 * LOOKED_AGAIN_MS);
  expect(players, 'nothing new has come').toHaveLength(2);
  lesson = lessonOf([trackOf('audio', 60), trackOf('slides', 50)]);
  await passed(LOOKED_AGAIN_MS);
  expect(players).toHaveLength(3);
  lesson = lessonOf([trackOf('audio', 60), trackOf('slides', 50)]);
  await passed(10 * LOOKED_AGAIN_MS);
  expect(players, 'it plays, though the slide is missing still').toHaveLength(3);
});

it('says where it goes on from until that is old news, and goes back to the beginning', () => {
  playTo(30);
  watching.hasBegun = true;
  end();
  const again = new Watching(
    () => lesson,
    (_, ears) => new Player(ears),
  );
  end = again.open(screen as unknown as HTMLVideoElement);
  again.loaded();
  expect([again.resumed_s, again.time]).toEqual([30, 30]);
  const playOnTo = (at_s: number) => ((screen.currentTime = at_s), again.moved());
  playOnTo(45);
  expect(again.resumed_s).toBe(30);
  playOnTo(51);
  expect(again.resumed_s).toBeNull();
  again.fromBeginning();
  expect([again.time, screen.currentTime, screen.paused]).toEqual([0, 0, false]);
});

it('begins where the viewer has gone before the first picture', () => {
  playTo(30);
  watching.pick('t0');
  watching.go(3);
  expect(players[1]?.from_s).toEqual([3]);
  watching.loaded();
  watching.go(9);
  expect(players[1]?.from_s, 'now the element goes there by itself').toEqual([3]);
  expect([watching.time, screen.currentTime]).toEqual([9, 9]);
});

it('tells the hub that it plays while it plays', async () => {
  const said = () => asked.filter((one) => one === `POST /api/v1/lessons/${LESSON_ID}/playing`);
  for (let at_s = 0; at_s < 10; at_s += 1) playTo(at_s);
  expect(said(), 'what only fills its buffer does not play').toHaveLength(0);
  watching.isPlaying = true;
  for (let at_s = 10; at_s < 55; at_s += 1) {
    await passed(1_000);
    playTo(at_s);
  }
  expect(said()).toHaveLength(3);
});

it('asks nothing more once it is closed', async () => {
  playTo(20);
  meet([20, 24]);
  end();
  timeline = timelineOf({ source: [] });
  await passed(60_000);
  expect(players).toHaveLength(1);
  expect(vi.getTimerCount()).toBe(0);
});

function meet(...gaps: [number, number][]): void {
  for (const gap of gaps) players[players.length - 1]?.ears.gap(gap);
}

function playTo(at_s: number): void {
  screen.currentTime = at_s;
  watching.moved();
}

/** Time goes by, and what was waited for is answered. */
function passed(ms: number): Promise<unknown> {
  return vi.advanceTimersByTimeAsync(ms);
}

function trackOf(kind: Track['kind'], percent: number): Track {
  const [codecs, total_bytes] = ['av01', 100];
  const of = { kind, blob_id: kind, codecs, total_bytes, verified_bytes: percent };
  return { ...of, is_complete: percent === 100 } as Track;
}

function lessonOf(tracks: Track[]): LessonDetail {
  return { id: LESSON_ID, duration_ms: 60_000, tracks } as LessonDetail;
}

function timelineOf(
  missing: { t0?: Stretch[]; source?: Stretch[] },
  slides: [number, boolean][] = [],
): Timeline {
  return {
    missing: { t0: null, t1: null, t2: null, source: null, ...missing },
    slides: slides.map(([at_ms, is_here]) => ({ at_ms, is_here })),
    captions: [],
    chapters: [],
  } as unknown as Timeline;
}
