import { normalTail } from "./normal-tail.ts";

/** Steps that the exact distribution may take: 20 ms (measured), which is reached beyond 26 numbers on each side. */
const MOST_EXACT_STEPS = 4e6;

export interface RankTest {
  /** How likely numbers that differ by chance alone look at least as high. */
  readonly p: number;
  readonly exact: boolean;
}

/**
 * Mann–Whitney U test, one-sided: is `one` higher than `other`? Exact for few numbers, also with ties (the distribution of the rank sum
 * over all ways to divide these numbers); else the normal approximation, corrected for ties and continuity. No randomness.
 *
 * @param one    finite numbers, any order; as `other`
 * @returns p 1 when a side is empty
 * @see Mann, Whitney: On a test of whether one of two random variables is stochastically larger than the other (1947)
 */
export function isHigher(one: readonly number[], other: readonly number[]): RankTest {
  const n = one.length;
  const m = other.length;
  if (n === 0 || m === 0) return { p: 1, exact: true };
  const { ranks, tied } = doubledRanks([...one, ...other]);
  const sum = sumOf(ranks.slice(0, n));
  const exact = exactTail(ranks, n, sum);
  return exact === undefined ? { p: normalP(winsOf(sum, n), n, m, tied), exact: false } : { p: exact, exact: true };
}

/** Of all pairs with one number of each side, the share in which the first side's is higher; a tie is half. 0.5 when a side is empty. */
export function shareHigher(one: readonly number[], other: readonly number[]): number {
  const n = one.length;
  if (n === 0 || other.length === 0) return 0.5;
  return winsOf(sumOf(doubledRanks([...one, ...other]).ranks.slice(0, n)), n) / (n * other.length);
}

const sumOf = (numbers: readonly number[]): number => numbers.reduce((total, number) => total + number, 0);

/** U: in how many pairs the side with this sum of doubled ranks wins. */
const winsOf = (doubledSum: number, n: number): number => (doubledSum - n * (n + 1)) / 2;

/** The smallest p that so many numbers can give: every one of a side above every one of the other. */
export function smallestP(n: number, m: number): number {
  const few = Math.min(n, m);
  let p = 1;
  for (let taken = 1; taken <= few && p > 0; taken++) p *= taken / (n + m - few + taken);
  return p;
}

/** Twice the rank of each number, which is whole also for ties, and the sum of t³ − t over groups of t equal ones. */
function doubledRanks(numbers: readonly number[]): { readonly ranks: readonly number[]; readonly tied: number } {
  const order = numbers.map((_, index) => index).sort((a, b) => (numbers[a] ?? 0) - (numbers[b] ?? 0));
  const ranks = new Array<number>(numbers.length).fill(0);
  let tied = 0;
  for (let start = 0, end = 0; start < order.length; start = end) {
    while (end < order.length && numbers[order[end] ?? 0] === numbers[order[start] ?? 0]) end++;
    for (const index of order.slice(start, end)) ranks[index] = start + 1 + end;
    tied += (end - start) ** 3 - (end - start);
  }
  return { ranks, tied };
}

/** Counts the ways to choose the smaller side, by its rank sum. @returns nothing when that takes too long */
function exactTail(ranks: readonly number[], n: number, sum: number): number | undefined {
  const total = ranks.length;
  const few = Math.min(n, total - n);
  if (total * few * 2 * total * few > MOST_EXACT_STEPS) return undefined;
  const most = [...ranks]
    .sort((a, b) => b - a)
    .slice(0, few)
    .reduce((highest, rank) => highest + rank, 0);
  const ways = Array.from({ length: few + 1 }, () => new Float64Array(most + 1));
  const [none] = ways;
  if (none === undefined) return undefined;
  none[0] = 1;
  for (const [index, rank] of ranks.entries())
    for (let chosen = Math.min(few, index + 1); chosen > 0; chosen--) addShifted(ways[chosen], ways[chosen - 1], rank);
  const last = ways[few] ?? none;
  // the smaller side is the one that is asked about, or what is left when that one is taken away
  const isLikely = few === n ? (at: number) => at >= sum : (at: number) => at <= total * (total + 1) - sum;
  const all = last.reduce((counted, count) => counted + count, 0);
  return last.reduce((counted, count, at) => (isLikely(at) ? counted + count : counted), 0) / all;
}

function addShifted(into: Float64Array | undefined, from: Float64Array | undefined, by: number): void {
  if (into === undefined || from === undefined) return;
  for (let at = by; at < into.length; at++) into[at] = (into[at] ?? 0) + (from[at - by] ?? 0);
}

function normalP(u: number, n: number, m: number, tied: number): number {
  const total = n + m;
  const variance = ((n * m) / 12) * (total + 1 - tied / (total * (total - 1)));
  return variance <= 0 ? 1 : normalTail((u - (n * m) / 2 - 0.5) / Math.sqrt(variance));
}
