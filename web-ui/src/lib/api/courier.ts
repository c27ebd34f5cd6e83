import { get, send } from './client';
import type { components } from './schema';

export interface Target {
  hub_id: string;
  school: string;
  last_receipt_at: number | null;
  missing_lessons: number;
  bytes: number;
}

export interface Drive {
  folder: string;
  label: string;
  free_bytes: number;
  total_bytes: number;
  is_read_only: boolean;
  /** True if a courier's folder is on it. */
  has_courier: boolean;
}

export type CourierState = 'queued' | 'running' | 'done' | 'failed' | 'cancelled';

/** An export to be made; without lessons, of whatever the schools lack. */
export interface ExportAsked {
  to: string[];
  lessons?: string[];
  bytes_max: number | null;
  folder: string | null;
}

export interface Export {
  id: number;
  folder: string | null;
  state: CourierState;
  done_bytes: number;
  total_bytes: number;
  lessons: { lesson_id: string; title: string }[];
  files: { name: string; bytes: number; url: string; hub_id: string }[];
  /** Until when they are kept; none if there are none. */
  files_until: number | null;
  to: { hub_id: string; school: string }[];
  /** Lessons, or qualities of them, for which there was no room. */
  left_out: number;
  stick_bytes: number;
  error: { code: string; detail: string } | null;
}

export interface CourierImport {
  id: number;
  folder: string | null;
  state: CourierState;
  done_bytes: number;
  total_bytes: number;
  accepted: { envelopes: number; blobs: number; lessons: number };
  /** What became of the receipt for the other school. */
  receipt: 'written' | 'kept' | 'with_next_export' | null;
  refused: components['schemas']['RefusedFile'][];
  /** Schools that have joined by their answers to invitations. */
  admitted: string[];
  /** The alliance that this school has joined by it. */
  joined: string | null;
  error: { code: string; detail: string } | null;
}

/** An answer to an invitation, on its way to the lead school. */
export interface CourierAnswer {
  expires_at: number;
  file: { name: string; base64: string } | null;
}

/** The calls of the courier: a stick that carries lessons both ways. */
export const courier = {
  targets: () => get<{ items: Target[] }>('/courier/targets'),
  drives: () => get<{ items: Drive[] }>('/courier/drives'),
  startExport: (body: ExportAsked) => send<Export>('POST', '/courier/exports', body),
  export: (id: number) => get<Export>(`/courier/exports/${id}`),
  cancelExport: (id: number) => send<void>('DELETE', `/courier/exports/${id}`),
  answer: (invitation: string, folder: string | null) =>
    send<CourierAnswer>('POST', '/courier/answers', { invitation, folder }),
  answered: () => get<{ answer: CourierAnswer | null }>('/courier/answers'),
  startImport: (folder: string) => send<CourierImport>('POST', '/courier/imports', { folder }),
  import: (id: number) => get<CourierImport>(`/courier/imports/${id}`),
};
