/** What the keys of the player do. */
export interface Actions {
  toggle(): void;
  skip(by_s: number): void;
  volume(by: number): void;
  mute(): void;
  fullscreen(): void;
  part(tenth: number): void;
  /** To the next slide or the one before. */
  turn(by: 1 | -1): void;
  /** Full screen and playing, as a presenter's remote begins a show; or the end of it. */
  show(): void;
  /** Black screen and silence, as a presenter's remote has it. */
  blank(): void;
  zoom(by: 1 | -1): void;
  loop(end: 'a' | 'b' | null): void;
  mark(): void;
  captions(): void;
  faster(by: 1 | -1): void;
  lists(): void;
  help(): void;
}

/** How the keys are taken just now. */
export interface Manner {
  /** Does the lesson have slides to turn to? */
  hasSlides: boolean;
  /** Are slides what is watched? Then the arrows turn them. */
  isPaged: boolean;
  /** Do single letters, digits and signs act? Speech input may want them off (WCAG 2.1.4). */
  hasLetters: boolean;
}

type Key = Pick<KeyboardEvent, 'key' | 'target' | 'ctrlKey' | 'altKey' | 'metaKey' | 'shiftKey'>;
type Table = Record<string, (() => void) | undefined>;

const SKIP_S = 10;

/** Does what a key means; false when the key belongs to something else on the page. */
export function keyAction(event: Key, acts: Actions, manner: Manner): boolean {
  if (event.ctrlKey || event.altKey || event.metaKey || isTaken(event)) return false;
  const act = remoteKeys(acts, manner)[event.key] ?? letterOf(event.key, acts, manner);
  act?.();
  return act !== undefined;
}

/** The keys that presenters' remotes send, and those that every player has. */
function remoteKeys(acts: Actions, { hasSlides, isPaged }: Manner): Table {
  const arrow = (by: 1 | -1) => (isPaged ? acts.turn(by) : acts.skip(by * SKIP_S));
  return {
    ' ': () => acts.toggle(),
    ArrowLeft: () => arrow(-1),
    ArrowRight: () => arrow(1),
    ArrowUp: () => acts.volume(0.1),
    ArrowDown: () => acts.volume(-0.1),
    F5: () => acts.show(),
    ...(hasSlides ? { PageUp: () => acts.turn(-1), PageDown: () => acts.turn(1) } : {}),
  };
}

function letterOf(key: string, acts: Actions, manner: Manner): (() => void) | undefined {
  if (!manner.hasLetters) return undefined;
  if (/^[0-9]$/.test(key)) return () => acts.part(Number(key));
  const table: Table = {
    k: () => acts.toggle(),
    j: () => acts.skip(-SKIP_S),
    l: () => acts.skip(SKIP_S),
    m: () => acts.mute(),
    f: () => acts.fullscreen(),
    b: () => acts.blank(),
    '.': () => acts.blank(),
    '+': () => acts.zoom(1),
    '=': () => acts.zoom(1),
    '-': () => acts.zoom(-1),
    '[': () => acts.loop('a'),
    ']': () => acts.loop('b'),
    '\\': () => acts.loop(null),
    n: () => acts.mark(),
    c: () => acts.captions(),
    '<': () => acts.faster(-1),
    '>': () => acts.faster(1),
    s: () => acts.lists(),
    '?': () => acts.help(),
  };
  return table[key.toLowerCase()];
}

/** Keys that move about the page, if what has the focus is not the player. */
const MOVING = /^(Arrow|Page|F5)/;
/** Keys that remotes send, and that a slider or a list of choices can do without. */
const REMOTE = /^(Page|F5)/;

/** Writing, choosing and pressing a focused button go before the player's keys. */
function isTaken(event: Key): boolean {
  const target = event.target as Element | null;
  if (!target || typeof target.closest !== 'function') return false;
  if (REMOTE.test(event.key) && target.closest('.player select')) return false;
  if (target.closest('textarea, select, dialog, input:not([type="range"])')) return true;
  if (target.closest('input[type="range"]')) return event.key.startsWith('Arrow');
  // A slide that is zoomed into is scrolled by arrows.
  if (event.key.startsWith('Arrow') && target.closest('.paper[tabindex]')) return true;
  if (MOVING.test(event.key) && target.closest('a, button, summary')) {
    return !target.closest('.player');
  }
  return event.key === ' ' && target.closest('button, a, summary') !== null;
}
