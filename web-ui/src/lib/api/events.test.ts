import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { Events, RETRY_MS_MAX, RETRY_MS_MIN, type Source } from './events';

class Wire implements Source {
  onopen: (() => void) | null = null;
  onerror: (() => void) | null = null;
  isClosed = false;
  listeners = new Map<string, (event: { data: string }) => void>();
  addEventListener(name: string, listener: (event: { data: string }) => void) {
    this.listeners.set(name, listener);
  }
  close() {
    this.isClosed = true;
  }
}

let wires: Wire[];
let reached: boolean[];
let events: Events;
const last = () => wires[wires.length - 1] as Wire;

beforeEach(() => {
  vi.useFakeTimers();
  wires = [];
  reached = [];
  const open = () => {
    const wire = new Wire();
    wires.push(wire);
    return wire;
  };
  events = new Events(open, (isReached) => reached.push(isReached));
});
afterEach(() => void vi.useRealTimers());

it('hands on what comes, to those who listen still', () => {
  const heard: unknown[] = [];
  const stop = events.on('progress', (data) => heard.push(data));
  events.start();
  last().listeners.get('progress')?.({ data: '{"lesson_id":"a"}' });
  last().listeners.get('progress')?.({ data: 'cut sho' });
  stop();
  last().listeners.get('progress')?.({ data: '{"lesson_id":"b"}' });
  expect(heard).toEqual([{ lesson_id: 'a' }]);
});

it('comes back after a cut and says that all must be asked again', () => {
  const again = vi.fn();
  events.on('again', again);
  events.start();
  last().onopen?.();
  expect(again).not.toHaveBeenCalled();
  last().onerror?.();
  expect(wires[0]?.isClosed).toBe(true);
  vi.advanceTimersByTime(RETRY_MS_MIN);
  last().onopen?.();
  expect(again).toHaveBeenCalledOnce();
  expect(reached).toEqual([true, false, true]);
});

it('asks ever more rarely, up to a bound', () => {
  events.start();
  for (let count = 0; count < 12; count += 1) {
    last().onerror?.();
    vi.advanceTimersByTime(RETRY_MS_MAX);
  }
  const before = wires.length;
  last().onerror?.();
  vi.advanceTimersByTime(RETRY_MS_MAX - 1);
  expect(wires).toHaveLength(before);
  vi.advanceTimersByTime(1);
  expect(wires).toHaveLength(before + 1);
});

it('hurries when told, and stays quiet once stopped', () => {
  events.start();
  last().onerror?.();
  events.hurry();
  expect(wires).toHaveLength(2);
  last().onerror?.();
  events.stop();
  vi.advanceTimersByTime(RETRY_MS_MAX * 4);
  expect(wires).toHaveLength(2);
});
