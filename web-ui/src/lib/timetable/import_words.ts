import type { ImportProblem } from '$lib/api/timetable';

type Words = (inputs: { value: string }) => string;

const WORDS: Record<string, Words> = {};

/** What could not be understood in a file, and what is allowed there. */
export function importProblemWords({ code, what, value }: ImportProblem): string {
  return WORDS[code]?.({ value: value ?? '' }) ?? what;
}
