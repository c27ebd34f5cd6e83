import type { CourierState } from '$lib/api/courier';

/** A stick writes tens of megabytes a second; a meter that moves each second is alive. */
const RENEW_MS = 1_000;
/** A hub that restarts goes on with its job; so long is it asked before the page says so. */
const MISSES_MAX = 10;

export function isRunning(state: CourierState): boolean {
  return state === 'queued' || state === 'running';
}

/** Asks again while a job runs; answers how to stop, for an effect to call. */
export function follow<Job extends { id: number; state: CourierState }>(
  job: Job | null,
  ask: (id: number) => Promise<Job>,
  show: (job: Job) => void,
  fail: (why: unknown) => void,
): () => void {
  if (!job || !isRunning(job.state)) return () => {};
  let isOver = false;
  let misses = 0;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const next = async () => {
    try {
      const now = await ask(job.id);
      if (!isOver) show(now);
    } catch (why) {
      misses += 1;
      if (isOver) return;
      if (misses >= MISSES_MAX) fail(why);
      else timer = setTimeout(() => void next(), RENEW_MS);
    }
  };
  timer = setTimeout(() => void next(), RENEW_MS);
  return () => {
    isOver = true;
    clearTimeout(timer);
  };
}

const key = (side: string) => `yingxue.courier.${side}`;

/** The job of this browser, found again after a reload. */
export const kept = {
  get: (side: 'export' | 'import') => Number(read(key(side)) ?? 0),
  set: (side: 'export' | 'import', id: number) => write(key(side), String(id)),
  clear: (side: 'export' | 'import') => write(key(side), null),
};

function read(name: string): string | null {
  try {
    return sessionStorage.getItem(name);
  } catch {
    return null; // storage refused by the browser: the job goes on, unseen
  }
}

function write(name: string, value: string | null): void {
  try {
    if (value === null) sessionStorage.removeItem(name);
    else sessionStorage.setItem(name, value);
  } catch {
    // as above
  }
}
