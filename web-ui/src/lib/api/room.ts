import { get } from './client';
import type { components } from './schema';

export type Room = components['schemas']['RoomView'];
export type RoomUse = components['schemas']['RoomUse'];
export type EvictedLesson = components['schemas']['EvictedLesson'];

/** The call about room on the disk. */
export const room = {
  show: () => get<Room>('/room'),
};
