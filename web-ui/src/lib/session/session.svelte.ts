import { Events, type Source } from '$lib/api/events';
import { hub, watch } from '$lib/api/client';
import type { HubState, Role } from '$lib/api/types';

/** How often an unreachable hub is asked again while nobody is logged in. */
const ASK_AGAIN_MS = 2_000;

/** Who is logged in at which hub, whether it answers, and its events. */
class Session {
  state = $state<HubState | null>(null);
  isReached = $state(true);
  /** Where to go back to after a login that had run out. */
  wanted = $state('/');
  readonly events = new Events(
    () => new EventSource('/api/v1/events') as unknown as Source,
    (isReached) => this.#heard(isReached),
  );
  #timer: ReturnType<typeof setTimeout> | undefined;

  get user() {
    return this.state?.user ?? null;
  }

  /** May the user do what one of these roles may? An administrator may do everything. */
  isAny(...roles: Role[]): boolean {
    const role = this.user?.role;
    return role === 'admin' || (role !== undefined && roles.includes(role));
  }

  /** Starts watching every answer of the hub. Call once. */
  watch(): void {
    watch({
      reached: () => (this.isReached = true),
      lost: () => this.#lost(),
      loggedOut: () => this.#loggedOut(),
    });
    addEventListener('online', () => this.events.hurry());
  }

  /** Asks the hub who we are; events follow the login. */
  async refresh(): Promise<void> {
    this.state = await hub.state();
    if (this.state.user) this.events.start();
    else this.events.stop();
  }

  async logOut(): Promise<void> {
    await hub.logOut();
    this.wanted = '/';
    await this.refresh();
  }

  #heard(isReached: boolean): void {
    if (isReached) this.isReached = true;
    // A refused event stream is either a lost hub or a login that ran out; the state tells which.
    else void this.refresh().catch(() => {});
  }

  #lost(): void {
    this.isReached = false;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.refresh().catch(() => {}), ASK_AGAIN_MS);
  }

  #loggedOut(): void {
    if (this.state?.user) this.state = { ...this.state, user: null };
    this.events.stop();
  }
}

export const session = new Session();
