import fc from "fast-check";
import { expect, it, test } from "vitest";
import type { Comparison, GateProbe, Reading, Wanted } from "./model.ts";
import { selfTestGate } from "./self-test.ts";

const http = { kind: "http", at: { path: "/", port: 80 }, wanted: { value: "v" }, timeoutMs: 1 } as const;
const below = (limit: number): GateProbe => ({ ...http, expected: { below: limit } });
const compared = (comparison: Partial<Comparison> = {}, wanted: Wanted = { value: "v" }): GateProbe => ({
  ...{ ...http, wanted },
  expected: { compare: { worse: "up", tolerance: { percent: 10 }, falseAlarmsPercent: 1, minSamples: 5, ...comparison } },
});
const counted = (comparison: Partial<Comparison> = {}): GateProbe =>
  compared({ minSamples: 100, ...comparison }, { errors: "e", requests: "r" });
const log = (pattern: string, example?: string): GateProbe => ({
  ...{ kind: "log", pattern, atMost: 2, lines: 100 },
  ...(example === undefined ? {} : { example }),
});

const numbers = (...values: readonly number[]): readonly Reading[] => [{ from: "a", numbers: values }];
const counts = (errors: number, requests: number): readonly Reading[] => [{ from: "a", errors: [errors], requests: [requests] }];
const lines = (read: number): readonly Reading[] => [{ from: "a", lines: read, matching: [] }];
const silent: readonly Reading[] = [{ from: "a", problem: "timed out" }];
const steady = [10, 11, 12, 13, 14, 15];

const tested = (probe: GateProbe, moved: readonly Reading[], untouched: readonly Reading[] = []): readonly [string, string] => {
  const { verdict, detail } = selfTestGate({ probe }, { moved, untouched });
  return [verdict, detail];
};

test.each<[string, GateProbe, readonly Reading[], readonly Reading[]]>([
  ["a limit", below(1), numbers(0.5), []],
  ["a limit from below", { ...http, expected: { above: 1 } }, numbers(5), []],
  ["a range", { ...http, expected: { between: [-5, 5] } }, numbers(0), []],
  ["a limit, and a number that is NaN", below(1), numbers(0.5, Number.NaN), []],
  ["a comparison", compared(), numbers(...steady), numbers(...steady)],
  ["a comparison downwards", compared({ worse: "down" }), numbers(...steady), numbers(...steady)],
  ["a comparison either way", compared({ worse: "either" }), numbers(...steady), numbers(...steady)],
  ["a comparison of constants", compared(), numbers(0, 0, 0, 0, 0), numbers(0, 0, 0, 0, 0)],
  ["counts", counted(), counts(0, 200), counts(10, 2000)],
  ["counts downwards", counted({ worse: "down" }), counts(0, 200), counts(10, 2000)],
  ["a pattern", log("panic|status=5\\d\\d"), lines(10), []],
  ["a pattern with an example", log("(?=.*shop).*panic", "shop: panic"), lines(10), []],
])("%s gets data and fails on bad data", (_, probe, moved, untouched) => {
  expect(tested(probe, moved, untouched)).toEqual(["passed", expect.stringMatching(/^it gets data and fails on bad data \(/)]);
});

test.each<[string, GateProbe, readonly Reading[], readonly Reading[], string]>([
  ["nothing answers", below(1), silent, [], "it cannot be asked: 1 of 1 gave no answer: a: timed out"],
  ["one of two is silent", below(1), [...silent, ...numbers(1)], [], "it cannot be asked"],
  ["there is no such metric", below(1), numbers(), [], "it gets no data of instances that are not moved: no samples from a"],
  ["there is only NaN", below(1), numbers(Number.NaN), [], "it gets no data"],
  ["there is nobody", below(1), [], [], "there is no instance that could be asked"],
  ["no number is too large", below(1.7e308), numbers(1), [], "it does not fail on bad data (it is inconclusive)"],
  ["the first wave is too small", compared(), numbers(1), numbers(...steady), "it does not fail on bad data (it is inconclusive): too few"],
  [
    "so few can show nothing",
    compared({ falseAlarmsPercent: 0.1 }),
    numbers(...steady),
    numbers(...steady),
    "so few values can show nothing",
  ],
  ["nobody is left to compare with", compared(), numbers(...steady), [], "it does not fail on bad data (it is inconclusive)"],
  ["no requests are counted", counted(), counts(0, 0), counts(0, 2000), "it does not fail on bad data (it is inconclusive): too few"],
  ["counts of errors are missing", counted(), [{ from: "a", errors: [], requests: [5] }], counts(0, 2000), "it gets no data"],
  ["a journal is empty", log("panic"), lines(0), [], "no line at all from a"],
  ["no example can be made", log("(?=x)y?z"), lines(10), [], "give one as `example`"],
  ["the example is not found", log("panic", "all is well"), lines(10), [], 'does not find the line that it is for: "all is well"'],
])("is refused when %s", (_, probe, moved, untouched, detail) => {
  expect(tested(probe, moved, untouched)).toEqual(["error", expect.stringContaining(detail)]);
});

const every = { count: 1, unit: "days" } as const;
const windows = (cron: string, lastsMs: number): GateProbe => ({
  kind: "windows",
  windows: [{ opens: { kind: "cron", cron, every, from: "2024-01-01", zone: "UTC" }, lastsMs, cutoffMs: 0 }],
});
const HOUR_MS = 3_600_000;

test.each([
  ["0 22 * * *", 2 * HOUR_MS, "passed", "the window is closed: it opens at"],
  ["0 3 * * *", 2 * HOUR_MS, "passed", "the window is open until"],
  ["0 0 30 2 *", 2 * HOUR_MS, "error", "the window never opens"],
  ["0 0 * * *", 24 * HOUR_MS, "error", "the window never closes"],
  ["0 0 * * *", 36 * HOUR_MS, "error", "the window never closes"],
])("a window that opens at %s for %d ms is %s", (cron, lastsMs, verdict, detail) => {
  expect(tested(windows(cron, lastsMs), [{ from: "clock", at: "2026-11-26T04:00:00Z" }])).toEqual([
    verdict,
    expect.stringContaining(detail),
  ]);
});

it("says when it fails without any rollout", () => {
  expect(tested(below(1), numbers(5))).toEqual([
    "passed",
    expect.stringContaining("though it is failed without any rollout: 1 of 1 not below 1"),
  ]);
});

it("never passes without data, whatever the gate", () => {
  const bad = fc.constantFrom(Number.NaN, Infinity, -Infinity);
  const empty: fc.Arbitrary<Reading> = fc.oneof(
    fc.record({ from: fc.constant("a"), numbers: fc.array(bad) }),
    fc.record({ from: fc.constant("a"), errors: fc.array(bad), requests: fc.array(fc.nat()) }),
    fc.record({ from: fc.constant("a"), lines: fc.constant(0), matching: fc.constant([]) }),
    fc.record({ from: fc.constant("a"), problem: fc.string() }),
  );
  const gates = fc.constantFrom(below(1), compared(), compared({ worse: "either" }), counted(), log("panic"));
  fc.assert(
    fc.property(gates, fc.array(empty), fc.array(fc.oneof(empty, fc.constant(numbers(...steady)[0]!))), (probe, moved, untouched) => {
      expect(selfTestGate({ probe }, { moved, untouched }).verdict).toBe("error");
    }),
  );
});
