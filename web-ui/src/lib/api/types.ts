import type { components } from './schema';

/**
 * What the hub's HTTP API says, named as the screens use it. The shapes are generated from
 * `hub/openapi.json` (`npm run generate`); here only what a schema cannot say is made narrower.
 * Times are unix milliseconds, sizes are bytes.
 */
type Said = components['schemas'];

/** The hub writes null where it has nothing and never leaves a field out. */
export type Whole<T> = T extends (infer Item)[]
  ? Whole<Item>[]
  : T extends object
    ? { [Key in keyof T]-?: Whole<Exclude<T[Key], undefined>> }
    : T;

/** A shape with some of its fields made narrower. */
type But<T, Narrow> = Omit<T, keyof Narrow> & Narrow;

export type TierName = Said['TierName'];
export type TrackKind = Said['TrackKind'];

export type Role = Said['Role'];
export type User = Whole<Said['User']>;
export type HubState = Whole<Said['HubState']>;
export type Member = Whole<Said['Member']>;
export type Alliance = Whole<Said['Alliance']>;
export type Invitation = Whole<Said['Invitation']>;
export type Job = Whole<Said['Job']>;
export type Comment = Whole<Said['Comment']>;
export type UploadState = Whole<Said['Upload']>;
export type HubContact = But<
  Whole<Said['Hub']>,
  { state: 'connected' | 'trying' | 'offline' }
>;

type Reason = 'importing' | 'import_failed' | 'not_arrived' | 'disk_full';
export type Readiness = But<
  Whole<Said['Readiness']>,
  { tier: TierName | null; reason: Reason | null }
>;
export type Lesson = But<Whole<Said['Lesson']>, { readiness: Readiness }>;
export type Track = But<Whole<Said['Track']>, { kind: TrackKind }>;
export type Tier = But<Whole<Said['Tier']>, { name: TierName }>;
export type LessonDetail = But<
  Whole<Said['LessonDetail']>,
  { readiness: Readiness; tracks: Track[]; tiers: Tier[] }
>;
/** A stretch of a lesson: from, to (not included), in milliseconds. */
export type Stretch = [from_ms: number, to_ms: number];
export type Timeline = But<
  Whole<Said['Timeline']>,
  { missing: Record<TierName, Stretch[] | null> }
>;
export type LessonPage = But<Whole<Said['LessonList']>, { items: Lesson[] }>;

export type WaitingTrack = But<Whole<Said['WaitingTrack']>, { track: TrackKind }>;
export type Meeting = But<Whole<Said['HistoryEntry']>, { event: 'met' | 'left' }>;
export type Contacts = But<
  Whole<Said['Contacts']>,
  { hubs: HubContact[]; waiting: WaitingTrack[]; history: Meeting[] }
>;

export type DemoLogin = But<Whole<Said['DemoLogin']>, { role: Role }>;
export type Demo = But<Whole<Said['Demo']>, { logins: DemoLogin[] }>;
