import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Problem } from '$lib/api/problem';
import { Outbox, WAITING_MAX, newOpId, type Store, type Waiting } from './outbox.svelte';

const KEY = 'box';
const SAID = { lesson_id: 'l1', text: '你好', at_ms: 12_000 };

class Memory implements Store {
  kept = new Map<string, string>();
  getItem = (key: string) => this.kept.get(key) ?? null;
  setItem = (key: string, value: string) => void this.kept.set(key, value);
  removeItem = (key: string) => void this.kept.delete(key);
}

const settle = () => vi.advanceTimersByTimeAsync(0);

describe('outbox', () => {
  let store: Memory;
  beforeEach(() => {
    vi.useFakeTimers();
    store = new Memory();
  });
  afterEach(() => void vi.useRealTimers());

  it('forgets a comment only when the hub has acknowledged it', async () => {
    let acknowledge = () => {};
    const box = new Outbox(KEY, store, () => new Promise<void>((done) => (acknowledge = done)));
    box.add(SAID, 5);
    await settle();
    expect(JSON.parse(store.getItem(KEY) ?? '')).toMatchObject([SAID]);
    acknowledge();
    await settle();
    expect(box.items).toEqual([]);
    expect(store.getItem(KEY)).toBeNull();
  });

  it('sends what an earlier page left behind, with the same op_id', async () => {
    const lost = new Outbox(KEY, store, () => Promise.reject(new Problem('unreachable', 0, '')));
    lost.add(SAID, 5);
    await settle();
    lost.stop();
    const sent: Waiting[] = [];
    const next = new Outbox(KEY, store, async (item) => void sent.push(item));
    await next.flush();
    expect(sent.map((item) => item.op_id)).toEqual([lost.items[0]?.op_id]);
    expect(next.items).toEqual([]);
  });

  it('tries again by itself while the hub is away, in the order of writing', async () => {
    let isAway = true;
    const sent: string[] = [];
    const box = new Outbox(KEY, store, async (item) => {
      if (isAway) throw new Problem('unreachable', 0, '');
      sent.push(item.text);
    });
    box.add({ ...SAID, text: 'one' }, 1);
    box.add({ ...SAID, text: 'two' }, 2);
    await vi.advanceTimersByTimeAsync(10_000);
    expect(box.items).toHaveLength(2);
    isAway = false;
    await vi.advanceTimersByTimeAsync(15_000);
    expect(sent).toEqual(['one', 'two']);
  });

  it('keeps a refused comment with its reason and goes on with the next', async () => {
    const box = new Outbox(KEY, store, async (item) => {
      if (item.text === 'bad') throw new Problem('invalid_input', 422, '');
    });
    box.add({ ...SAID, text: 'bad' }, 1);
    await settle();
    box.add({ ...SAID, text: 'good' }, 2);
    await settle();
    expect(box.items.map((item) => [item.text, item.refused])).toEqual([['bad', 'invalid_input']]);
  });

  it('waits through a login that ran out', async () => {
    const box = new Outbox(KEY, store, async () => {
      throw new Problem('not_logged_in', 401, '');
    });
    box.add(SAID, 1);
    await settle();
    expect(box.items[0]?.refused).toBeNull();
    box.stop();
  });

  it('takes no more than its bound', () => {
    const box = new Outbox(KEY, store, () => new Promise(() => {}));
    for (let count = 0; count < WAITING_MAX; count += 1) expect(box.add(SAID, count)).toBe(true);
    expect(box.add(SAID, 0)).toBe(false);
    expect(box.items).toHaveLength(WAITING_MAX);
  });

  it('survives rubbish in storage', () => {
    store.setItem(KEY, '{"not":"a list"');
    expect(new Outbox(KEY, store, async () => {}).items).toEqual([]);
    store.setItem(KEY, '[null, 3, {"op_id":"x","text":"kept"}]');
    expect(new Outbox(KEY, store, async () => {}).items).toHaveLength(1);
  });

  it('makes op_ids of 32 hex characters', () => {
    expect(newOpId()).toMatch(/^[0-9a-f]{32}$/);
    expect(newOpId()).not.toBe(newOpId());
  });
});
