import { get, send } from './client';

export const ALARM_KINDS = ['fork', 'equivocation', 'restored', 'wrong_piece', 'damage'] as const;
export type AlarmKind = (typeof ALARM_KINDS)[number];

/** Something that a person has to know about, kept until somebody has seen it. */
export interface Alarm {
  id: string;
  at: number;
  kind: AlarmKind;
  school: string | null;
  text_code: string;
  params: Record<string, unknown>;
  is_seen: boolean;
}

/** The calls about alarms. */
export const alarms = {
  list: () => get<{ items: Alarm[] }>('/alarms'),
  see: (alarm: string) => send<void>('POST', `/alarms/${encodeURIComponent(alarm)}/seen`),
};
