import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Demo } from '../src/lib/api/types';
import { binary, freePorts, stop } from './child';

/** The lesson is made and encoded at the first start, on two cores beside everything else. */
const READY_MS_MAX = 8 * 60_000;

/** A running `yingxue demo` in a directory of its own. */
export class RunningDemo {
  private constructor(
    readonly demo: Demo,
    private readonly child: ChildProcess,
    private readonly folder: string,
  ) {}

  static async start(): Promise<RunningDemo> {
    const folder = mkdtempSync(join(tmpdir(), 'yingxue-walk-'));
    const args = ['demo', '--data', join(folder, 'demo'), '--port', String(await freePorts(6))];
    if (process.env.YINGXUE_LESSON) args.push('--lesson', process.env.YINGXUE_LESSON);
    const child = spawn(binary(), args, { stdio: ['ignore', 'pipe', 'inherit'] });
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
