import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from '@playwright/test';
import { binary, freePorts, stop } from './child';

/** An empty hub answers within a second; a loaded machine is given more. */
const HEALTHY_MS_MAX = 30_000;
const ENCODE_MS_MAX = 30_000;

/** A running `yingxue serve` on an empty directory of its own. */
export class RunningHub {
  private constructor(
    readonly url: string,
    readonly folder: string,
    private readonly child: ChildProcess,
  ) {}

  static async start(): Promise<RunningHub> {
    const folder = mkdtempSync(join(tmpdir(), 'yingxue-serve-'));
    const listen = `127.0.0.1:${await freePorts(2)}`;
    const args = ['serve', '--data', join(folder, 'hub'), '--listen', listen];
    const child = spawn(binary(), args, { stdio: ['ignore', 'ignore', 'inherit'] });
    const hub = new RunningHub(`http://${listen}`, folder, child);
    try {
      await hub.#healthy();
      return hub;
    } catch (failure) {
      await hub.stop();
      throw failure;
    }
  }

  /** The one-time code of the first start. */
  code(): string {
    return readFileSync(join(this.folder, 'hub', 'setup-code'), 'utf8').trim();
  }

  /** A lesson file: some megabytes to send, but pictures that are encoded in seconds. */
  lesson(name: string, seconds: number): string {
    const file = join(this.folder, name);
    const args = ['-v', 'error', '-f', 'lavfi', '-i', `smptehdbars=s=1920x1080:r=25:d=${seconds}`];
    args.push('-f', 'lavfi', '-i', `sine=f=440:d=${seconds}`);
    args.push('-c:v', 'libx264', '-preset', 'ultrafast', '-pix_fmt', 'yuv420p');
    args.push('-qp', '1', '-g', '1', '-c:a', 'aac', '-shortest', file);
    const made = spawnSync('ffmpeg', args, { timeout: ENCODE_MS_MAX, encoding: 'utf8' });
    if (made.status !== 0) throw new Error(`ffmpeg made no lesson: ${made.stderr}`);
    return file;
  }

  stop(): Promise<void> {
    return stop(this.child, this.folder);
  }

  async #healthy(): Promise<void> {
    const ask = () => fetch(`${this.url}/healthz`).then((answer) => answer.status, () => 0);
    await expect.poll(ask, { timeout: HEALTHY_MS_MAX }).toBe(200);
  }
}
