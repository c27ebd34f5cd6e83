import { expect, it, vi } from 'vitest';
import { keyAction } from './keys';

function actions() {
  return {
    toggle: vi.fn(),
    back: vi.fn(),
    ahead: vi.fn(),
    volume: vi.fn(),
    mute: vi.fn(),
    fullscreen: vi.fn(),
    part: vi.fn(),
  };
}
const plain = { ctrlKey: false, altKey: false, metaKey: false };
const inside = (selector: string) =>
  ({ closest: (asked: string) => (asked.split(', ').includes(selector) ? {} : null) }) as never;

it('plays, seeks and jumps by tenths', () => {
  const acts = actions();
  for (const key of [' ', 'ArrowLeft', 'ArrowRight', 'f', 'm', '7']) {
    expect(keyAction({ ...plain, key, target: null }, acts)).toBe(true);
  }
  expect(acts.toggle).toHaveBeenCalledOnce();
  expect(acts.back).toHaveBeenCalledOnce();
  expect(acts.ahead).toHaveBeenCalledOnce();
  expect(acts.part).toHaveBeenCalledWith(7);
});

it('leaves writing, focused buttons and shortcuts of the browser alone', () => {
  const acts = actions();
  expect(keyAction({ ...plain, key: 'm', target: inside('textarea') }, acts)).toBe(false);
  expect(keyAction({ ...plain, key: ' ', target: inside('button') }, acts)).toBe(false);
  expect(keyAction({ ...plain, key: 'f', target: null, ctrlKey: true }, acts)).toBe(false);
  expect(keyAction({ ...plain, key: 'f', target: inside('button') }, acts)).toBe(true);
  expect(acts.mute).not.toHaveBeenCalled();
});
