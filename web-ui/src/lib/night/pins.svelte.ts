import { night, type Pin } from '$lib/api/night';
import type { Events } from '$lib/api/events';

/** How a lesson is pinned: before everything else, or to have it here whatever comes. */
export type PinKind = 'urgent' | 'kept';

/** The lessons that teachers of this school have pinned. */
export class Pins {
  items = $state.raw<readonly Pin[]>([]);
  problem = $state<unknown>(null);

  of(lesson_id: string): PinKind | null {
    const pin = this.items.find((one) => one.lesson_id === lesson_id);
    if (!pin) return null;
    return pin.is_urgent ? 'urgent' : 'kept';
  }

  /** Pins a lesson in one way, or not at all. */
  async set(lesson_id: string, kind: PinKind | null): Promise<void> {
    try {
      if (kind) await night.pin(lesson_id, kind === 'urgent');
      else await night.unpin(lesson_id);
      await this.load();
    } catch (failure) {
      this.problem = failure;
    }
  }

  async load(): Promise<void> {
    try {
      this.items = (await night.pins()).items;
      this.problem = null;
    } catch (failure) {
      this.problem = failure;
    }
  }

  /** Loads, and follows what other teachers do; answers how to stop, for an effect to call. */
  follow(events: Events): () => void {
    void this.load();
    const stops = (['night', 'again'] as const).map((name) =>
      events.on(name, () => void this.load()),
    );
    return () => stops.forEach((stop) => stop());
  }
}
