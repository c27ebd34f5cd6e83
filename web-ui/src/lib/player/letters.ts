const KEY = 'yingxue.letters';

type Store = Pick<Storage, 'getItem' | 'setItem'>;

/** Do single letters act as keys of the player? They do until someone turns them off. */
export function recallLetters(store: Store): boolean {
  try {
    return store.getItem(KEY) !== 'off';
  } catch {
    return true;
  }
}

export function rememberLetters(store: Store, hasLetters: boolean): void {
  try {
    store.setItem(KEY, hasLetters ? 'on' : 'off');
  } catch {
    // Then they act again next time.
  }
}
