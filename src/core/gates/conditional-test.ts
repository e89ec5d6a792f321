import { normalTail } from "./normal-tail.ts";

/** Of so many requests, so many failed. Whole numbers, no more errors than requests. */
export interface Proportion {
  readonly errors: number;
  readonly requests: number;
}

/**
 * Are errors more frequent in `one` than in `other`, by more than the odds ratio? Given how many there are in all, how likely are at
 * least so many in `one`: Fisher's exact test, and for another odds ratio than 1 the same with the non-central distribution. From a
 * standard deviation of 10,000 errors on the normal approximation is used, which differs by less than one in 1,000 there.
 *
 * @param oddsRatio  how much more frequent they may be; 1 is no more at all
 * @returns p; 1 when there are no errors
 * @see Fisher: The logic of inductive inference (1935); Liao, Rosen: Fast and stable algorithms for … the noncentral hypergeometric
 *      distribution (2001)
 */
export function isMoreFrequent(one: Proportion, other: Proportion, oddsRatio: number): number {
  const errors = one.errors + other.errors;
  const lowest = Math.max(0, errors - other.requests);
  const highest = Math.min(errors, one.requests);
  if (one.errors <= lowest) return 1;
  const ratio = (at: number): number =>
    (((one.requests - at) * (errors - at)) / ((at + 1) * (other.requests - errors + at + 1))) * oddsRatio;
  const mode = modeOf(lowest, highest, ratio);
  const spread = Math.sqrt(
    1 / (1 / (mode + 1) + 1 / (one.requests - mode + 1) + 1 / (errors - mode + 1) + 1 / (other.requests - errors + mode + 1)),
  );
  if (spread > MOST_SPREAD) return normalTail((one.errors - 0.5 - mode) / spread);
  let tail = 0;
  let all = 0;
  const count = (at: number, weight: number): void => {
    all += weight;
    if (at >= one.errors) tail += weight;
  };
  for (let at = mode, weight = 1; at <= highest && weight > LEAST_WEIGHT; weight *= ratio(at), at++) count(at, weight);
  for (let at = mode - 1, weight = 1; at >= lowest; at--) {
    weight /= ratio(at);
    if (!(weight > LEAST_WEIGHT)) break;
    count(at, weight);
  }
  return tail / all;
}

const MOST_SPREAD = 1e4;
/** Of the most likely number; what is less likely adds nothing to a double. */
const LEAST_WEIGHT = 1e-30;

/** The most likely number of errors: the first from which on one more is less likely. */
function modeOf(lowest: number, highest: number, ratio: (at: number) => number): number {
  let from = lowest;
  let to = highest;
  while (from < to) {
    const middle = Math.floor(from + (to - from) / 2);
    if (ratio(middle) > 1) from = middle + 1;
    else to = middle;
  }
  return from;
}
