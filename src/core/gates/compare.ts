import type { Verdict } from "../checks/verdict.ts";
import type { JsonValue } from "../json.ts";
import { isMoreFrequent, type Proportion } from "./conditional-test.ts";
import { isHigher, smallestP } from "./mann-whitney.ts";
import type { Comparison, Reading } from "./model.ts";
import { listed, percentText, plural, pText, shown } from "./words.ts";

interface Compared {
  readonly verdict: Verdict;
  readonly detail: string;
  readonly data: Readonly<Record<string, JsonValue>>;
}

/**
 * Mann–Whitney U test of the moved ones' numbers against the untouched ones' moved by the tolerance. Fails when they would look so much
 * worse by chance alone no more often than the false-alarm rate says; `either` asks both directions and counts p twice.
 *
 * Constant numbers need no rule of their own: all equal is p = 1, and two different constants are the clearest difference there is.
 */
export function compareNumbers(comparison: Comparison, moved: readonly Reading[], untouched: readonly Reading[]): Compared {
  const ours = numbersOf(moved);
  const theirs = numbersOf(untouched);
  const [n, m] = [ours.usable.length, theirs.usable.length];
  const reason = unfit(comparison, n, m, smallestP(n, m), "value", untouched);
  const sizes = `${plural(n, "value")} of moved, ${m} of untouched`;
  const data = { ...ratesOf(comparison), moved: describe(ours.usable), untouched: describe(theirs.usable), unusable: ours.unusable };
  if (reason !== undefined) return { ...reason, detail: `${reason.detail} (${sizes})`, data };
  const tolerated = toleranceOf(comparison, median(theirs.usable));
  const up = isHigher(rounded(ours.usable), rounded(theirs.usable.map((number) => number + tolerated)));
  const down = isHigher(rounded(theirs.usable.map((number) => number - tolerated)), rounded(ours.usable));
  const { p } = directed(comparison, up.p, down.p);
  const plain = isHigher(ours.usable, theirs.usable);
  const fails = p <= rateOf(comparison);
  return {
    verdict: fails ? "failed" : ours.unusable > 0 || ours.empty > 0 ? "inconclusive" : "passed",
    detail: [
      `moved ones ${fails ? "are" : "are not shown to be"} ${worseText(comparison)} than untouched ones: median ${shown(
        median(ours.usable),
      )} against ${shown(median(theirs.usable))}, higher in ${percentText(plain.higher)} of pairs (${sizes}, ${pText(p)}, ${rateText(comparison)})`,
      ...(ours.unusable > 0 ? [`${ours.unusable} of the moved ones' values are no numbers (NaN or infinite)`] : []),
      ...(ours.empty > 0 ? [`no samples from ${ours.empty} of the moved`] : []),
    ].join("; "),
    data: { ...data, test: `mann-whitney-${up.exact ? "exact" : "normal"}`, tolerated, higherShare: plain.higher, p },
  };
}

/** Fisher's exact test of failed requests; the tolerance is of the odds. Requests of all instances of a side are counted together. */
export function compareProportions(comparison: Comparison, moved: readonly Reading[], untouched: readonly Reading[]): Compared {
  const ours = proportionOf(moved);
  const theirs = proportionOf(untouched);
  const data = { ...ratesOf(comparison) };
  if (typeof ours === "string") return { verdict: "inconclusive", detail: `of the moved, ${ours}`, data };
  if (typeof theirs === "string") {
    const verdict = untouched.some((reading) => "problem" in reading) ? "error" : "inconclusive";
    return { verdict, detail: `of the untouched, ${theirs}${problemsOf(untouched)}`, data };
  }
  const oddsRatio = 1 + ("percent" in comparison.tolerance ? comparison.tolerance.percent / 100 : 0);
  const test = (one: Proportion, other: Proportion): number => isMoreFrequent(one, other, oddsRatio);
  const clearest = directed(
    comparison,
    test({ ...ours, errors: ours.requests }, theirs),
    test({ ...theirs, errors: theirs.requests }, { ...ours, errors: 0 }),
  );
  const reason = unfit(comparison, ours.requests, theirs.requests, clearest.p, "request", untouched);
  const sizes = `${ours.errors} of ${ours.requests} requests to moved failed, ${theirs.errors} of ${theirs.requests} to untouched`;
  const counted = { ...data, moved: { ...ours }, untouched: { ...theirs }, test: "conditional", oddsRatio };
  if (reason !== undefined) return { ...reason, detail: `${reason.detail} (${sizes})`, data: counted };
  const { p } = directed(comparison, test(ours, theirs), test(theirs, ours));
  const fails = p <= rateOf(comparison);
  return {
    verdict: fails ? "failed" : "passed",
    detail: `failed requests ${fails ? "are" : "are not shown to be"} ${worseText(comparison)}: ${percentText(
      ours.errors / ours.requests,
    )} against ${percentText(theirs.errors / theirs.requests)} (${sizes}, ${pText(p)}, ${rateText(comparison)})`,
    data: { ...counted, p },
  };
}

