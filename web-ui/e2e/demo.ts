import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Demo } from '../src/lib/api/types';

/** The lesson is made and encoded at the first start, on two cores beside everything else. */
const READY_MS_MAX = 8 * 60_000;
const STOP_MS_MAX = 15_000;

/** A running `yingxue demo` in a directory of its own. */
export class RunningDemo {
  private constructor(
    readonly demo: Demo,
    private readonly child: ChildProcess,
    private readonly folder: string,
  ) {}

  static async start(): Promise<RunningDemo> {
    const binary = process.env.YINGXUE_BIN;
    if (!binary) throw new Error('Set YINGXUE_BIN to the yingxue binary to walk through.');
    const folder = mkdtempSync(join(tmpdir(), 'yingxue-walk-'));
    const args = ['demo', '--data', join(folder, 'demo'), '--port', String(await freePorts(6))];
    if (process.env.YINGXUE_LESSON) args.push('--lesson', process.env.YINGXUE_LESSON);
    const child = spawn(binary, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    try {
      return new RunningDemo(await ready(child), child, folder);
    } catch (failure) {
      await stop(child, folder);
      throw failure;
    }
  }

  get lead(): string {
    return this.#url((hub) => hub.is_lead);
  }

  get rural(): string {
    return this.#url((hub) => !hub.is_lead);
  }

  login(role: string): { login: string; password: string } {
    const found = this.demo.logins.find((one) => one.role === role);
    if (!found) throw new Error(`The demo has no login for the role ${role}.`);
    return found;
  }

  stop(): Promise<void> {
    return stop(this.child, this.folder);
  }

  #url(is: (hub: Demo['hubs'][number]) => boolean): string {
    const found = this.demo.hubs.find(is);
    if (!found) throw new Error('The demo lacks a hub of that kind.');
    return found.url.replace(/\/$/, '');
  }
}

/** Ends the demo, which ends its hubs, and takes its directory away. */
async function stop(child: ChildProcess, folder: string): Promise<void> {
  const ended = new Promise((done) => child.once('exit', done));
  if (child.pid !== undefined && child.exitCode === null) {
    child.kill('SIGTERM');
    const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS_MAX);
    await ended;
    clearTimeout(timer);
  }
  rmSync(folder, { recursive: true, force: true });
}

/** Waits for the line `READY {json}`; what else is printed goes to the test's own output. */
function ready(child: ChildProcess): Promise<Demo> {
  return new Promise((done, fail) => {
    const late = new Error(`The demo was not ready within ${READY_MS_MAX / 1000} s.`);
    const timer = setTimeout(() => fail(late), READY_MS_MAX);
    child.once('exit', (code) => fail(new Error(`The demo ended with ${code} before READY.`)));
    child.once('error', fail);
    if (!child.stdout) return fail(new Error('The demo has no standard output.'));
    createInterface(child.stdout).on('line', (line) => {
      if (!line.startsWith('READY ')) return console.log(`demo: ${line}`);
      clearTimeout(timer);
      done(JSON.parse(line.slice('READY '.length)) as Demo);
    });
  });
}

/** The first of `count` neighbouring ports that are free on loopback just now. */
async function freePorts(count: number): Promise<number> {
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
