import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import {
  closeSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  readdirSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from '@playwright/test';
import { binary, end, freePorts, stop } from './child';

/** An empty hub answers within a second; a loaded machine is given more. */
const HEALTHY_MS_MAX = 30_000;
const ENCODE_MS_MAX = 120_000;
/** Half a minute of pictures, beside other work of the machine. */
const IMPORT_MS_MAX = 6 * 60_000;

const SRT_TIMES = ['00:00:00,000 --> 00:00:12,000', '00:00:12,000 --> 00:00:36,000'];
const CAPTIONS = [
  ['水的循环', '练习'],
  ['The water cycle', 'Exercise'],
];
const CHAPTERS = `;FFMETADATA1
[CHAPTER]
TIMEBASE=1/1000
START=0
END=24000
title=导入
[CHAPTER]
TIMEBASE=1/1000
START=24000
END=36000
title=作业
`;

/** A running `yingxue serve` on an empty directory of its own. */
export class RunningHub {
  private constructor(
    readonly url: string,
    readonly folder: string,
    private readonly args: readonly string[],
    private child: ChildProcess,
  ) {}

  /** Starts one; `more` is added to its configuration. */
  static async start(more = ''): Promise<RunningHub> {
    const folder = mkdtempSync(join(tmpdir(), 'yingxue-serve-'));
    const port = await freePorts(2);
    const listen = `127.0.0.1:${port}`;
    const config = join(folder, 'hub.toml');
    writeFileSync(config, `[sync]\nlisten = ["/ip4/127.0.0.1/tcp/${port + 1}"]\n${more}`);
    const args = ['serve', '--data', join(folder, 'hub'), '--listen', listen, '--config', config];
    const hub = new RunningHub(`http://${listen}`, folder, args, begin(args));
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
    run('ffmpeg', args, ENCODE_MS_MAX);
    return file;
  }

  /** Three slides of twelve seconds, with sound, chapters and captions in two languages. */
  slides(name: string): string {
    const [file, chapters] = [join(this.folder, name), join(this.folder, 'chapters.txt')];
    writeFileSync(chapters, CHAPTERS);
    const args = ['-v', 'error'];
    for (const picture of ['smptehdbars', 'rgbtestsrc', 'yuvtestsrc']) {
      args.push('-f', 'lavfi', '-i', `${picture}=s=1280x720:r=25:d=12`);
    }
    args.push('-f', 'lavfi', '-i', 'sine=f=440:d=36', '-i', chapters);
    for (const [index, words] of CAPTIONS.entries()) {
      const captions = join(this.folder, `${index}.srt`);
      const line = (n: number) => `${n + 1}\n${SRT_TIMES[n]}\n${words[n]}\n\n`;
      writeFileSync(captions, line(0) + line(1));
      args.push('-i', captions);
    }
    const join3 = '[0:v][1:v][2:v]concat=n=3,format=yuv420p[v]';
    args.push('-filter_complex', join3, '-map', '[v]', '-map', '3:a', '-map', '5:s', '-map', '6:s');
    args.push('-map_chapters', '4', '-metadata:s:s:0', 'language=chi');
    args.push('-metadata:s:s:1', 'language=eng', '-c:v', 'libx264', '-preset', 'ultrafast');
    args.push('-c:a', 'aac', '-c:s', 'srt', '-t', '36', file);
    run('ffmpeg', args, ENCODE_MS_MAX);
    return file;
  }

  /** A picture of one colour. */
  picture(name: string, colour: string): string {
    const file = join(this.folder, name);
    const from = ['-v', 'error', '-f', 'lavfi', '-i', `color=${colour}:s=320x180`];
    run('ffmpeg', [...from, '-frames:v', '1', file], ENCODE_MS_MAX);
    return file;
  }

  /** A recording without a picture. */
  sound(name: string, seconds: number): string {
    const file = join(this.folder, name);
    const from = ['-v', 'error', '-f', 'lavfi', '-i', `sine=f=440:d=${seconds}`];
    run('ffmpeg', [...from, '-c:a', 'aac', file], ENCODE_MS_MAX);
    return file;
  }

  /** Pictures that move, large enough to have a finer quality. */
  moving(name: string, seconds: number): string {
    const file = join(this.folder, name);
    const from = ['-v', 'error', '-f', 'lavfi', '-i', `testsrc2=s=854x480:r=25:d=${seconds}`];
    const how = ['-c:v', 'libx264', '-preset', 'ultrafast', '-pix_fmt', 'yuv420p', file];
    run('ffmpeg', [...from, ...how], ENCODE_MS_MAX);
    return file;
  }

  /** A film of every quality, its own H.264 and AAC in stretches of two seconds. */
  film(name: string, seconds: number): string {
    const file = join(this.folder, name);
    const args = ['-v', 'error', '-f', 'lavfi', '-i', `testsrc2=s=854x480:r=25:d=${seconds}`];
    args.push('-f', 'lavfi', '-i', `sine=f=440:d=${seconds}`, '-c:v', 'libx264', '-g', '50');
    args.push('-preset', 'ultrafast', '-pix_fmt', 'yuv420p', '-c:a', 'aac', '-shortest', file);
    run('ffmpeg', args, ENCODE_MS_MAX);
    return file;
  }

  /** Adds a file as a lesson by the command line, and waits until all of it is made. */
  add(file: string, title: string): void {
    const args = ['add', '--data', join(this.folder, 'hub'), '--title', title, file];
    run(binary(), args, IMPORT_MS_MAX);
  }

  /** Cuts the files of blobs to a part while the hub is down, as a disk that rots would. */
  async cut(blob_ids: readonly string[], part: number): Promise<void> {
    await end(this.child);
    for (const path of blob_ids.map((blob_id) => this.#file(blob_id))) {
      truncateSync(path, Math.floor(statSync(path).size * part));
    }
    await this.resume();
  }

  /** Flips a bit in the middle of the file of a blob, while the hub runs and nobody looks. */
  rot(blob_id: string): void {
    const path = this.#file(blob_id);
    const file = openSync(path, 'r+');
    const [at, byte] = [Math.floor(statSync(path).size / 2), Buffer.alloc(1)];
    readSync(file, byte, 0, 1, at);
    writeSync(file, Buffer.from([(byte[0] ?? 0) ^ 0x10]), 0, 1, at);
    closeSync(file);
  }

  /** Deletes the file of a blob, while the hub runs. */
  lose(blob_id: string): void {
    rmSync(this.#file(blob_id));
  }

  /** Zeroes the first page of the database and cuts its log off, as a failing disk would. */
  async zeroDatabase(): Promise<void> {
    await end(this.child);
    const database = join(this.folder, 'hub', 'hub.sqlite');
    const file = openSync(database, 'r+');
    writeSync(file, Buffer.alloc(4096), 0, 4096, 0);
    closeSync(file);
    writeFileSync(`${database}-wal`, '');
    await this.resume();
  }

  /** Ends the hub and keeps its directory, as when a school switches it off. */
  pause(): Promise<void> {
    return end(this.child);
  }

  /** Starts it again on the same directory. */
  async resume(): Promise<void> {
    this.child = begin(this.args);
    await this.#healthy();
  }

  stop(): Promise<void> {
    return stop(this.child, this.folder);
  }

  #file(blob_id: string): string {
    const files = readdirSync(this.folder, { recursive: true, encoding: 'utf8' });
    const named = files.filter((one) => one.includes(blob_id));
    const path = named.map((one) => join(this.folder, one)).find((one) => statSync(one).isFile());
    if (!path) throw new Error(`The hub has no file of the blob ${blob_id}.`);
    return path;
  }

  async #healthy(): Promise<void> {
    const ask = () => fetch(`${this.url}/healthz`).then((answer) => answer.status, () => 0);
    await expect.poll(ask, { timeout: HEALTHY_MS_MAX }).toBe(200);
  }
}

/** Runs a program to its end. */
function run(program: string, args: string[], timeout: number): void {
  const ended = spawnSync(program, args, { timeout, encoding: 'utf8' });
  if (ended.status === 0) return;
  throw new Error(`${program} ended with ${ended.status}: ${ended.stderr}`);
}

function begin(args: readonly string[]): ChildProcess {
  return spawn(binary(), args, { stdio: ['ignore', 'ignore', 'inherit'] });
}
