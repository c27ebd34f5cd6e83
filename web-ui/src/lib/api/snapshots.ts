import { get, send } from './client';
import type { components } from './schema';

export type Snapshots = components['schemas']['Snapshots'];
export type Repair = NonNullable<Snapshots['last_repair']>;

/** The calls about copies of the database, and what was repaired. */
export const snapshots = {
  show: () => get<Snapshots>('/snapshots'),
  copyNow: () => send<void>('POST', '/snapshots'),
};
