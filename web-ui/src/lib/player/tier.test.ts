import { describe, expect, it } from 'vitest';
import type { Track, TrackKind } from '$lib/api/types';
import { choose, floorOf, isOffered, isRemade, mime, standing, whyNothing } from './tier';

const CODECS: Partial<Record<TrackKind, string>> = {
  audio: 'opus',
  slides: 'av01.0.05M.08',
  'video-360': 'av01.0.01M.08',
  'video-480': 'av01.0.04M.08',
  source: 'avc1.42C01F,mp4a.40.2',
};
const any = () => true;
const old = (asked: string) => !asked.includes('av01') && !asked.includes('opus');
const none = () => false;

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
    expect(choose(lesson({ audio: 1, 'video-360': 0.4, source: 0 }), 'auto', any)).toBe('t0');
    const clear = { audio: 1, slides: 1, 'video-360': 1, 'video-480': 1, source: 0.9 };
    expect(choose(lesson(clear), 'auto', any)).toBe('t2');
  });

  it('is the best partly held one before any is whole', () => {
    expect(choose(lesson({ audio: 0.5, 'video-360': 0.1, source: 0 }), 'auto', any)).toBe('t1');
  });

  it('follows a wish for what is here in part', () => {
    expect(choose(lesson({ audio: 1, 'video-360': 1, source: 0.4 }), 'source', any)).toBe('source');
  });

  it('does not follow a wish for what is not here', () => {
    expect(choose(lesson({ audio: 1, source: 0 }), 'source', any)).toBe('t0');
  });

  it('leaves out what the browser cannot decode, and what failed in it', () => {
    expect(choose(lesson({ audio: 1, 'video-480': 1, source: 1 }), 't2', old)).toBe('source');
    expect(choose(lesson({ audio: 1, 'video-360': 1, source: 1 }), 'auto', any, ['source'])).toBe(
      't1',
    );
  });

  it('is none when nothing is here, or nothing can be decoded', () => {
    expect(choose(lesson({}), 'auto', any)).toBeNull();
    expect(whyNothing(lesson({}), any)).toBe('absent');
    expect(choose(lesson({ audio: 1, 'video-360': 1 }), 'auto', none)).toBeNull();
    expect(whyNothing(lesson({ audio: 1, 'video-360': 1 }), none)).toBe('unsupported');
  });
});

describe('standing', () => {
  it('needs sound and picture for the light tier, if the lesson has both', () => {
    expect(standing(lesson({ 'video-360': 1, audio: 0 }), 't1', any)).toBe('absent');
    expect(standing(lesson({ 'video-360': 1, audio: 0.5 }), 't1', any)).toBe('part');
    expect(standing(lesson({ 'video-360': 1, audio: 1 }), 't1', any)).toBe('whole');
    expect(standing(lesson({ 'video-360': 1 }), 't1', any)).toBe('whole');
  });

  it('plays sound while slides are still to come', () => {
    expect(standing(lesson({ audio: 1, slides: 0 }), 't0', any)).toBe('part');
    expect(standing(lesson({ audio: 0, slides: 1 }), 't0', any)).toBe('absent');
    expect(standing(lesson({ slides: 0.5 }), 't0', any)).toBe('part');
    expect(standing(lesson({ slides: 0 }), 't0', any)).toBe('absent');
  });

  it('asks nothing about slides: they are pictures, in AVIF or JPEG', () => {
    expect(standing(lesson({ slides: 1 }), 't0', none)).toBe('whole');
    expect(standing(lesson({ slides: 1, audio: 1 }), 't0', none)).toBe('unsupported');
  });
});

describe('a browser without AV1 or Opus', () => {
  it('gets the light tiers remade by the hub, and no other', () => {
    const held = lesson({ audio: 1, slides: 1, 'video-360': 1, 'video-480': 1 });
    expect(choose(held, 'auto', old)).toBe('t1');
    expect(standing(held, 't2', old)).toBe('unsupported');
    expect(isRemade(held, 't1', old)).toBe(true);
    expect(isRemade(held, 't1', any)).toBe(false);
    expect(isRemade(held, 't0', old)).toBe(true);
    expect(isRemade(lesson({ slides: 1 }), 't0', old)).toBe(false);
  });
});

describe('what is offered', () => {
  it('is what the lesson has, here or elsewhere', () => {
    const one = lesson({ audio: 0, 'video-360': 0, source: 0 });
    expect((['source', 't2', 't1', 't0'] as const).map((tier) => isOffered(one, tier))).toEqual([
      true,
      false,
      true,
      true,
    ]);
  });

  it('names the floor after what there is of it', () => {
    expect(floorOf(lesson({ audio: 0, slides: 0 }))).toBe('both');
    expect(floorOf(lesson({ audio: 1, source: 1 }))).toBe('sound');
    expect(floorOf(lesson({ slides: 1 }))).toBe('slides');
  });
});

it('asks the browser by MIME type and codecs', () => {
  expect(mime('audio', 'opus')).toBe('audio/mp4; codecs="opus"');
  expect(mime('video-360', 'av01.0.01M.08')).toBe('video/mp4; codecs="av01.0.01M.08"');
});
