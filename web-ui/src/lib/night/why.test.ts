import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import en from '../../../messages/en.json';
import zh from '../../../messages/zh.json';
import { WHY } from './why';

it('says every reason that the hub gives in words of both languages', () => {
  const api = JSON.parse(readFileSync('../hub/openapi.json', 'utf8')) as {
    components: { schemas: { StepWhy: { enum: string[] } } };
  };
  const reasons = api.components.schemas.StepWhy.enum;
  expect(Object.keys(WHY).sort()).toEqual([...reasons].sort());
  for (const reason of reasons) {
    expect((zh as Record<string, string>)[`why_${reason}`], reason).toMatch(/\p{Script=Han}/u);
    expect((en as Record<string, string>)[`why_${reason}`], reason).toMatch(/^[A-Z].* .*\.$/);
  }
});
