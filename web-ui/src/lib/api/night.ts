import { get, query, send } from './client';
import type { components } from './schema';
import type { Day, Entry, NextStep, Reason, TimeOfDay } from './timetable';
import type { TierName } from './types';

export interface NightSummary {
  total: number;
  ready: number;
  ready_at: number;
  not_ready: number;
  /** Those that are being read off the disk just now, and count as nothing else. */
  checking: number;
  downloading: number;
  expected_done_at: number | null;
  free_bytes: number;
  /** That is too little for what is wanted, and nothing on the disk may be let go. */
  is_disk_full: boolean;
  needs_nothing: boolean;
  clock_doubt: boolean;
}

/** A lesson that will probably not make it. */
export interface NightWarning {
  slot_id: string;
  reason: Reason;
  next_step: NextStep;
  /** How likely it is to make it all the same, 0 to 100. */
  probability_percent: number;
}

/** Why a lesson is where it is in the plan, or what keeps it. */
export type StepWhy = components['schemas']['StepWhy'];

/** What the plan believes about one lesson. */
export interface PlanLine {
  lesson_id: string;
  title: string;
  tier: TierName;
  from_school: string | null;
  by: number | null;
  /** How likely that is, 0 to 100. */
  probability_percent: number;
  why: StepWhy;
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
  /** Of this school the numbers are of now. */
  is_own: boolean;
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

export type CourierFor = components['schemas']['CourierFor'];
export type Pin = components['schemas']['PinnedLesson'];

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

type SchoolTold = components['schemas']['MapSchool'];

/** Reads what the hub says of a school: its newest day, if it has told of any. */
function mapSchool(told: SchoolTold): MapSchool {
  const { date, ready, ready_at, not_ready, written_at, lessons, ...school } = told;
  const day = { ready, ready_at, not_ready, lessons } as Omit<MapDay, 'date' | 'written_at'>;
  const link = school.link ?? null;
  return {
    hub_id: school.hub_id,
    school: school.school,
    is_lead: school.is_lead,
    is_own: school.is_own,
    days: date && written_at != null ? [{ ...day, date, written_at }] : [],
    last_seen_at: school.last_seen_at ?? null,
    link: {
      // A school needs no link to itself.
      is_up: !link || link.state === 'connected',
      receive_bytes_per_s: link?.receive_bytes_per_s ?? 0,
      send_bytes_per_s: link?.send_bytes_per_s ?? 0,
      usual_bytes_per_s: link?.usual_bytes_per_s ?? null,
      rtt_ms: link?.rtt_ms ?? null,
    },
  };
}

/** The calls about tonight and tomorrow. */
export const night = {
  /** With `check` its lessons are read off the disk, for somebody who opens the page. */
  report: (date?: Day, check?: true) => get<Night>(`/night${query({ date, check })}`),
  syncNow: () => send<void>('POST', '/night/sync_now'),
  pause: (until: number) => send<void>('POST', '/night/pause', { until }),
  goOn: () => send<void>('DELETE', '/night/pause'),
  slipUrl: (date: Day, lang: string) => `/api/v1/night/slip${query({ date, lang })}`,
  map: async () =>
    (await get<{ items: SchoolTold[] }>('/night/map')).items.map(mapSchool),
  courierList: (date?: Day) => get<CourierFor[]>(`/night/courier_list${query({ date })}`),
  pins: () => get<{ items: Pin[] }>('/night/pins'),
  pin: (lesson_id: string, is_urgent: boolean) =>
    send<void>('PUT', `/night/pins/${lesson_id}`, { is_urgent }),
  unpin: (lesson_id: string) => send<void>('DELETE', `/night/pins/${lesson_id}`),
  scrub: () => get<Scrub>('/night/scrub'),
  startScrub: () => send<void>('POST', '/night/scrub'),
  clockIsRight: () => send<void>('POST', '/night/clock/right'),
};
