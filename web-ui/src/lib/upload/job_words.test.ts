import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { PROBLEM_WORDS } from '$lib/api/problem';
import { JOB_WORDS } from './job_words';

/** Where the codes of what can stop an import are. */
const SOURCES = [
  'codec/src/document.rs',
  'codec/src/import/error.rs',
  'codec/src/material.rs',
  'codec/src/probe.rs',
  'codec/src/subtitles.rs',
  'hub/src/import_job/encoding.rs',
];

it('has words for every code with which an import can stop', () => {
  const codes = SOURCES.flatMap((file) => {
    const source = readFileSync(`../${file}`, 'utf8');
    const body = source.match(/fn code\(&self\) -> &'static str \{[\s\S]*?\n {4}\}\n/)?.[0] ?? '';
    const found = [...body.matchAll(/"([a-z0-9_]+)"/g)].map((one) => one[1] ?? '');
    expect(found.length, file).toBeGreaterThan(0);
    return found;
  });
  const known = { ...JOB_WORDS, ...PROBLEM_WORDS };
  expect(codes.filter((code) => !(code in known))).toEqual([]);
});
