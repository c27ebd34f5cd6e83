import { describe, expect, it } from 'vitest';
import type { Track, TrackKind } from '$lib/api/types';
import { choose, mime, standing, whyNothing } from './tier';

const CODECS: Record<TrackKind, string> = {
  audio: 'opus',
  'video-360': 'av01.0.01M.08',
  source: 'avc1.42C01F,mp4a.40.2',
};
const any = () => true;
const old = (asked: string) => !asked.includes('av01') && !asked.includes('opus');

function lesson(held: Partial<Record<TrackKind, number>>) {
  const tracks = Object.entries(held).map(([kind, part]) => ({
    kind: kind as TrackKind,
    codecs: CODECS[kind as TrackKind],
    verified_bytes: part * 100,
    total_bytes: 100,
    is_complete: part === 1,
  }));
  return { tracks: tracks as Track[] };
}

describe('which tier plays', () => {
  it('is the best whole one when nothing was asked for', () => {
    expect(choose(lesson({ audio: 1, 'video-360': 1, source: 1 }), 'auto', any)).toBe('source');
    expect(choose(lesson({ audio: 1, 'video-360': 1, source: 0.4 }), 'auto', any)).toBe('t1');
    expect(choose(lesson({ audio: 1, 'video-360': 0.4, source: 0 }), 'auto', any)).toBe('audio');
  });

  it('is the best partly held one before any is whole', () => {
    expect(choose(lesson({ audio: 0.5, 'video-360': 0.1, source: 0 }), 'auto', any)).toBe('t1');
  });

  it('follows a wish for what is here in part', () => {
    expect(choose(lesson({ audio: 1, 'video-360': 1, source: 0.4 }), 'source', any)).toBe('source');
  });

  it('does not follow a wish for what is not here', () => {
    expect(choose(lesson({ audio: 1, source: 0 }), 'source', any)).toBe('audio');
  });

  it('leaves out what the browser cannot decode, and what failed in it', () => {
    expect(choose(lesson({ audio: 1, 'video-360': 1, source: 1 }), 't1', old)).toBe('source');
    expect(choose(lesson({ audio: 1, 'video-360': 1, source: 1 }), 'auto', any, ['source'])).toBe(
      't1',
    );
  });

  it('is none when nothing is here, or nothing can be decoded', () => {
    expect(choose(lesson({}), 'auto', any)).toBeNull();
    expect(whyNothing(lesson({}), any)).toBe('absent');
    expect(choose(lesson({ audio: 1, 'video-360': 1 }), 'auto', old)).toBeNull();
    expect(whyNothing(lesson({ audio: 1, 'video-360': 1 }), old)).toBe('unsupported');
  });
});

describe('standing', () => {
  it('needs sound and picture for the light tier', () => {
    expect(standing(lesson({ 'video-360': 1 }), 't1', any)).toBe('absent');
    expect(standing(lesson({ 'video-360': 1, audio: 0.5 }), 't1', any)).toBe('part');
    expect(standing(lesson({ 'video-360': 1, audio: 1 }), 't1', any)).toBe('whole');
  });
});

it('asks the browser by MIME type and codecs', () => {
  expect(mime('audio', 'opus')).toBe('audio/mp4; codecs="opus"');
  expect(mime('video-360', 'av01.0.01M.08')).toBe('video/mp4; codecs="av01.0.01M.08"');
});
