import { get, send } from './client';

export type AlarmKind =
  | 'fork'
  | 'equivocation'
  | 'restored'
  | 'wrong_piece'
  | 'damage'
  | 'trespass'
  | 'witness';

/** Something that a person has to know about, kept until somebody has seen it. */
export interface Alarm {
  id: number;
  at: number;
  kind: AlarmKind;
  school: string | null;
  /** Which sentence says it. */
  text_code: string;
  params: Record<string, unknown>;
  is_seen: boolean;
}

/** The calls about alarms. */
export const alarms = {
  list: () => get<{ items: Alarm[]; is_in_doubt: boolean }>('/alarms'),
  see: (alarm: number) => send<void>('POST', `/alarms/${alarm}/seen`),
  /** Writes on, although no other hub gave back what this one wrote before it was restored. */
  endDoubt: () => send<void>('POST', '/alarms/doubt/end'),
};