/** Why there can be no verdict, if so. */
function unfit(
  comparison: Comparison,
  n: number,
  m: number,
  smallest: number,
  word: string,
  untouched: readonly Reading[],
): { readonly verdict: Verdict; readonly detail: string } | undefined {
  const { minSamples } = comparison;
  if (m < minSamples && untouched.some((reading) => "problem" in reading))
    return { verdict: "error", detail: `too few ${word}s of untouched ones, ${minSamples} are needed${problemsOf(untouched)}` };
  if (n < minSamples || m < minSamples)
    return { verdict: "inconclusive", detail: `too few ${word}s to compare, ${minSamples} are needed on each side` };
  const { p } = comparison.worse === "either" ? { p: Math.min(1, 2 * smallest) } : { p: smallest };
  if (p > rateOf(comparison))
    return {
      verdict: "inconclusive",
      detail: `so few ${word}s can show nothing at ${rateText(comparison)}: at best ${pText(p)}`,
    };
  return undefined;
}

const directed = ({ worse }: Comparison, up: number, down: number): { readonly p: number } => ({
  p: worse === "up" ? up : worse === "down" ? down : Math.min(1, 2 * Math.min(up, down)),
});

const rateOf = ({ falseAlarmsPercent }: Comparison): number => falseAlarmsPercent / 100;
const rateText = ({ falseAlarmsPercent }: Comparison): string => `false alarms ${shown(falseAlarmsPercent)} %`;

function worseText({ worse, tolerance }: Comparison): string {
  const by =
    "by" in tolerance
      ? tolerance.by === 0
        ? ""
        : ` by more than ${shown(tolerance.by)}`
      : tolerance.percent === 0
        ? ""
        : ` by more than ${shown(tolerance.percent)} %`;
  return `${worse === "up" ? "higher" : worse === "down" ? "lower" : "different"}${by}`;
}

const ratesOf = ({ worse, tolerance, falseAlarmsPercent, minSamples }: Comparison): Readonly<Record<string, JsonValue>> => ({
  ...{ worse, tolerance, falseAlarmsPercent, minSamples },
});

function problemsOf(readings: readonly Reading[]): string {
  const problems = readings.flatMap((reading) => ("problem" in reading ? [reading] : []));
  return problems.length === 0 ? "" : `; no answer of ${listed(problems, ({ from, problem }) => `${from}: ${problem}`)}`;
}

function numbersOf(readings: readonly Reading[]) {
  const answers = readings.flatMap((reading) => ("numbers" in reading ? [reading.numbers] : []));
  const usable = answers.flat().filter((number) => Number.isFinite(number));
  return { usable, unusable: answers.flat().length - usable.length, empty: answers.filter((numbers) => numbers.length === 0).length };
}

/** @returns what is wrong with the counts, in words */
function proportionOf(readings: readonly Reading[]): Proportion | string {
  const answers = readings.flatMap((reading) => ("requests" in reading ? [reading] : []));
  const errors = answers.flatMap((answer) => answer.errors);
  const requests = answers.flatMap((answer) => answer.requests);
  if (errors.length === 0 || requests.length === 0) return `there are no counts of ${requests.length === 0 ? "requests" : "errors"}`;
  // counters that are extrapolated (Prometheus' increase) are not whole
  const sums = { errors: Math.round(sum(errors)), requests: Math.round(sum(requests)) };
  const isCount = (number: number): boolean => number >= 0;
  if (!errors.every(isCount) || !requests.every(isCount) || !Number.isSafeInteger(sums.errors) || !Number.isSafeInteger(sums.requests))
    return "the counts are no numbers that can be counted with";
  if (sums.errors > sums.requests) return `there are more errors (${sums.errors}) than requests (${sums.requests})`;
  return sums;
}

function toleranceOf({ tolerance }: Comparison, middle: number): number {
  return "by" in tolerance ? tolerance.by : (Math.abs(middle) * tolerance.percent) / 100;
}

/** What differs by no more than the last digits of a sum is equal. */
const rounded = (numbers: readonly number[]): readonly number[] => numbers.map((number) => Number(number.toPrecision(12)));

const sum = (numbers: readonly number[]): number => numbers.reduce((total, number) => total + number, 0);

function median(numbers: readonly number[]): number {
  const sorted = [...numbers].sort((a, b) => a - b);
  const [low = 0, high = low] = [sorted[Math.ceil(sorted.length / 2) - 1], sorted[Math.floor(sorted.length / 2)]];
  return low / 2 + high / 2;
}

const describe = (numbers: readonly number[]): JsonValue =>
  numbers.length === 0
    ? { values: 0 }
    : { values: numbers.length, median: median(numbers), lowest: Math.min(...numbers), highest: Math.max(...numbers) };
