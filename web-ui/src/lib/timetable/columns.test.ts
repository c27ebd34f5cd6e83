import { describe, expect, it } from 'vitest';
import { columnsOf, missingRoles, withRole } from './columns';

describe('columns of a file', () => {
  const roles = { 1: 'weekday', 2: 'period', 3: 'class', 4: '' };

  it('lack what no lesson can be placed without', () => {
    expect(missingRoles(roles, 'list', '')).toEqual(['subject']);
    expect(missingRoles(withRole(roles, 4, 'subject'), 'list', '')).toEqual([]);
  });

  it('may stand for days side by side, of a class that is named for the whole file', () => {
    const grid = { 1: 'period', 2: 'monday', 3: 'tuesday' };
    expect(missingRoles(grid, 'grid', '四(2)班')).toEqual([]);
    expect(missingRoles(grid, 'grid', '')).toEqual(['class']);
    expect(missingRoles({ 1: 'start' }, 'grid', 'x')).toEqual(['weekday']);
    const byClass = { 1: 'weekday', 2: 'period', 3: 'lessons', 4: 'lessons' };
    expect(missingRoles(byClass, 'grid', '')).toEqual([]);
  });

  it('never hold one thing twice', () => {
    expect(withRole(roles, 4, 'class')).toEqual({ 1: 'weekday', 2: 'period', 3: '', 4: 'class' });
  });

  it('may hold nothing, more than once, and the hub is told so', () => {
    const none = withRole(roles, 3, '');
    expect(none).toEqual({ 1: 'weekday', 2: 'period', 3: '', 4: '' });
    expect(columnsOf(none)).toEqual({ 1: 'weekday', 2: 'period', 3: 'ignored', 4: 'ignored' });
  });
});
