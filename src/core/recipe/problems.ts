import type { Problem } from "../errors.ts";

/** A mistake (`error`, nothing is baked) or something that is likely not meant (`warning`, shown and gone on). */
export interface RecipeProblem extends Problem {
  readonly severity: "error" | "warning";
}

/** In the order of the text; problems without a place come first. */
const byPlace = (a: RecipeProblem, b: RecipeProblem): number => (a.line ?? 0) - (b.line ?? 0) || (a.column ?? 0) - (b.column ?? 0);

/** How many problems are told at once: beyond it the file is not a recipe, and a list of 100,000 helps nobody (a guess). */
export const MAX_PROBLEMS = 100;

/** Keeps the first hundred and says how many were left out; the same thing about the same place is told once. */
export function limitProblems(problems: readonly RecipeProblem[], file: string): readonly RecipeProblem[] {
  const seen = new Set<string>();
  const distinct = problems.filter((problem) => {
    const key = `${problem.line}:${problem.column}:${problem.message}`;
    return seen.has(key) ? false : seen.add(key);
  });
  const sorted = distinct.toSorted(byPlace);
  if (sorted.length <= MAX_PROBLEMS) return sorted;
  const rest = sorted.length - MAX_PROBLEMS;
  return [...sorted.slice(0, MAX_PROBLEMS), { severity: "error", file, message: `and ${rest} more problems` }];
}
