import type { Upload } from 'tus-js-client';
import { hub } from '$lib/api/client';
import { Problem } from '$lib/api/problem';
import type { UploadState } from '$lib/api/types';
import { freshGroup, knownOf, type Known } from './known';

/** What a teacher says about a lesson file. */
export interface About {
  title: string;
  subject: string;
  grade: string;
  teacher: string;
}

/** At 20 Mbit/s about 3 s of sending: small enough for any limit on one request's size. */
const PART_BYTES = 8 * 1024 * 1024;
/** A hub that restarts or a cable pulled for a minute is waited for without a question. */
const RETRY_MS = [0, 500, 1_000, 2_000, 4_000, 8_000, 15_000, 15_000, 30_000];
/** The speed shown is that of the last seconds, not of the whole upload. */
const SPEED_OVER_MS = 4_000;

type Phase = 'sending' | 'paused' | 'failed' | 'done';

/** The files of one lesson on their way to the hub, one after the other; resumable after reload
 * when the same files are chosen again. */
export class Uploader {
  phase = $state<Phase>('sending');
  /** Bytes of all files that have arrived. */
  sent = $state(0);
  bytes_per_s = $state(0);
  problem = $state<Problem | null>(null);
  lesson_id = $state<string | null>(null);
  /** Bytes of all files. */
  readonly size: number;
  #known: Known<File>;
  #at = 0;
  #before = 0;
  #upload: Upload | null = null;
  #begun: string[] = [];
  #seen: { at: number; sent: number }[] = [];

  constructor(
    files: readonly File[],
    readonly about: About,
    private readonly now: () => number = () => performance.now(),
  ) {
    this.#known = { group: null, files: [...files], uploads: [] };
    this.size = files.reduce((sum, file) => sum + file.size, 0);
  }

  get files(): readonly File[] {
    return this.#known.files;
  }

  /** Whether an unfinished upload of the hub is one of these. */
  has(upload: UploadState): boolean {
    const group = upload.group?.id ?? null;
    if (group !== this.#known.group) return false;
    return this.files.some((file) => file.name === upload.filename && file.size === upload.length);
  }

  /**
   * Goes on where an earlier upload of the same files ended: as the hub remembers it, and of one
   * file as this browser does. Otherwise begins.
   */
  async start(unfinished: readonly UploadState[] = []): Promise<void> {
    this.#known = knownOf(this.files, unfinished, freshGroup);
    this.#begun = this.#known.uploads.flatMap((one) => (one ? [one.id] : []));
    await this.#next();
  }

  /** Sends the next file. Loads tus at first use. */
  async #next(): Promise<void> {
    const { Upload } = await import('tus-js-client');
    const file = this.files[this.#at];
    if (!file) return void (this.phase = 'done');
    const { group } = this.#known;
    const upload = new Upload(file, {
      endpoint: '/api/v1/uploads',
      chunkSize: PART_BYTES,
      retryDelays: RETRY_MS,
      onShouldRetry: (failure) => isWorthRetrying(failure.originalResponse?.getStatus() ?? 0),
      // A file of several may be in another lesson as well: only the hub knows which is meant.
      storeFingerprintForResuming: group === null,
      removeFingerprintOnSuccess: true,
      metadata: { filename: file.name, ...this.about, ...this.#place(group) },
      onProgress: (sent) => this.#progressed(this.#before + sent),
      onAfterResponse: (_, answer) => this.#answered(answer.getHeader('Yingxue-Lesson')),
      onSuccess: () => this.#arrived(file),
      onError: (failure) => this.#failed(failure),
    });
    this.#upload = upload;
    const known = this.#known.uploads[this.#at];
    const [earlier] = group === null ? await upload.findPreviousUploads() : [];
    if (earlier) upload.resumeFromPreviousUpload(earlier);
    else if (known) upload.options.uploadUrl = `/api/v1/uploads/${known.id}`;
    if (this.phase === 'sending') upload.start();
  }

  #place(group: string | null): Record<string, string> {
    if (group === null) return {};
    const [files, place] = [String(this.files.length), String(this.#at)];
    return { group, group_files: files, group_place: place };
  }

  #arrived(file: File): void {
    this.#note();
    this.#before += file.size;
    this.#at += 1;
    void this.#next();
  }

  /** Remembers what was begun, so that it can be taken away again. */
  #note(): void {
    const id = this.#upload?.url?.split('/').pop();
    if (id && !this.#begun.includes(id)) this.#begun.push(id);
  }

  pause(): void {
    this.phase = 'paused';
    this.bytes_per_s = 0;
    void this.#upload?.abort();
  }

  resume(): void {
    this.phase = 'sending';
    this.problem = null;
    this.#seen = [];
    this.#upload?.start();
  }

  /** Stops, and takes what had arrived off the hub. */
  async drop(): Promise<void> {
    this.phase = 'paused';
    await this.#upload?.abort().catch(() => {});
    this.#note();
    // One that became a lesson meanwhile stays.
    await Promise.all(this.#begun.map((id) => hub.dropUpload(id).catch(() => {})));
  }

  #progressed(sent: number): void {
    const at = this.now();
    this.sent = sent;
    this.#seen = [...this.#seen.filter((one) => at - one.at < SPEED_OVER_MS), { at, sent }];
    const first = this.#seen[0];
    if (first && at > first.at) this.bytes_per_s = ((sent - first.sent) * 1000) / (at - first.at);
  }

  #answered(lesson: string | undefined): void {
    if (lesson) this.lesson_id = lesson;
  }

  #failed(failure: Error): void {
    if (this.phase === 'paused') return;
    this.phase = 'failed';
    this.bytes_per_s = 0;
    this.problem = problemOf(failure);
  }
}

/** A full disk (507) does not empty itself in a minute; a lost or restarting hub comes back. */
export function isWorthRetrying(status: number): boolean {
  return status === 0 || status === 409 || status === 423 || (status >= 500 && status !== 507);
}

/** What the hub said, out of tus's own error. */
export function problemOf(failure: unknown): Problem {
  const answer = (failure as { originalResponse?: Answer | null }).originalResponse;
  if (!answer || answer.getStatus() === 0) return new Problem('unreachable', 0, '');
  try {
    return Problem.fromBody(answer.getStatus(), JSON.parse(answer.getBody()));
  } catch {
    return new Problem('internal', answer.getStatus(), '');
  }
}

interface Answer {
  getStatus(): number;
  getBody(): string;
}
