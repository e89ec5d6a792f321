import { directed, isShown, problemsOf, rateText, rulesOf, unfit, worseText, type Judged } from "./compare.ts";
import { isMoreFrequent, type Proportion } from "./conditional-test.ts";
import type { Comparison, Reading } from "./model.ts";
import { percentText, pText } from "./words.ts";

/**
 * Fisher's exact test of failed requests; the tolerance is of their odds. Requests of all instances of a side are counted together, as
 * if each of them failed by itself: where all of an instance fail together, differences look clearer than they are.
 */
export function compareProportions(comparison: Comparison, moved: readonly Reading[], untouched: readonly Reading[]): Judged {
  const ours = proportionOf(moved);
  const theirs = proportionOf(untouched);
  const rules = rulesOf(comparison);
  if (typeof ours === "string") return { verdict: "inconclusive", detail: `of the moved, ${ours}`, data: rules };
  if (typeof theirs === "string") {
    const verdict = untouched.some((reading) => "problem" in reading) ? "error" : "inconclusive";
    return { verdict, detail: `of the untouched, ${theirs}${problemsOf(untouched)}`, data: rules };
  }
  const oddsRatio = 1 + ("percent" in comparison.tolerance ? comparison.tolerance.percent / 100 : 0);
  const test = (one: Proportion, other: Proportion) => ({ p: isMoreFrequent(one, other, oddsRatio) });
  const clearest = directed(
    comparison,
    () => test(allFailed(ours), theirs),
    () => test(allFailed(theirs), { ...ours, errors: 0 }),
  );
  const enough = { moved: ours.requests, untouched: theirs.requests, word: "request", smallestP: clearest.p };
  const reason = unfit(comparison, enough, untouched);
  const sizes = `${ours.errors} of ${ours.requests} requests to moved failed, ${theirs.errors} of ${theirs.requests} to untouched`;
  const data = { ...rules, moved: { ...ours }, untouched: { ...theirs }, test: "conditional-exact", oddsRatio };
  if (reason !== undefined) return { ...reason, detail: `${reason.detail} (${sizes})`, data };

  const { p } = directed(
    comparison,
    () => test(ours, theirs),
    () => test(theirs, ours),
  );
  const fails = isShown(comparison, p);
  const shares = `${percentText(ours.errors / ours.requests)} against ${percentText(theirs.errors / theirs.requests)}`;
  return {
    verdict: fails ? "failed" : "passed",
    detail: `failed requests ${fails ? "are" : "are not shown to be"} ${worseText(comparison)}: ${shares} (${sizes}, ${pText(p)}, ${rateText(comparison)})`,
    data: { ...data, p },
  };
}

const allFailed = ({ requests }: Proportion): Proportion => ({ requests, errors: requests });

/** @returns what is wrong with the counts, in words */
function proportionOf(readings: readonly Reading[]): Proportion | string {
  const answers = readings.flatMap((reading) => ("requests" in reading ? [reading] : []));
  const errors = answers.flatMap((answer) => answer.errors);
  const requests = answers.flatMap((answer) => answer.requests);
  const empty = answers.find((answer) => answer.errors.length === 0 || answer.requests.length === 0) ?? answers[0];
  if (empty === undefined || empty.errors.length === 0 || empty.requests.length === 0)
    return `there are no counts of ${empty !== undefined && empty.requests.length > 0 ? "errors" : "requests"}`;
  // counters that are extrapolated (Prometheus' increase) are not whole
  const counted = { errors: Math.round(sum(errors)), requests: Math.round(sum(requests)) };
  const isCount = (number: number): boolean => number >= 0;
  if (![...errors, ...requests].every(isCount) || !Number.isSafeInteger(counted.errors) || !Number.isSafeInteger(counted.requests))
    return "the counts are no numbers that can be counted with";
  if (counted.errors > counted.requests) return `there are more errors (${counted.errors}) than requests (${counted.requests})`;
  return counted;
}

const sum = (numbers: readonly number[]): number => numbers.reduce((total, number) => total + number, 0);
