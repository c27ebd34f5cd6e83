/**
 * After a choice by hand the keys belong to the player again: a remote turns pages, not speeds.
 * Who chooses by keys keeps the focus and goes on choosing.
 */
export function letGo(choices: HTMLElement): void {
  let isByHand = false;
  choices.addEventListener('pointerdown', () => (isByHand = true));
  choices.addEventListener('keydown', () => (isByHand = false));
  choices.addEventListener('change', ({ target }) => {
    if (isByHand) (target as HTMLElement).blur();
  });
}
