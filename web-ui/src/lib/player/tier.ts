import type { LessonDetail, TierName, TrackKind } from '$lib/api/types';

/** What the viewer asked for; `auto` takes the best that is whole. */
export type Wish = TierName | 'auto';

/** Best first. */
export const TIERS: readonly TierName[] = ['source', 't1', 'audio'];

const TRACKS: Record<TierName, readonly TrackKind[]> = {
  source: ['source'],
  t1: ['audio', 'video-360'],
  audio: ['audio'],
};

/** Where a tier of this lesson stands, here and in this browser. */
export type Standing = 'whole' | 'part' | 'absent' | 'unsupported';

type Media = Pick<LessonDetail, 'tracks'>;
export type CanPlay = (mime: string) => boolean;

/** A tier is judged by its tracks alone: what is verified here, and what the browser can decode. */
export function standing(lesson: Media, tier: TierName, canPlay: CanPlay): Standing {
  const tracks = TRACKS[tier].map((kind) => lesson.tracks.find((track) => track.kind === kind));
  if (tracks.some((track) => !track || track.verified_bytes === 0)) return 'absent';
  const held = tracks.filter((track) => track !== undefined);
  if (held.some((track) => !canPlay(mime(track.kind, track.codecs)))) return 'unsupported';
  return held.every((track) => track.is_complete) ? 'whole' : 'part';
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
