import { worstVerdict } from "../checks/verdict.ts";
import type { Judged } from "./compare.ts";
import { compareNumbers } from "./compare-numbers.ts";
import { compareProportions } from "./compare-proportions.ts";
import { judgeWindows } from "./judge-windows.ts";
import type { Bound, GateAnswer, GateProbe, GateSamples, LogProbe, Reading } from "./model.ts";
import { listed, plural, shown } from "./words.ts";

/**
 * What the samples say about a gate. Pure and total: the same samples give the same answer, and nothing throws.
 *
 * The worst of all readings counts: `failed` before `error` (no answer) before `inconclusive` (answers that do not decide: none, NaN,
 * infinite, too few, not all) before `passed`. No data is never `passed`.
 */
export function judgeGate({ probe }: { readonly probe: GateProbe }, samples: GateSamples): GateAnswer {
  const { moved } = samples;
  if (moved.length === 0) return { verdict: "inconclusive", detail: "there is nothing moved that could be asked", data: { asked: 0 } };
  const judged = judgeAnswers(probe, samples);
  const silent = moved.flatMap((reading) => ("problem" in reading ? [reading] : []));
  const doubtful = moved.flatMap(({ from, doubt }) => (doubt === undefined ? [] : [{ from, doubt }]));
  const verdict = worstVerdict([
    ...(judged === undefined ? [] : [judged.verdict]),
    ...(silent.length > 0 ? (["error"] as const) : []),
    ...(doubtful.length > 0 ? (["inconclusive"] as const) : []),
  ]);
  const details = [
    ...(judged === undefined ? [] : [judged.detail]),
    ...(silent.length === 0
      ? []
      : [`${silent.length} of ${moved.length} gave no answer: ${listed(silent, ({ from, problem }) => `${from}: ${problem}`)}`]),
    ...(doubtful.length === 0 ? [] : [listed(doubtful, ({ from, doubt }) => `${from}: ${doubt}`)]),
  ];
  return {
    verdict,
    detail: details.join("; "),
    data: { asked: moved.length, silent: silent.length, ...judged?.data },
  };
}

/** @returns nothing when none is an answer */
function judgeAnswers(probe: GateProbe, { moved, untouched }: GateSamples): Judged | undefined {
  if (moved.every((reading) => "problem" in reading)) return undefined;
  if (probe.kind === "log") return judgeLines(probe, moved);
  if (probe.kind === "windows") return judgeWindows(probe, moved);
  const { expected } = probe;
  if (!("compare" in expected)) return judgeBound(expected, moved);
  return "value" in probe.wanted
    ? compareNumbers(expected.compare, moved, untouched)
    : compareProportions(expected.compare, moved, untouched);
}

function judgeBound(bound: Bound, moved: readonly Reading[]): Judged {
  const readings = moved.flatMap((reading) => ("numbers" in reading ? [reading] : []));
  const numbers = readings.flatMap(({ from, numbers }) => numbers.map((number) => ({ from, number })));
  const usable = numbers.filter(({ number }) => Number.isFinite(number));
  const outside = usable
    .filter(({ number }) => !keeps(bound, number))
    .sort((a, b) => distance(bound, b.number) - distance(bound, a.number));
  const empty = readings.filter(({ numbers: found }) => found.length === 0);
  const [worst] = outside.length > 0 ? outside : [...usable].sort((a, b) => distance(bound, b.number) - distance(bound, a.number));
  const unusable = numbers.length - usable.length;
  const verdict = outside.length > 0 ? "failed" : usable.length === 0 || unusable > 0 || empty.length > 0 ? "inconclusive" : "passed";
  const details = [
    ...(worst === undefined
      ? []
      : outside.length > 0
        ? [
            `${outside.length} of ${usable.length} not ${boundText(bound)}: ${listed(outside, ({ from, number }) => `${shown(number)} (${from})`)}`,
          ]
        : [
            `${usable.length === 1 ? shown(worst.number) : `all ${usable.length}, the worst ${shown(worst.number)}`} (${worst.from}), ${boundText(bound)}`,
          ]),
    ...(unusable > 0 ? [`${unusable} of ${numbers.length} are no numbers (NaN or infinite)`] : []),
    ...(empty.length > 0 ? [`no samples from ${listed(empty, ({ from }) => from)}`] : []),
  ];
  return {
    verdict,
    detail: details.join("; ") || "no samples",
    data: { samples: usable.length, unusable, outside: outside.length, worst: worst?.number ?? null, ...bound },
  };
}

function keeps(bound: Bound, number: number): boolean {
  if ("below" in bound) return number < bound.below;
  if ("above" in bound) return number > bound.above;
  return number >= bound.between[0] && number <= bound.between[1];
}

/** How bad a number is: grows towards the limit and beyond it. */
function distance(bound: Bound, number: number): number {
  if ("below" in bound) return number;
  if ("above" in bound) return -number;
  return Math.max(bound.between[0] - number, number - bound.between[1]);
}

function boundText(bound: Bound): string {
  if ("below" in bound) return `below ${shown(bound.below)}`;
  if ("above" in bound) return `above ${shown(bound.above)}`;
  return `between ${shown(bound.between[0])} and ${shown(bound.between[1])}`;
}

function judgeLines({ atMost }: LogProbe, moved: readonly Reading[]): Judged {
  const readings = moved.flatMap((reading) => ("lines" in reading ? [reading] : []));
  const matching = readings.flatMap(({ from, matching: lines }) => lines.map((line) => ({ from, line })));
  const read = readings.reduce((total, { lines }) => total + lines, 0);
  const mute = readings.filter(({ lines }) => lines === 0);
  const details = [
    `${matching.length} of ${plural(read, "line")} match, at most ${atMost} may${
      matching.length === 0 ? "" : `: ${listed(matching, ({ from, line }) => `${from}: ${line}`)}`
    }`,
    ...(mute.length > 0 ? [`no line at all from ${listed(mute, ({ from }) => from)}`] : []),
  ];
  return {
    verdict: matching.length > atMost ? "failed" : mute.length > 0 || readings.length === 0 ? "error" : "passed",
    detail: details.join("; "),
    data: { lines: read, matching: matching.length, atMost },
  };
}
