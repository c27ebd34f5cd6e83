import { describe, expect, it } from 'vitest';
import { missingRoles, withRole } from './columns';

describe('columns of a file', () => {
  const roles = { 0: 'weekday', 1: 'period', 2: 'class', 3: '' };

  it('lack what no lesson can be placed without', () => {
    expect(missingRoles(roles)).toEqual(['subject']);
    expect(missingRoles(withRole(roles, 3, 'subject'))).toEqual([]);
  });

  it('never hold one thing twice', () => {
    expect(withRole(roles, 3, 'class')).toEqual({ 0: 'weekday', 1: 'period', 2: '', 3: 'class' });
  });

  it('may hold nothing, more than once', () => {
    expect(withRole(roles, 2, '')).toEqual({ 0: 'weekday', 1: 'period', 2: '', 3: '' });
  });
});
