import { expect, it, vi, type Mock } from 'vitest';
import { keyAction, type Actions, type Manner } from './keys';

function actions() {
  const names = ['toggle', 'skip', 'volume', 'mute', 'fullscreen', 'part', 'turn', 'show', 'blank',
    'zoom', 'loop', 'mark', 'captions', 'faster', 'lists', 'help'] as const;
  return Object.fromEntries(names.map((name) => [name, vi.fn()])) as unknown as {
    [Name in keyof Actions]: Mock<Actions[Name]>;
  };
}
const plain = { ctrlKey: false, altKey: false, metaKey: false, shiftKey: false };
const video: Manner = { hasSlides: true, isPaged: false, hasLetters: true };
const paged: Manner = { ...video, isPaged: true };
const inside = (...selectors: string[]) =>
  ({
    closest: (asked: string) =>
      asked.split(', ').some((one) => selectors.includes(one)) ? {} : null,
  }) as never;

it('plays, seeks and jumps by tenths', () => {
  const acts = actions();
  for (const key of [' ', 'ArrowLeft', 'ArrowRight', 'f', 'm', '7']) {
    expect(keyAction({ ...plain, key, target: null }, acts, video)).toBe(true);
  }
  expect(acts.toggle).toHaveBeenCalledOnce();
  expect(acts.skip.mock.calls).toEqual([[-10], [10]]);
  expect(acts.fullscreen).toHaveBeenCalledOnce();
  expect(acts.part).toHaveBeenCalledWith(7);
});

it('takes what presenters’ remotes send', () => {
  const acts = actions();
  const press = (key: string, manner: Manner) =>
    keyAction({ ...plain, key, target: null }, acts, manner);
  for (const key of ['PageDown', 'PageUp']) expect(press(key, video)).toBe(true);
  for (const key of ['ArrowRight', 'ArrowLeft']) expect(press(key, paged)).toBe(true);
  expect(acts.turn.mock.calls).toEqual([[1], [-1], [1], [-1]]);
  for (const key of ['F5', 'b', '.']) expect(press(key, paged)).toBe(true);
  expect(acts.show).toHaveBeenCalledOnce();
  expect(acts.blank).toHaveBeenCalledTimes(2);
});

it('lets the page scroll where there is no slide to turn to', () => {
  const none = { ...video, hasSlides: false };
  expect(keyAction({ ...plain, key: 'PageDown', target: null }, actions(), none)).toBe(false);
});

it('loops, marks and changes the speed; no key means two things', () => {
  const acts = actions();
  for (const key of ['[', ']', '\\', 'n', '<', '>', 'c', '+', '-', 's', '?', 'B']) {
    expect(keyAction({ ...plain, key, target: null }, acts, video), key).toBe(true);
  }
  expect(acts.loop.mock.calls).toEqual([['a'], ['b'], [null]]);
  expect(acts.faster.mock.calls).toEqual([[-1], [1]]);
  expect(acts.zoom.mock.calls).toEqual([[1], [-1]]);
  for (const act of [acts.mark, acts.captions, acts.lists, acts.help, acts.blank]) {
    expect(act).toHaveBeenCalledOnce();
  }
});

it('leaves letters alone when they are turned off, but not the remote', () => {
  const acts = actions();
  const manner = { ...paged, hasLetters: false };
  for (const key of ['b', '7', '?', '[', '.']) {
    expect(keyAction({ ...plain, key, target: null }, acts, manner), key).toBe(false);
  }
  expect(keyAction({ ...plain, key: 'PageDown', target: null }, acts, manner)).toBe(true);
});

it('turns pages by a remote wherever the focus is in the player', () => {
  const acts = actions();
  const press = (key: string, target: never) =>
    keyAction({ ...plain, key, target }, acts, video);
  const choice = inside('select', '.player', '.player select');
  for (const key of ['PageDown', 'PageUp', 'F5']) expect(press(key, choice), key).toBe(true);
  expect(acts.turn.mock.calls).toEqual([[1], [-1]]);
  expect(acts.show).toHaveBeenCalledOnce();
  for (const key of ['ArrowDown', '2', ' ', 'b']) expect(press(key, choice), key).toBe(false);
  expect(press('PageDown', inside('select'))).toBe(false);
  expect(press('PageDown', inside('select', 'dialog'))).toBe(false);
});

it('leaves writing, focused buttons and shortcuts of the browser alone', () => {
  const acts = actions();
  const press = (key: string, target: never, more = {}) =>
    keyAction({ ...plain, key, target, ...more }, acts, paged);
  expect(press('m', inside('textarea'))).toBe(false);
  expect(press(' ', inside('button'))).toBe(false);
  expect(press('f', null as never, { ctrlKey: true })).toBe(false);
  expect(press('f', inside('button'))).toBe(true);
  expect(press('PageDown', inside('a'))).toBe(false);
  expect(press('PageDown', inside('button', '.player'))).toBe(true);
  expect(press('ArrowRight', inside('.paper[tabindex]', '.player'))).toBe(false);
  expect(press('PageDown', inside('.paper[tabindex]', '.player'))).toBe(true);
  expect(press('ArrowRight', inside('input[type="range"]', '.player'))).toBe(false);
  expect(acts.mute).not.toHaveBeenCalled();
});
