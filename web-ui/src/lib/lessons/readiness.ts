import type { IconName } from '$lib/ui/icons';
import type { Lesson, TierName } from '$lib/api/types';
import { m } from '$lib/paraglide/messages';

/** Colour, shape and word together: none of them says it alone. */
export interface Light {
  kind: 'ok' | 'warn' | 'bad' | 'calm';
  icon: IconName;
  words: string;
}

export function tierWords(tier: TierName): string {
  return { source: m.tier_source, t1: m.tier_t1, audio: m.tier_audio }[tier]();
}

export function trackWords(kind: 'audio' | 'video-360' | 'source'): string {
  return { audio: m.track_audio, 'video-360': m.track_video, source: m.track_source }[kind]();
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
  return status === 'receiving' ? m.reason_receiving() : m.reason_not_arrived();
}
