import { get, query, send } from './client';
import type { Day, Entry, NextStep, Reason, TimeOfDay } from './timetable';
import type { TierName } from './types';

export interface NightSummary {
  total: number;
  ready: number;
  ready_at: number;
  not_ready: number;
  downloading: number;
  expected_done_at: number | null;
  free_bytes: number;
  needs_nothing: boolean;
  clock_doubt: boolean;
}

/** A lesson that will probably not make it. */
export interface NightWarning {
  slot_id: string;
  reason: Reason | null;
  next_step: NextStep;
  /** None where nothing can be said. */
  probability: number | null;
}

/** What the plan believes about one lesson. */
export interface PlanLine {
  lesson_id: string;
  title: string;
  tier: TierName;
  from_school: string | null;
  by: number | null;
  probability: number;
  why: string;
}

export interface Night {
  date: Day;
  now: number;
  generated_at: number;
  summary: NightSummary;
  entries: Entry[];
  warnings: NightWarning[];
  paused_until: number | null;
  number_for_support: string;
  is_online: boolean;
  window: { from: TimeOfDay; to: TimeOfDay; is_open: boolean };
  /** What may be fetched now. */
  allowance: 'open' | 'window' | 'class' | 'paused' | 'budget';
  plan: PlanLine[];
}

/** What a school says of one of its days. */
export interface MapDay {
  date: Day;
  ready: number;
  ready_at: number;
  not_ready: number;
  written_at: number;
  lessons: { lesson_id: string | null; state: string; tier: TierName | null }[];
}

/** A school of the alliance, as far as its news has come. */
export interface MapSchool {
  hub_id: string;
  school: string;
  is_lead: boolean;
  /** The newest first. */
  days: MapDay[];
  last_seen_at: number | null;
  link: {
    is_up: boolean;
    receive_bytes_per_s: number;
    send_bytes_per_s: number;
    usual_bytes_per_s: number | null;
    rtt_ms: number | null;
  };
}

export interface Scrub {
  running: boolean;
  checked_bytes: number;
  total_bytes: number;
  last_finished_at: number | null;
  damaged: {
    lesson_id: string | null;
    title: string;
    pieces: number;
    found_at: number;
    mended_at: number | null;
  }[];
}

/** The calls about tonight and tomorrow. */
export const night = {
  report: (date?: Day) => get<Night>(`/night${query({ date })}`),
  syncNow: () => send<void>('POST', '/night/sync_now'),
  pause: (until: number) => send<void>('POST', '/night/pause', { until }),
  goOn: () => send<void>('DELETE', '/night/pause'),
  slipUrl: (date: Day, lang: string) => `/api/v1/night/slip${query({ date, lang })}`,
  map: () => get<MapSchool[]>('/night/map'),
  scrub: () => get<Scrub>('/night/scrub'),
  startScrub: () => send<void>('POST', '/night/scrub'),
};
