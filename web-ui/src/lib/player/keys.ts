/** What the keys of the player do. */
export interface Actions {
  toggle(): void;
  back(): void;
  ahead(): void;
  volume(by: number): void;
  mute(): void;
  fullscreen(): void;
  part(tenth: number): void;
}

type Key = Pick<KeyboardEvent, 'key' | 'target' | 'ctrlKey' | 'altKey' | 'metaKey'>;

/** Does what a key means; false when the key belongs to something else on the page. */
export function keyAction(event: Key, actions: Actions): boolean {
  if (event.ctrlKey || event.altKey || event.metaKey || isTaken(event)) return false;
  if (/^[0-9]$/.test(event.key)) {
    actions.part(Number(event.key));
    return true;
  }
  const act = {
    ' ': () => actions.toggle(),
    k: () => actions.toggle(),
    ArrowLeft: () => actions.back(),
    ArrowRight: () => actions.ahead(),
    ArrowUp: () => actions.volume(0.1),
    ArrowDown: () => actions.volume(-0.1),
    m: () => actions.mute(),
    f: () => actions.fullscreen(),
  }[event.key];
  act?.();
  return act !== undefined;
}

/** Writing, choosing and pressing a focused button go before the player's keys. */
function isTaken(event: Key): boolean {
  const target = event.target as Element | null;
  if (!target || typeof target.closest !== 'function') return false;
  if (target.closest('textarea, select, dialog, input:not([type="range"])')) return true;
  if (target.closest('input[type="range"]')) return event.key.startsWith('Arrow');
  return event.key === ' ' && target.closest('button, a, summary') !== null;
}
