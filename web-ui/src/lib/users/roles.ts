import type { Role } from '$lib/api/types';
import { m } from '$lib/paraglide/messages';

export const ROLES: readonly Role[] = ['teacher', 'pupil', 'admin'];

/** Shortest password that the hub takes; pupils type theirs on a shared panel. */
export const PASSWORD_CHARS_MIN: Record<Role, number> = { admin: 8, teacher: 8, pupil: 4 };

export function roleWords(role: Role): string {
  return { admin: m.role_admin, teacher: m.role_teacher, pupil: m.role_pupil }[role]();
}
