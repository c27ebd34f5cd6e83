import type Hls from 'hls.js';
import type { ErrorData, HlsConfig } from 'hls.js';
import type { LessonDetail, TierName } from '$lib/api/types';
import type { Gap } from './gaps';

/** What the player page is told while a tier plays. */
export interface Ears {
  /** A segment was met that is not on this hub. */
  gap(gap: Gap): void;
  /** The hub cannot be read just now; tried again by itself. */
  waiting(): void;
  /** Media flows (again). */
  flowing(): void;
  /** This tier cannot be played in this browser. */
  failed(): void;
}

/** What to play, and from where. */
export interface How {
  tier: TierName;
  /** Does the hub remake it as H.264 and AAC for this browser? */
  isRemade: boolean;
  /** Asked when loading begins: the viewer may have gone elsewhere meanwhile. */
  at_s: () => number;
}

/** Makes what plays a tier on a video element. */
export type Begin = (
  video: HTMLVideoElement, ears: Ears,
) => Pick<Playback, 'start' | 'from' | 'stop'>;

const PLAYLIST_TYPE = 'application/vnd.apple.mpegurl';
const RETRY_MS_MIN = 1_000;
const RETRY_MS_MAX = 10_000;
/** Two decoder failures nearer than this are one that cannot be recovered. */
const RECOVER_AGAIN_MS = 5_000;

/** A segment comes from a disk in the same building; but remade ones of a room wait in a queue. */
const FIRST_BYTE_MS_MAX = { asItIs: 10_000, remade: 60_000 };

const CONFIG: Partial<HlsConfig> = {
  autoStartLoad: false,
  // A panel has 4 GB for everything: half a minute back, a minute ahead. Without the second bound
  // hls.js would take what 60 MB hold, ten minutes of ours, and the hub would not hear of a class.
  backBufferLength: 30,
  maxBufferLength: 60,
  maxMaxBufferLength: 60,
  // Captions are our own <track> elements, which hls.js would switch off and empty.
  subtitleStreamController: undefined,
  subtitleTrackController: undefined,
  timelineController: undefined,
};

/** How segments are asked for; who gives up waiting for a remade one throws the hub's work away. */
function patience(isRemade: boolean): HlsConfig['fragLoadPolicy'] {
  return {
    default: {
      maxTimeToFirstByteMs: isRemade ? FIRST_BYTE_MS_MAX.remade : FIRST_BYTE_MS_MAX.asItIs,
      maxLoadTimeMs: 60_000,
      timeoutRetry: { maxNumRetry: 2, retryDelayMs: 0, maxRetryDelayMs: 0 },
      errorRetry: { maxNumRetry: 3, retryDelayMs: 500, maxRetryDelayMs: 4_000 },
    },
  };
}

/** One tier of one lesson on one video element. To change the tier, stop it and start another. */
export class Playback {
  #hls: Hls | null = null;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #retry_ms = RETRY_MS_MIN;
  #recovered_at = -Infinity;
  #isStopped = false;
  #isLoading = false;

  constructor(
    private readonly video: HTMLVideoElement,
    private readonly ears: Ears,
  ) {}

