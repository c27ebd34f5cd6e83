import { get, send } from './client';

export interface Target {
  hub_id: string;
  school: string;
  last_receipt_at: number | null;
  missing_lessons: number;
  bytes: number;
}

export interface Drive {
  folder: string;
  name: string;
  free_bytes: number;
  total_bytes: number;
  is_writable: boolean;
}

export type CourierState = 'queued' | 'running' | 'done' | 'failed' | 'cancelled';

export interface Export {
  id: string;
  state: CourierState;
  done_bytes: number;
  total_bytes: number;
  lessons: { lesson_id: string; title: string }[];
  files: { name: string; bytes: number; url: string }[];
  error: { code: string; detail: string } | null;
}

export interface CourierImport {
  id: string;
  state: CourierState;
  done_bytes: number;
  total_bytes: number;
  accepted: { envelopes: number; blobs: number; lessons: number };
  refused: { file: string; why: string; code?: string }[];
  error: { code: string; detail: string } | null;
}

const id = encodeURIComponent;

/** The calls of the courier: a stick that carries lessons both ways. */
export const courier = {
  targets: () => get<{ items: Target[] }>('/courier/targets'),
  drives: () => get<{ items: Drive[] }>('/courier/drives'),
  startExport: (body: { to: string[]; bytes_max: number | null; folder: string | null }) =>
    send<Export>('POST', '/courier/exports', body),
  export: (one: string) => get<Export>(`/courier/exports/${id(one)}`),
  cancelExport: (one: string) => send<void>('DELETE', `/courier/exports/${id(one)}`),
  startImport: (folder: string) => send<CourierImport>('POST', '/courier/imports', { folder }),
  import: (one: string) => get<CourierImport>(`/courier/imports/${id(one)}`),
};
