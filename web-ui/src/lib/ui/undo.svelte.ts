/** Long enough to read the sentence and reach the button across a panel. */
const OFFER_MS = 8_000;

interface Offer {
  words: () => string;
  undo: () => void | Promise<void>;
  lapse?: () => void | Promise<void>;
}

/** The one thing that can be taken back just now. */
class Undo {
  offered = $state<Offer | null>(null);
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** Offers to take something back; `lapse` is done when nobody does. */
  offer(offer: Offer): void {
    this.settle();
    this.offered = offer;
    this.#timer = setTimeout(() => this.settle(), OFFER_MS);
  }

  async take(): Promise<void> {
    clearTimeout(this.#timer);
    const offer = this.offered;
    this.offered = null;
    await offer?.undo();
  }

  /** Ends the offer now. */
  settle(): void {
    clearTimeout(this.#timer);
    const offer = this.offered;
    this.offered = null;
    void offer?.lapse?.();
  }
}

export const undo = new Undo();
