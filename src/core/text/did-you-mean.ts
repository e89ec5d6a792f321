/**
 * The candidate that a misspelt word was most likely meant to be.
 *
 * Compares without case and treats `-` and `_` alike. A swap of two neighbours counts as one mistake.
 *
 * @returns nothing when the nearest candidate needs more than a third of the letters changed (at least one, at most
 *          three mistakes): a wrong guess misleads more than none. Ties go to the candidate that comes first
 * @example didYouMean("stesp", ["from", "steps"]) // "steps"
 */
export function didYouMean(word: string, candidates: Iterable<string>): string | undefined {
  if (word.length > MAX_WORD_LENGTH) return undefined;
  const wanted = fold(word);
  let best: { readonly candidate: string; readonly mistakes: number } | undefined;
  for (const candidate of candidates) {
    const limit = Math.min(3, Math.max(1, Math.floor(Math.max(wanted.length, candidate.length) / 3)));
    if (candidate === word || Math.abs(candidate.length - wanted.length) > limit) continue;
    const mistakes = editDistance(wanted, fold(candidate));
    // A one-letter word that shares no letter with the candidate is not a misspelling of it.
    if (mistakes > limit || mistakes >= Math.max(wanted.length, candidate.length)) continue;
    if (best === undefined || mistakes < best.mistakes) best = { candidate, mistakes };
  }
  return best?.candidate;
}

/** The hint of a problem: a guess if there is a good one, else all that is possible here, else nothing. */
export function suggestion(word: string, candidates: readonly string[], what = "possible"): string | undefined {
  const guess = didYouMean(word, candidates);
  if (guess !== undefined) return `did you mean "${guess}"?`;
  return candidates.length === 0 ? undefined : `${what}: ${shortList(candidates)}`;
}

/** `a, b, c` or, beyond 20, `a, b, … and 7 more`. */
export function shortList(words: readonly string[]): string {
  const shown = words.slice(0, MAX_LISTED);
  const rest = words.length - shown.length;
  return rest === 0 ? shown.join(", ") : `${shown.join(", ")}, … and ${rest} more`;
}

/** Beyond it nobody misspelt a name; also keeps the table below small. */
const MAX_WORD_LENGTH = 60;
const MAX_LISTED = 20;

const fold = (word: string): string => word.toLowerCase().replaceAll("_", "-");

/** Optimal string alignment: insert, delete, replace, or swap two neighbours, each at cost 1. */
export function editDistance(a: string, b: string): number {
  let beforePrevious: number[] = [];
  let previous = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let row = 1; row <= a.length; row++) {
    const current = [row];
    for (let column = 1; column <= b.length; column++) {
      const same = a[row - 1] === b[column - 1];
      let cost = Math.min(at(previous, column) + 1, at(current, column - 1) + 1, at(previous, column - 1) + (same ? 0 : 1));
      const swapped = row > 1 && column > 1 && a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1];
      if (swapped) cost = Math.min(cost, at(beforePrevious, column - 2) + 1);
      current.push(cost);
    }
    beforePrevious = previous;
    previous = current;
  }
  return at(previous, b.length);
}

const at = (row: readonly number[], column: number): number => row[column] ?? 0;
