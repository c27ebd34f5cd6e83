import type { IconName } from '$lib/ui/icons';
import type { Lesson, LessonDetail, TierName, TrackKind } from '$lib/api/types';
import { m } from '$lib/paraglide/messages';
import { floorOf } from '$lib/player/tier';

/** Colour, shape and word together: none of them says it alone. */
export interface Light {
  kind: 'ok' | 'warn' | 'bad' | 'calm';
  icon: IconName;
  words: string;
}

/** What is being read off the disk is neither ready nor not. */
export const CHECKING = (): Light => ({ kind: 'calm', icon: 'clock', words: m.checking_now() });

/** The name of a tier; of the lowest, what this lesson has of sound and slides. */
export function tierWords(tier: TierName, lesson?: Pick<LessonDetail, 'tracks'>): string {
  if (tier === 't0' && lesson) {
    return { both: m.tier_t0, sound: m.tier_t0_sound, slides: m.tier_t0_slides }[floorOf(lesson)]();
  }
  return { source: m.tier_source, t2: m.tier_t2, t1: m.tier_t1, t0: m.tier_t0 }[tier]();
}

export function trackWords(kind: TrackKind): string {
  return {
    audio: m.track_audio,
    slides: m.track_slides,
    'captions-1': m.track_captions,
    'captions-2': m.track_captions,
    'captions-3': m.track_captions,
    'captions-4': m.track_captions,
    thumbs: m.track_thumbs,
    'video-360': m.track_video_360,
    'video-480': m.track_video_480,
    source: m.track_source,
  }[kind]();
}

/** What the light of a lesson shows. Green only when every byte is verified here. */
export function lightOf({ readiness, status }: Pick<Lesson, 'readiness' | 'status'>): Light {
  if (readiness.state === 'ready') return { kind: 'ok', icon: 'check', words: m.ready() };
  if (readiness.state === 'ready_at') {
    const tier = readiness.tier ? tierWords(readiness.tier) : '';
    return { kind: 'warn', icon: 'half', words: m.ready_at({ tier }) };
  }
  return { kind: 'bad', icon: 'stop', words: m.not_ready({ reason: reasonOf(readiness, status) }) };
}

function reasonOf(readiness: Lesson['readiness'], status: Lesson['status']): string {
  if (readiness.reason === 'importing') return m.reason_importing();
  if (readiness.reason === 'import_failed') return m.reason_import_failed();
  if (readiness.reason === 'disk_full') return m.reason_disk_full();
  return status === 'receiving' ? m.reason_receiving() : m.reason_not_arrived();
}