  /**
   * Starts loading at `at_s`; playing and seeking are the caller's. hls.js is fetched here, at
   * first use.
   */
  async start(lesson: LessonDetail, how: How): Promise<void> {
    const { default: HlsClass } = await import('hls.js');
    if (this.#isStopped) return;
    if (!HlsClass.isSupported()) return this.#startPlain(lesson, how);
    const hls = new HlsClass({ ...CONFIG, fragLoadPolicy: patience(how.isRemade) });
    this.#hls = hls;
    hls.on(HlsClass.Events.MANIFEST_PARSED, () => {
      keepOnly(hls, how.tier);
      this.#isLoading = true;
      hls.startLoad(how.at_s());
    });
    hls.on(HlsClass.Events.FRAG_BUFFERED, () => this.#flows());
    hls.on(HlsClass.Events.ERROR, (_, error) => this.#heard(HlsClass, error));
    hls.attachMedia(this.video);
    hls.loadSource(playlistOf(lesson, how));
  }

  /** Begins at another place after all: hls.js goes to the one it began with once that is here. */
  from(at_s: number): void {
    if (this.#isLoading) this.#hls?.startLoad(at_s);
  }

  stop(): void {
    this.#isStopped = true;
    clearTimeout(this.#timer);
    this.#hls?.destroy();
    this.#hls = null;
  }

  /** Without media source extensions, the browser reads the playlist itself, or the whole file. */
  #startPlain(lesson: LessonDetail, how: How): void {
    const { video } = this;
    const isNative = video.canPlayType(PLAYLIST_TYPE) !== '';
    video.onerror = () => this.ears.failed();
    video.src = isNative ? playlistOf(lesson, how) : fileOf(lesson, how.tier);
  }

  #flows(): void {
    this.#retry_ms = RETRY_MS_MIN;
    this.ears.flowing();
  }

  #heard(HlsClass: typeof Hls, error: ErrorData): void {
    const { frag } = error;
    if (frag && (error.details === HlsClass.ErrorDetails.FRAG_GAP || isMissing(error))) {
      this.ears.gap([frag.start, frag.end]);
    }
    if (!error.fatal) return;
    if (error.type === HlsClass.ErrorTypes.NETWORK_ERROR) this.#loadLater(error);
    else if (error.type === HlsClass.ErrorTypes.MEDIA_ERROR) this.#recover();
    else this.ears.failed();
  }

  #loadLater(error: ErrorData): void {
    this.ears.waiting();
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      if (error.url && !this.#hls?.levels.length) this.#hls?.loadSource(this.#hls.url ?? error.url);
      else this.#hls?.startLoad(this.video.currentTime);
    }, this.#retry_ms);
    this.#retry_ms = Math.min(this.#retry_ms * 2, RETRY_MS_MAX);
  }

  #recover(): void {
    const now = performance.now();
    if (now - this.#recovered_at < RECOVER_AGAIN_MS) return this.ears.failed();
    this.#recovered_at = now;
    this.#hls?.recoverMediaError();
  }
}

/** One track is its own playlist; picture beside sound needs the master, which joins the two. */
function playlistOf(lesson: LessonDetail, { tier, isRemade }: How): string {
  const media = `/media/${lesson.id}`;
  if (isRemade) return `${media}/h264.m3u8`;
  if (tier === 'source') return `${media}/source.m3u8`;
  return tier === 't0' ? `${media}/audio.m3u8` : `${media}/master.m3u8?tier=${tier}`;
}

/** A track's file plays by itself; picture and sound in one file are joined for a download. */
function fileOf(lesson: LessonDetail, tier: TierName): string {
  const kind = { source: 'source', t0: 'audio', t1: null, t2: null }[tier];
  const track = lesson.tracks.find((one) => one.kind === kind);
  return track ? `/media/blob/${track.blob_id}` : `/media/${lesson.id}/download.mp4?tier=${tier}`;
}

/** The picture's playlist of a tier whose sound is beside it. */
const PICTURES: Partial<Record<TierName, string>> = {
  t1: '/video-360.m3u8',
  t2: '/video-480.m3u8',
};

/** Takes the other tiers out, so that nothing but the viewer changes the tier. */
function keepOnly(hls: Hls, tier: TierName): void {
  const picture = PICTURES[tier];
  if (!picture) return;
  for (let index = hls.levels.length - 1; index >= 0; index -= 1) {
    const isWanted = hls.levels[index]?.uri.split('?')[0]?.endsWith(picture);
    if (!isWanted && hls.levels.length > 1) hls.removeLevel(index);
  }
}

function isMissing(error: ErrorData): boolean {
  return error.response?.code === 404 && error.frag !== undefined;
}

/** Can this browser decode it here? */
export function canPlay(mime: string): boolean {
  if (typeof MediaSource !== 'undefined') return MediaSource.isTypeSupported(mime);
  return document.createElement('video').canPlayType(mime) !== '';
}
