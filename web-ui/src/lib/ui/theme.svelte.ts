export type Theme = 'system' | 'light' | 'dark';

const KEY = 'yingxue.theme';

let current = $state<Theme>('system');

/** Light, dark, or as the system has it; kept in this browser. */
export const theme = {
  get current(): Theme {
    return current;
  },

  start(): void {
    const kept = localStorage.getItem(KEY);
    if (kept === 'light' || kept === 'dark') current = kept;
    show();
  },

  choose(next: Theme): void {
    current = next;
    if (next === 'system') localStorage.removeItem(KEY);
    else localStorage.setItem(KEY, next);
    show();
  },
};

function show(): void {
  if (current === 'system') delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = current;
}
