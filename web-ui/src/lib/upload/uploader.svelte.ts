import type { Upload } from 'tus-js-client';
import { Problem } from '$lib/api/problem';
import type { UploadState } from '$lib/api/types';

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

/** One file on its way to the hub; resumable after reload when the same file is chosen again. */
export class Uploader {
  phase = $state<Phase>('sending');
  sent = $state(0);
  bytes_per_s = $state(0);
  problem = $state<Problem | null>(null);
  lesson_id = $state<string | null>(null);
  #upload: Upload | null = null;
  #seen: { at: number; sent: number }[] = [];

  constructor(
    readonly file: File,
    readonly about: About,
    private readonly now: () => number = () => performance.now(),
  ) {}

  /**
   * Goes on where an earlier upload of the same file ended: as this browser remembers it, else as
   * the hub does (same name and length). Otherwise begins. Loads tus at first use.
   */
  async start(unfinished: readonly UploadState[] = []): Promise<void> {
    const { Upload } = await import('tus-js-client');
    const upload = new Upload(this.file, {
      endpoint: '/api/v1/uploads',
      chunkSize: PART_BYTES,
      retryDelays: RETRY_MS,
      onShouldRetry: (failure) => isWorthRetrying(failure.originalResponse?.getStatus() ?? 0),
      removeFingerprintOnSuccess: true,
      metadata: { filename: this.file.name, ...this.about },
      onProgress: (sent) => this.#progressed(sent),
      onAfterResponse: (_, answer) => this.#answered(answer.getHeader('Yingxue-Lesson')),
      onSuccess: () => void (this.phase = 'done'),
      onError: (failure) => this.#failed(failure),
    });
    this.#upload = upload;
    const [earlier] = await upload.findPreviousUploads();
    const known = unfinished.find(
      (one) => one.filename === this.file.name && one.length === this.file.size,
    );
    if (earlier) upload.resumeFromPreviousUpload(earlier);
    else if (known) upload.options.uploadUrl = `/api/v1/uploads/${known.id}`;
    this.resume();
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
    await this.#upload?.abort(true).catch(() => {});
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
