import { readPattern } from "../text/pattern.ts";
import { exampleOf } from "../text/pattern-example.ts";
import { searchLines } from "./find-lines.ts";
import { judgeGate } from "./judge-gate.ts";
import { judgeWindows, windowsProblem } from "./judge-windows.ts";
import type { Bound, Comparison, GateAnswer, GateSamples, LogProbe, Reading, ProbedGate, WindowProbe } from "./model.ts";

/**
 * Tries a gate before anything is moved: it must get data of instances that there are now, and it must fail on the same data made bad:
 * numbers past the limit, numbers of one side so much worse that no two overlap, all requests failed, a line that the pattern is for.
 *
 * @param samples  of untouched instances only: `moved` holds those of as many as the first wave moves, `untouched` those of the others
 * @returns `passed`, or `error` with the reason for which no rollout may begin with it
 */
export function selfTestGate(gate: Pick<ProbedGate, "probe">, samples: GateSamples): GateAnswer {
  if (gate.probe.kind === "windows") return testWindows(gate.probe, samples.moved);
  if (samples.moved.length === 0) return refused("there is no instance that could be asked", {});
  const now = judgeGate(gate, samples);
  const silent = samples.moved.find((reading) => "problem" in reading);
  if (silent !== undefined || now.verdict === "error") return refused(`it cannot be asked: ${now.detail}`, { now: now.data });
  if (!samples.moved.every(hasData)) return refused(`it gets no data of instances that are not moved: ${now.detail}`, { now: now.data });
  const worse = worsen(gate, samples);
  if ("problem" in worse) return refused(worse.problem, { now: now.data });
  const onBad = judgeGate(gate, worse);
  const data = { now: now.data, onBad: onBad.data };
  if (onBad.verdict !== "failed") return refused(`it does not fail on bad data (it is ${onBad.verdict}): ${onBad.detail}`, data);
  const remark = now.verdict === "passed" ? "" : `, though it is ${now.verdict} without any rollout: ${now.detail}`;
  return { verdict: "passed", detail: `it gets data and fails on bad data (${onBad.detail})${remark}`, data };
}

/** Of the clock there is no bad data; windows that never open, or never close, are not what anybody means. */
function testWindows(probe: WindowProbe, readings: readonly Reading[]): GateAnswer {
  const now = judgeWindows(probe, readings);
  const moment = readings.flatMap((reading) => ("at" in reading ? [new Date(reading.at)] : []))[0];
  const problem = moment === undefined ? "there is no time" : windowsProblem(probe, moment);
  return problem === undefined ? { ...now, verdict: "passed" } : refused(problem, now.data);
}

const refused = (detail: string, data: Exclude<GateAnswer["data"], string>): GateAnswer => ({ verdict: "error", detail, data });

function hasData(reading: Reading): boolean {
  const has = (numbers: readonly number[]): boolean => numbers.some((number) => Number.isFinite(number));
  if ("numbers" in reading) return has(reading.numbers);
  if ("requests" in reading) return has(reading.errors) && has(reading.requests);
  return "lines" in reading && reading.lines > 0;
}

function worsen({ probe }: Pick<ProbedGate, "probe">, samples: GateSamples): GateSamples | { readonly problem: string } {
  if (probe.kind === "windows") return samples;
  if (probe.kind === "log") return withBadLines(probe, samples);
  const { expected } = probe;
  if (!("compare" in expected))
    return { ...samples, moved: samples.moved.map((reading) => withNumbers(reading, (one) => past(expected, one))) };
  const { worse } = expected.compare;
  if (!("value" in probe.wanted)) return withBadCounts(worse, samples);
  const numbers = [...samples.moved, ...samples.untouched].flatMap((reading) => ("numbers" in reading ? reading.numbers : []));
  const shift = shiftBeyond(
    expected.compare,
    numbers.filter((number) => Number.isFinite(number)),
  );
  return { ...samples, moved: samples.moved.map((reading) => withNumbers(reading, (one) => one + (worse === "down" ? -shift : shift))) };
}

const withNumbers = (reading: Reading, change: (number: number) => number): Reading =>
  "numbers" in reading ? { ...reading, numbers: reading.numbers.map(change) } : reading;

/** On the wrong side of the limit, by at least the limit's own size. */
function past(bound: Bound, number: number): number {
  const by = (limit: number): number => Math.max(1, Math.abs(limit), Number.isFinite(number) ? Math.abs(number) : 0);
  if ("below" in bound) return bound.below + by(bound.below);
  if ("above" in bound) return bound.above - by(bound.above);
  return bound.between[1] + by(bound.between[1]);
}

/** The tolerance, and on top of it all that the numbers differ by among themselves. */
function shiftBeyond({ tolerance }: Comparison, numbers: readonly number[]): number {
  const largest = numbers.reduce((most, number) => Math.max(most, Math.abs(number)), 0);
  const [lowest, highest] = numbers.reduce(([low, high], number) => [Math.min(low, number), Math.max(high, number)] as const, [
    Infinity,
    -Infinity,
  ] as const);
  const tolerated = "by" in tolerance ? tolerance.by : (largest * tolerance.percent) / 100;
  return tolerated + (highest - lowest) + Math.max(1, largest) / 10;
}

/** All requests of moved ones failed; for what is bad when it goes down: none did, and all of the others. */
function withBadCounts(worse: Comparison["worse"], samples: GateSamples): GateSamples {
  const failing = (reading: Reading): Reading => ("requests" in reading ? { ...reading, errors: reading.requests } : reading);
  const sound = (reading: Reading): Reading => ("requests" in reading ? { ...reading, errors: [0] } : reading);
  return worse === "down"
    ? { moved: samples.moved.map(sound), untouched: samples.untouched.map(failing) }
    : { ...samples, moved: samples.moved.map(failing) };
}

/** As many bad lines as are one too many, behind those that there are. */
function withBadLines({ pattern: source, example, atMost }: LogProbe, samples: GateSamples): GateSamples | { readonly problem: string } {
  const pattern = readPattern(source);
  if (typeof pattern === "string") return { problem: `the pattern ${pattern}` };
  const line = example ?? exampleOf(pattern);
  if (line === undefined) return { problem: "no line could be made that the pattern finds: give one as `example`" };
  const found = searchLines(pattern, "example", [line]);
  if (!("matching" in found) || found.matching.length === 0)
    return { problem: `the pattern does not find the line that it is for: ${JSON.stringify(line.slice(0, 100))}` };
  const bad = new Array<string>(atMost + 1).fill(line);
  return {
    ...samples,
    moved: samples.moved.map((reading, index) =>
      index === 0 && "matching" in reading
        ? { ...reading, lines: reading.lines + bad.length, matching: [...reading.matching, ...bad] }
        : reading,
    ),
  };
}
