import type { Upload } from 'tus-js-client';
import type { Problem } from '$lib/api/problem';
import { isWorthRetrying, problemOf } from '$lib/upload/uploader.svelte';

/** At 20 Mbit/s about 3 s of sending: small enough for any limit on one request's size. */
const PART_BYTES = 8 * 1024 * 1024;
/** A hub that restarts or a cable pulled for a minute is waited for without a question. */
const RETRY_MS = [0, 500, 1_000, 2_000, 4_000, 8_000, 15_000, 15_000, 30_000];

/** A courier's file on its way from the teacher's own computer to the hub; resumable. */
export class Carrier {
  sent = $state(0);
  isPaused = $state(false);
  problem = $state<Problem | null>(null);
  #upload: Upload | null = null;
  #import_id = 0;

  constructor(
    readonly file: File,
    private readonly arrived: (import_id: number) => void | Promise<void>,
  ) {}

  /** Sends, from where an earlier try of the same file ended. */
  async start(): Promise<void> {
    const { Upload } = await import('tus-js-client');
    const upload = new Upload(this.file, {
      endpoint: '/api/v1/uploads',
      chunkSize: PART_BYTES,
      retryDelays: RETRY_MS,
      onShouldRetry: (failure) => isWorthRetrying(failure.originalResponse?.getStatus() ?? 0),
      removeFingerprintOnSuccess: true,
      metadata: { filename: this.file.name, kind: 'courier' },
      onProgress: (sent) => void (this.sent = sent),
      onAfterResponse: (_, answer) => {
        this.#import_id = Number(answer.getHeader('Yingxue-Import') ?? this.#import_id);
      },
      onSuccess: () => void (this.#import_id && this.arrived(this.#import_id)),
      onError: (failure) => {
        if (!this.isPaused) this.problem = problemOf(failure);
      },
    });
    this.#upload = upload;
    const [earlier] = await upload.findPreviousUploads();
    if (earlier) upload.resumeFromPreviousUpload(earlier);
    this.resume();
  }

  pause(): void {
    this.isPaused = true;
    void this.#upload?.abort();
  }

  resume(): void {
    this.isPaused = false;
    this.problem = null;
    this.#upload?.start();
  }

  /** Stops, and takes what had arrived off the hub. */
  async drop(): Promise<void> {
    await this.#upload?.abort(true).catch(() => {});
  }
}
