import { courier, type Drive } from '$lib/api/courier';

/** The sticks in the hub, and which one is meant; none is one in the teacher's own computer. */
export class Drives {
  all = $state.raw<Drive[]>([]);
  folder = $state('');

  /** Looks again; a stick that is gone is not meant any more. */
  async find(): Promise<void> {
    this.all = (await courier.drives()).items;
    if (!this.all.some((one) => one.folder === this.folder)) {
      this.folder = this.all[0]?.folder ?? '';
    }
  }
}
