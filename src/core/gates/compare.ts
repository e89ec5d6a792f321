import type { Verdict } from "../checks/verdict.ts";
import type { JsonValue } from "../json.ts";
import type { Comparison, Reading } from "./model.ts";
import { listed, pText, shown } from "./words.ts";

/** What a kind of gate finds in those readings that are answers. */
export interface Judged {
  readonly verdict: Verdict;
  readonly detail: string;
  readonly data: Readonly<Record<string, JsonValue>>;
}

/** The p-value of the direction that is bad; of either, the smaller one twice. */
export function directed<T extends { readonly p: number }>({ worse }: Comparison, up: () => T, down: () => T): T {
  if (worse === "up") return up();
  if (worse === "down") return down();
  const [smaller, other] = [up(), down()];
  const clearer = other.p < smaller.p ? other : smaller;
  return { ...clearer, p: Math.min(1, 2 * clearer.p) };
}

/** What both kinds of comparison need to know before they may judge. */
interface Sizes {
  readonly moved: number;
  readonly untouched: number;
  /** `value`, `request`. */
  readonly word: string;
  /** The smallest p that these sizes can give. */
  readonly smallestP: number;
}

/** Why there can be no verdict of these sizes, if so. @param untouched  of which some may have given no answer */
export function unfit(
  comparison: Comparison,
  { moved, untouched: others, word, smallestP }: Sizes,
  untouched: readonly Reading[],
): Pick<Judged, "verdict" | "detail"> | undefined {
  const { minSamples } = comparison;
  if (others < minSamples && untouched.some((reading) => "problem" in reading))
    return { verdict: "error", detail: `too few ${word}s of untouched ones, ${minSamples} are needed${problemsOf(untouched)}` };
  if (moved < minSamples || others < minSamples)
    return { verdict: "inconclusive", detail: `too few ${word}s to compare, ${minSamples} are needed on each side` };
  if (isShown(comparison, smallestP)) return undefined;
  return { verdict: "inconclusive", detail: `so few ${word}s can show nothing at ${rateText(comparison)}: at best ${pText(smallestP)}` };
}

/** Numbers or requests in all answers of a side, as `minSamples` counts them. */
export function samplesIn(readings: readonly Reading[]): number {
  const finite = (numbers: readonly number[]): readonly number[] => numbers.filter((number) => Number.isFinite(number));
  return readings.reduce((count, reading) => {
    if ("numbers" in reading) return count + finite(reading.numbers).length;
    return "requests" in reading ? finite(reading.requests).reduce((sum, requests) => sum + requests, count) : count;
  }, 0);
}

export const isShown = ({ falseAlarmsPercent }: Comparison, p: number): boolean => p <= falseAlarmsPercent / 100;

export const rateText = ({ falseAlarmsPercent }: Comparison): string => `false alarms ${shown(falseAlarmsPercent)} %`;

/** `higher by more than 10 %` */
export function worseText({ worse, tolerance }: Comparison): string {
  const by = "by" in tolerance ? tolerance.by : tolerance.percent;
  const unit = "by" in tolerance ? "" : " %";
  return `${{ up: "higher", down: "lower", either: "different" }[worse]}${by === 0 ? "" : ` by more than ${shown(by)}${unit}`}`;
}

export const rulesOf = ({ worse, tolerance, falseAlarmsPercent, minSamples }: Comparison): Readonly<Record<string, JsonValue>> => ({
  ...{ worse, tolerance, falseAlarmsPercent, minSamples },
});

export function problemsOf(readings: readonly Reading[]): string {
  const problems = readings.flatMap((reading) => ("problem" in reading ? [reading] : []));
  return problems.length === 0 ? "" : `; no answer of ${listed(problems, ({ from, problem }) => `${from}: ${problem}`)}`;
}
