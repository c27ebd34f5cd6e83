import { Problem } from './problem';
import type * as api from './types';

/** Told about every answer: one place knows whether the hub is there and who is logged in. */
export interface Watcher {
  reached(): void;
  lost(): void;
  loggedOut(): void;
}

let watcher: Watcher | null = null;

export function watch(next: Watcher): void {
  watcher = next;
}

/** A hub ends every request within 90 s; the slowest is joining an alliance over a satellite. */
const ANSWER_MS_MAX = 100_000;

/** Calls the hub with a JSON body, or none; every failure is a `Problem`. */
export function send<T>(method: string, path: string, body?: unknown): Promise<T> {
  const isEmpty = body === undefined;
  const headers: HeadersInit = isEmpty ? {} : { 'content-type': 'application/json' };
  return ask(path, { method, headers, body: isEmpty ? null : JSON.stringify(body) });
}

/** Sends a small file as it is; the hub looks at what it holds. */
export function sendFile<T>(path: string, file: File): Promise<T> {
  const type = file.type || 'application/octet-stream';
  return ask(path, { method: 'POST', headers: { 'content-type': type }, body: file });
}

export const get = <T>(path: string) => send<T>('GET', path);

async function ask<T>(path: string, request: RequestInit): Promise<T> {
  const abort = new AbortController();
  const timer = setTimeout(() => abort.abort(), ANSWER_MS_MAX);
  let answer: Response;
  try {
    answer = await fetch(`/api/v1${path}`, { ...request, signal: abort.signal });
  } catch {
    watcher?.lost();
    throw new Problem('unreachable', 0, '');
  } finally {
    clearTimeout(timer);
  }
  watcher?.reached();
  if (!answer.ok) throw await failure(answer);
  // What is begun and goes on by itself is answered without words too.
  const text = await answer.text();
  return (text === '' ? undefined : JSON.parse(text)) as T;
}

async function failure(answer: Response): Promise<Problem> {
  const problem = await Problem.from(answer);
  if (problem.code === 'not_logged_in') watcher?.loggedOut();
  return problem;
}

const id = encodeURIComponent;

export interface LessonQuery {
  q?: string;
  subject?: string;
  after?: string;
}

/** The fields that say something, as the end of an address. */
export function query(fields: object): string {
  const pairs = Object.entries(fields).filter(([, value]) => value !== undefined && value !== '');
  return pairs.length ? `?${new URLSearchParams(pairs as [string, string][])}` : '';
}

type LessonEdit = Partial<Pick<api.Lesson, 'title' | 'subject' | 'grade' | 'teacher'>>;
type SetUp = { code: string; school: string; name: string; login: string; password: string };
type NewUser = { login: string; name: string; role: api.Role; password: string };
type NewComment = { op_id: string; text: string; at_ms: number | null };

/** One function for each call of the hub's API; every failure is a `Problem`. */
export const hub = {
  state: () => get<api.HubState>('/state'),
  setUp: (body: SetUp) => send<{ user: api.User }>('POST', '/setup', body),
  logIn: (login: string, password: string) =>
    send<{ user: api.User }>('POST', '/session', { login, password }),
  logOut: () => send<void>('DELETE', '/session'),

  users: () => get<{ items: api.User[] }>('/users'),
  addUser: (body: NewUser) => send<api.User>('POST', '/users', body),
  changeUser: (user: string, body: Partial<NewUser>) =>
    send<api.User>('PATCH', `/users/${id(user)}`, body),
  deleteUser: (user: string) => send<void>('DELETE', `/users/${id(user)}`),

  alliance: () => get<api.Alliance>('/alliance'),
  found: (name: string) => send<api.Alliance>('POST', '/alliance', { name }),
  invite: (valid_hours: number) =>
    send<api.Invitation>('POST', '/alliance/invitations', { valid_hours }),
  join: (invitation: string) => send<api.Alliance>('POST', '/alliance/join', { invitation }),
  revoke: (hub_id: string) => send<void>('DELETE', `/alliance/members/${id(hub_id)}`),

  lessons: (fields: LessonQuery) => get<api.LessonPage>(`/lessons${query(fields)}`),
  lesson: (lesson: string) => get<api.LessonDetail>(`/lessons/${id(lesson)}`),
  /** Reads what a lesson is played from off the disk, before it is taught. */
  beginLesson: (lesson: string) =>
    send<{ is_checked: boolean }>('POST', `/lessons/${id(lesson)}/begin`),
  sayPlaying: (lesson: string) => send<void>('POST', `/lessons/${id(lesson)}/playing`),
  timeline: (lesson: string) => get<api.Timeline>(`/lessons/${id(lesson)}/timeline`),
  changeLesson: (lesson: string, body: LessonEdit) =>
    send<api.LessonDetail>('PATCH', `/lessons/${id(lesson)}`, body),
  addCaptions: (lesson: string, file: File) =>
    sendFile<api.LessonDetail>(
      `/lessons/${id(lesson)}/captions${query({ filename: file.name })}`,
      file,
    ),
  removeCaptions: (lesson: string, kind: string) =>
    send<api.LessonDetail>('DELETE', `/lessons/${id(lesson)}/captions/${id(kind)}`),
  setPageTimes: (lesson: string, starts_ms: number[]) =>
    send<api.LessonDetail>('PUT', `/lessons/${id(lesson)}/page_times`, { starts_ms }),
  deleteLesson: (lesson: string) => send<void>('DELETE', `/lessons/${id(lesson)}`),
  restoreLesson: (lesson: string) =>
    send<api.LessonDetail>('POST', `/lessons/${id(lesson)}/restore`),

  comments: (lesson: string) => get<{ items: api.Comment[] }>(`/lessons/${id(lesson)}/comments`),
  addComment: (lesson: string, body: NewComment) =>
    send<api.Comment>('POST', `/lessons/${id(lesson)}/comments`, body),
  deleteComment: (lesson: string, comment: string) =>
    send<void>('DELETE', `/lessons/${id(lesson)}/comments/${id(comment)}`),

  uploads: () => get<{ items: api.UploadState[] }>('/uploads'),
  upload: (upload: string) => get<api.UploadState>(`/uploads/${id(upload)}`),
  dropUpload: (upload: string) => send<void>('DELETE', `/uploads/${id(upload)}`),
  jobs: () => get<{ items: api.Job[] }>('/jobs'),
  cancelJob: (job: number) => send<void>('DELETE', `/jobs/${job}`),
  goOnWithJob: (job: number) => send<void>('POST', `/jobs/${job}/go_on`),
  retryJob: (job: number) => send<api.Job>('POST', `/jobs/${job}/retry`),

  contacts: () => get<api.Contacts>('/contacts'),
  demo: () => get<api.Demo>('/demo'),
  setLink: (is_online: boolean) => send<{ is_online: boolean }>('PUT', '/demo/link', { is_online }),
};
