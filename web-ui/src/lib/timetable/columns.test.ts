import { describe, expect, it } from 'vitest';
import { columnsOf, missingRoles, withRole } from './columns';

describe('columns of a file', () => {
  const roles = { 1: 'weekday', 2: 'period', 3: 'class', 4: '' };

  it('lack what no lesson can be placed without', () => {
    expect(missingRoles(roles, 'list', false)).toEqual(['subject']);
    const whole = withRole(roles, 4, 'subject', 'list');
    expect(missingRoles(whole, 'list', false)).toEqual([]);
  });

  it('may stand for days side by side, of a class that is named for the whole file', () => {
    const grid = { 1: 'period', 2: 'monday', 3: 'tuesday' };
    expect(missingRoles(grid, 'grid', true)).toEqual([]);
    expect(missingRoles(grid, 'grid', false)).toEqual(['class']);
    expect(missingRoles({ 1: 'start' }, 'grid', true)).toEqual(['weekday']);
    const byClass = { 1: 'weekday', 2: 'period', 3: 'lessons', 4: 'lessons' };
    expect(missingRoles(byClass, 'grid', false)).toEqual([]);
  });

  it('never hold one thing twice', () => {
    const after = { 1: 'weekday', 2: 'period', 3: '', 4: 'class' };
    expect(withRole(roles, 4, 'class', 'list')).toEqual(after);
  });

  it('hold a day many times where rows are classes, and need no period', () => {
    const rows = { 1: 'class', 2: 'monday', 3: '' };
    expect(withRole(rows, 3, 'monday', 'rows')).toEqual({ 1: 'class', 2: 'monday', 3: 'monday' });
    expect(missingRoles(rows, 'rows', false)).toEqual([]);
    expect(missingRoles({ 1: 'class' }, 'rows', false)).toEqual(['weekday']);
  });

  it('may hold nothing, more than once, and the hub is told so', () => {
    const none = withRole(roles, 3, '', 'list');
    expect(none).toEqual({ 1: 'weekday', 2: 'period', 3: '', 4: '' });
    expect(columnsOf(none)).toEqual({ 1: 'weekday', 2: 'period', 3: 'ignored', 4: 'ignored' });
  });
});
