import type { ChildProcess } from 'node:child_process';
import { rmSync } from 'node:fs';
import { createServer } from 'node:net';

/** A hub syncs its last writes before it ends; a busy disk takes seconds. */
const STOP_MS_MAX = 15_000;

/** The binary under test. */
export function binary(): string {
  const path = process.env.YINGXUE_BIN;
  if (!path) throw new Error('Set YINGXUE_BIN to the yingxue binary to walk through.');
  return path;
}

/** Ends a hub or a demo with its hubs, and takes its directory away. */
export async function stop(child: ChildProcess, folder: string): Promise<void> {
  await end(child);
  rmSync(folder, { recursive: true, force: true });
}

/** Ends a hub, or a demo with its hubs. */
export async function end(child: ChildProcess): Promise<void> {
  const ended = new Promise((done) => child.once('exit', done));
  if (child.pid !== undefined && child.exitCode === null) {
    child.kill('SIGTERM');
    const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS_MAX);
    await ended;
    clearTimeout(timer);
  }
}

/** The first of `count` neighbouring ports that are free on loopback just now. */
export async function freePorts(count: number): Promise<number> {
  for (let base = 17_300; base < 18_300; base += 10) {
    const ports = Array.from({ length: count }, (_, index) => base + index);
    if ((await Promise.all(ports.map(isFree))).every(Boolean)) return base;
  }
  throw new Error('No free ports between 17300 and 18300.');
}

function isFree(port: number): Promise<boolean> {
  return new Promise((done) => {
    const server = createServer();
    server.once('error', () => done(false));
    server.listen(port, '127.0.0.1', () => server.close(() => done(true)));
  });
}
