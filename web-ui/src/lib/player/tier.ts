import type { LessonDetail, TierName, Track, TrackKind } from '$lib/api/types';

/** What the viewer asked for; `auto` takes the best that is whole. */
export type Wish = TierName | 'auto';

/** Best first. */
export const TIERS: readonly TierName[] = ['source', 't2', 't1', 't0'];

/** Of these, a tier needs the tracks that the lesson has; the last is what makes it the tier. */
const TRACKS: Record<TierName, readonly TrackKind[]> = {
  source: ['source'],
  t2: ['audio', 'slides', 'video-480'],
  t1: ['audio', 'slides', 'video-360'],
  t0: ['audio', 'slides'],
};

/** What the hub makes of these for a browser without AV1 or Opus: H.264 and AAC. */
const REMADE_TIERS: readonly TierName[] = ['t1', 't0'];
const REMADE = 'video/mp4; codecs="avc1.42E01E,mp4a.40.2"';

/** Where a tier of this lesson stands, here and in this browser. */
export type Standing = 'whole' | 'part' | 'absent' | 'unsupported';

type Media = Pick<LessonDetail, 'tracks'>;
export type CanPlay = (mime: string) => boolean;

/** Does the lesson have such a tier at all, here or elsewhere? */
export function isOffered(lesson: Media, tier: TierName): boolean {
  const kinds = tier === 't0' ? TRACKS.t0 : TRACKS[tier].slice(-1);
  return kinds.some((kind) => lesson.tracks.some((track) => track.kind === kind));
}

/** What the sound-and-slides tier of this lesson has: `both`, or the one that there is. */
export function floorOf(lesson: Media): 'both' | 'sound' | 'slides' {
  const has = (kind: TrackKind) => lesson.tracks.some((track) => track.kind === kind);
  if (!has('slides') && has('audio')) return 'sound';
  return !has('audio') && has('slides') ? 'slides' : 'both';
}

/**
 * A tier is judged by its tracks alone: what is verified here, and what the browser can decode.
 * Slides are pictures, which no media source is asked about; those that miss are told one by one.
 */
export function standing(lesson: Media, tier: TierName, canPlay: CanPlay): Standing {
  if (!isOffered(lesson, tier)) return 'absent';
  const find = (kind: TrackKind) => lesson.tracks.find((track) => track.kind === kind);
  const tracks = TRACKS[tier].flatMap((kind) => find(kind) ?? []);
  const played = playedOf(tracks);
  const first = played.length > 0 ? played : tracks;
  if (first.some((track) => track.verified_bytes === 0)) return 'absent';
  const isDecoded = isPlayable(tracks, canPlay) || (REMADE_TIERS.includes(tier) && canPlay(REMADE));
  if (!isDecoded) return 'unsupported';
  return tracks.every((track) => track.is_complete) ? 'whole' : 'part';
}

/** Does the hub have to remake this tier for the browser? */
export function isRemade(lesson: Media, tier: TierName, canPlay: CanPlay): boolean {
  const tracks = lesson.tracks.filter((track) => TRACKS[tier].includes(track.kind));
  return REMADE_TIERS.includes(tier) && !isPlayable(tracks, canPlay);
}

/** Says how much of each track that is played in this tier is here; it changes as pieces come. */
export function heldOf(lesson: Media, tier: TierName): string {
  const tracks = lesson.tracks.filter((track) => TRACKS[tier].includes(track.kind));
  return playedOf(tracks).map((track) => `${track.blob_id} ${track.verified_bytes}`).join();
}

function playedOf(tracks: Track[]): Track[] {
  return tracks.filter((track) => track.kind !== 'slides');
}

function isPlayable(tracks: Track[], canPlay: CanPlay): boolean {
  return playedOf(tracks).every((track) => canPlay(mime(track.kind, track.codecs)));
}

/** The MIME type that a media source is asked about. */
export function mime(kind: TrackKind, codecs: string): string {
  return `${kind === 'audio' ? 'audio' : 'video'}/mp4; codecs="${codecs}"`;
}

/**
 * The tier to play. A wish is followed while any of it is here; `auto`, or a wish that cannot be
 * met, takes the best whole tier, and without one the best that is here in part. `avoid` are tiers
 * that failed in this browser. Null: nothing can be played.
 */
export function choose(
  lesson: Media,
  wish: Wish,
  canPlay: CanPlay,
  avoid: readonly TierName[] = [],
): TierName | null {
  const of = (tier: TierName) =>
    avoid.includes(tier) ? 'absent' : standing(lesson, tier, canPlay);
  if (wish !== 'auto' && ['whole', 'part'].includes(of(wish))) return wish;
  return (
    TIERS.find((tier) => of(tier) === 'whole') ?? TIERS.find((tier) => of(tier) === 'part') ?? null
  );
}

/** Why nothing plays: not a byte has arrived, or this browser is too old for what has. */
export function whyNothing(lesson: Media, canPlay: CanPlay): 'absent' | 'unsupported' {
  const isHere = TIERS.some((tier) => standing(lesson, tier, canPlay) === 'unsupported');
  return isHere ? 'unsupported' : 'absent';
}
