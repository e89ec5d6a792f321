import type { JsonValue } from "../json.ts";
import { directed, isShown, rateText, rulesOf, unfit, worseText, type Judged } from "./compare.ts";
import { isHigher, shareHigher, smallestP } from "./mann-whitney.ts";
import type { Comparison, Reading } from "./model.ts";
import { percentText, plural, pText, shown } from "./words.ts";

/**
 * Mann–Whitney U test of the moved ones' numbers against the untouched ones', to which the tolerance was added. Fails when they would
 * look so much worse by chance alone no more often than the false-alarm rate says; `either` asks both directions and counts p twice.
 *
 * Constant numbers need no rule of their own: all equal is p = 1, and two different constants are the clearest difference there is.
 */
export function compareNumbers(comparison: Comparison, moved: readonly Reading[], untouched: readonly Reading[]): Judged {
  const ours = numbersOf(moved);
  const theirs = numbersOf(untouched);
  const [n, m] = [ours.usable.length, theirs.usable.length];
  const smallest = directed(
    comparison,
    () => ({ p: smallestP(n, m) }),
    () => ({ p: smallestP(n, m) }),
  ).p;
  const reason = unfit(comparison, { moved: n, untouched: m, word: "value", smallestP: smallest }, untouched);
  const sizes = `${plural(n, "value")} of moved, ${m} of untouched`;
  const data = { ...rulesOf(comparison), moved: describe(ours.usable), untouched: describe(theirs.usable), unusable: ours.unusable };
  if (reason !== undefined) return { ...reason, detail: `${reason.detail} (${sizes})`, data };

  const tolerated = toleranceOf(comparison, median(theirs.usable));
  const shifted = (by: number): readonly number[] => rounded(theirs.usable.map((number) => number + by));
  const { p, exact } = directed(
    comparison,
    () => isHigher(rounded(ours.usable), shifted(tolerated)),
    () => isHigher(shifted(-tolerated), rounded(ours.usable)),
  );
  const higher = shareHigher(ours.usable, theirs.usable);
  const fails = isShown(comparison, p);
  const found = `moved ones ${fails ? "are" : "are not shown to be"} ${worseText(comparison)} than untouched ones`;
  const effect = `median ${shown(median(ours.usable))} against ${shown(median(theirs.usable))}, higher in ${percentText(higher)} of pairs`;
  const gaps = [
    ...(ours.unusable > 0 ? [`${ours.unusable} of the moved ones' values are no numbers (NaN or infinite)`] : []),
    ...(ours.empty > 0 ? [`no samples from ${ours.empty} of the moved`] : []),
  ];
  return {
    verdict: fails ? "failed" : gaps.length > 0 ? "inconclusive" : "passed",
    detail: [`${found}: ${effect} (${sizes}, ${pText(p)}, ${rateText(comparison)})`, ...gaps].join("; "),
    data: { ...data, test: `mann-whitney-${exact ? "exact" : "normal"}`, tolerated, higherShare: higher, p },
  };
}

function numbersOf(readings: readonly Reading[]) {
  const answers = readings.flatMap((reading) => ("numbers" in reading ? [reading.numbers] : []));
  const numbers = answers.flat();
  const usable = numbers.filter((number) => Number.isFinite(number));
  return { usable, unusable: numbers.length - usable.length, empty: answers.filter(({ length }) => length === 0).length };
}

/** In the unit of the numbers. */
function toleranceOf({ tolerance }: Comparison, middle: number): number {
  return "by" in tolerance ? tolerance.by : Math.min(Number.MAX_VALUE, Math.abs(middle) * (tolerance.percent / 100));
}

/** What differs by no more than the last digits of a sum is equal: 0.1 + 0.2 and 0.3. */
const rounded = (numbers: readonly number[]): readonly number[] => numbers.map((number) => Number(number.toPrecision(12)));

/** Half before the sum, so that the largest numbers do not overflow. */
function median(numbers: readonly number[]): number {
  const sorted = [...numbers].sort((a, b) => a - b);
  const [low = 0, high = 0] = [sorted[Math.ceil(sorted.length / 2) - 1], sorted[Math.floor(sorted.length / 2)]];
  return low / 2 + high / 2;
}

const describe = (numbers: readonly number[]): JsonValue =>
  numbers.length === 0
    ? { values: 0 }
    : {
        values: numbers.length,
        median: median(numbers),
        lowest: numbers.reduce((low, number) => Math.min(low, number)),
        highest: numbers.reduce((high, number) => Math.max(high, number)),
      };
