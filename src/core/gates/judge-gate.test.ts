import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { judgeGate } from "./judge-gate.ts";
import type { Bound, Comparison, GateProbe, Reading } from "./model.ts";

const numbers = (from: string, ...values: readonly number[]): Reading => ({ from, numbers: values });
const silent = (from: string): Reading => ({ from, problem: "timed out" });
const counts = (from: string, errors: number, requests: number): Reading => ({ from, errors: [errors], requests: [requests] });

const http = { kind: "http", at: { path: "/stats", port: 80 }, wanted: { value: "errors" }, timeoutMs: 1000 } as const;
const bounded = (bound: Bound): { readonly probe: GateProbe } => ({ probe: { ...http, expected: bound } });
const compared = (comparison: Partial<Comparison> = {}, wanted: "value" | "counts" = "value"): { readonly probe: GateProbe } => ({
  probe: {
    ...http,
    wanted: wanted === "value" ? { value: "latency" } : { errors: "errors", requests: "requests" },
    expected: { compare: { worse: "up", tolerance: { by: 0 }, falseAlarmsPercent: 1, minSamples: 5, ...comparison } },
  },
});
const log: { readonly probe: GateProbe } = { probe: { kind: "log", pattern: "panic", atMost: 1, lines: 100 } };

const judged = (
  gate: { readonly probe: GateProbe },
  moved: readonly Reading[],
  untouched: readonly Reading[] = [],
): readonly [string, string] => {
  const { verdict, detail } = judgeGate(gate, { moved, untouched });
  return [verdict, detail];
};

describe("a limit", () => {
  it.each<[string, Bound, readonly Reading[], string, string]>([
    ["kept", { below: 1 }, [numbers("a", 0.2), numbers("b", 0.93)], "passed", "all 2, the worst 0.93 (b), below 1"],
    ["kept by one", { above: 1 }, [numbers("a", 2)], "passed", "2 (a), above 1"],
    ["not below itself", { below: 1 }, [numbers("a", 1)], "failed", "1 of 1 not below 1: 1 (a)"],
    ["not above itself", { above: 1 }, [numbers("a", 1)], "failed", "1 of 1 not above 1: 1 (a)"],
    ["between its ends", { between: [1, 2] }, [numbers("a", 1, 2)], "passed", "all 2, the worst 1 (a), between 1 and 2"],
    ["broken by the worst", { below: 1 }, [numbers("a", 0.2, 7), numbers("b", 3)], "failed", "2 of 3 not below 1: 7 (a), 3 (b)"],
    ["broken, though another is silent", { below: 1 }, [numbers("a", 7), silent("b")], "failed", "1 of 2 gave no answer: b: timed out"],
    ["kept, though another is silent", { below: 1 }, [numbers("a", 0), silent("b")], "error", "1 of 2 gave no answer"],
    ["of nobody who answers", { below: 1 }, [silent("a"), silent("b")], "error", "2 of 2 gave no answer: a: timed out, b: timed out"],
    ["of no samples", { below: 1 }, [numbers("a")], "inconclusive", "no samples from a"],
    ["of samples from some", { below: 1 }, [numbers("a", 0), numbers("b")], "inconclusive", "no samples from b"],
    ["of NaN", { below: 1 }, [numbers("a", Number.NaN)], "inconclusive", "1 of 1 are no numbers (NaN or infinite)"],
    ["of NaN among numbers", { below: 1 }, [numbers("a", 0, Number.NaN)], "inconclusive", "1 of 2 are no numbers"],
    ["broken beside NaN", { below: 1 }, [numbers("a", 3, Number.NaN)], "failed", "1 of 1 not below 1"],
    ["of less than nothing", { below: 1 }, [numbers("a", -Infinity)], "inconclusive", "no numbers"],
    ["of more than everything", { above: 1 }, [numbers("a", Infinity)], "inconclusive", "no numbers"],
    ["of nobody", { below: 1 }, [], "inconclusive", "there is nothing moved that could be asked"],
    ["of an answer that is in doubt", { below: 1 }, [{ ...numbers("a", 0), doubt: "it warns" }], "inconclusive", "a: it warns"],
  ])("%s: %o", (_, bound, moved, verdict, detail) => {
    expect(judged(bounded(bound), moved)).toEqual([verdict, expect.stringContaining(detail)]);
  });
});

describe("a comparison", () => {
  const fast = [10, 11, 12, 13, 14, 15, 16, 17];
  const slow = fast.map((value) => value + 20);

  it.each<[string, Partial<Comparison>, readonly number[], readonly number[], string]>([
    ["worse", {}, slow, fast, "failed"],
    ["better", {}, fast, slow, "passed"],
    ["the same", {}, fast, fast, "passed"],
    ["worse downwards", { worse: "down" }, fast, slow, "failed"],
    ["another, either way", { worse: "either" }, fast, slow, "failed"],
    ["worse, within what is tolerated", { tolerance: { by: 20 } }, slow, fast, "passed"],
    ["worse, within a share that is tolerated", { tolerance: { percent: 150 } }, slow, fast, "passed"],
    ["worse beyond a share", { tolerance: { percent: 10 } }, slow, fast, "failed"],
    ["constant on both sides", {}, [5, 5, 5, 5, 5], [5, 5, 5, 5, 5], "passed"],
    ["constant, and another constant", {}, [6, 6, 6, 6, 6], [5, 5, 5, 5, 5], "failed"],
    ["constant at the tolerance", { tolerance: { percent: 10 } }, [0.11, 0.11, 0.11, 0.11, 0.11], [0.1, 0.1, 0.1, 0.1, 0.1], "passed"],
    ["constant zero, and not any more", { tolerance: { percent: 50 } }, [1, 1, 1, 1, 1], [0, 0, 0, 0, 0], "failed"],
    ["of too few", { minSamples: 9 }, slow, fast, "inconclusive"],
    ["of too few untouched", {}, slow, [1, 2], "inconclusive"],
    ["of so few that it can show nothing", { minSamples: 2 }, [30, 31, 32], [1, 2, 3], "inconclusive"],
    ["of nothing", {}, [], fast, "inconclusive"],
    ["with nothing", {}, slow, [], "inconclusive"],
    ["of NaN", {}, [...fast, Number.NaN], fast, "inconclusive"],
    ["worse, and NaN", {}, [...slow, Number.NaN], fast, "failed"],
    ["with NaN", {}, fast, [...fast, Number.NaN], "passed"],
  ])("%s: %o", (_, comparison, moved, untouched, verdict) => {
    expect(judged(compared(comparison), [numbers("a", ...moved)], [numbers("b", ...untouched)])[0]).toBe(verdict);
  });

  it("says sizes, effect, p-value and false-alarm rate", () => {
    const answer = judgeGate(compared(), { moved: [numbers("a", ...slow)], untouched: [numbers("b", ...fast)] });
    expect(answer.detail).toBe(
      "moved ones are higher than untouched ones: median 33.5 against 13.5, higher in 100 % of pairs " +
        "(8 values of moved, 8 of untouched, p = 0.000078, false alarms 1 %)",
    );
    expect(answer.data).toMatchObject({
      moved: { values: 8, median: 33.5 },
      untouched: { values: 8, median: 13.5 },
      test: "mann-whitney-exact",
      higherShare: 1,
      p: expect.closeTo(1 / 12_870, 12) as number,
      falseAlarmsPercent: 1,
    });
  });

  it("is an error only when too few untouched ones answer", () => {
    const untouched = [silent("c"), numbers("b", ...fast)];
    expect(judged(compared(), [numbers("a", ...fast)], untouched)[0]).toBe("passed");
    expect(judged(compared({ minSamples: 8 }), [numbers("a", ...fast)], [silent("c"), numbers("b", 1)])).toEqual([
      "error",
      expect.stringContaining("no answer of c: timed out"),
    ]);
    expect(judged(compared(), [numbers("a", ...fast), silent("d")], untouched)[0]).toBe("error");
  });

  it("keeps to its false-alarm rate, and finds what docs/guide/gates.md says that it finds", () => {
    const random = seeded(7);
    const normal = (): number => Array.from({ length: 12 }, random).reduce((sum, number) => sum + number, -6);
    const draw = (shift: number): readonly Reading[] => [numbers("x", ...Array.from({ length: 20 }, () => normal() + shift))];
    const failing = (shift: number): number =>
      Array.from({ length: 300 }, () => judged(compared(), draw(shift), draw(0))[0]).filter((verdict) => verdict === "failed").length;
    expect(failing(0)).toBeLessThanOrEqual(9); // 3 of 300 are expected
    expect(failing(1.25)).toBeGreaterThan(255); // 9 of 10
  });
});

describe("a comparison of failed requests", () => {
  it.each<[string, Partial<Comparison>, Reading, Reading, string, string]>([
    ["more", {}, counts("a", 30, 1000), counts("b", 100, 10_000), "failed", "3 % against 1 % (30 of 1000 requests to moved failed"],
    ["as many", {}, counts("a", 10, 1000), counts("b", 100, 10_000), "passed", "p = "],
    [
      "no more than tolerated",
      { tolerance: { percent: 200 } },
      counts("a", 30, 1000),
      counts("b", 100, 10_000),
      "passed",
      "by more than 200 %",
    ],
    ["none at all", {}, counts("a", 0, 1000), counts("b", 0, 10_000), "passed", "0 of 1000"],
    ["fewer", { worse: "down" }, counts("a", 0, 1000), counts("b", 500, 10_000), "failed", "are lower"],
    ["other ones", { worse: "either" }, counts("a", 30, 1000), counts("b", 100, 10_000), "failed", "are different"],
    ["of few requests", { minSamples: 100 }, counts("a", 99, 99), counts("b", 0, 1000), "inconclusive", "too few requests"],
    ["of no requests", {}, counts("a", 0, 0), counts("b", 0, 1000), "inconclusive", "too few requests"],
    ["of NaN", {}, counts("a", Number.NaN, 1000), counts("b", 0, 1000), "inconclusive", "no numbers that can be counted with"],
    ["of less than nothing", {}, counts("a", -1, 1000), counts("b", 0, 1000), "inconclusive", "no numbers that can be counted with"],
    ["of more than all", {}, counts("a", 5, 4), counts("b", 0, 1000), "inconclusive", "more errors (5) than requests (4)"],
    ["of what is not whole", {}, counts("a", 0.4, 1000.2), counts("b", 0, 1000), "passed", "0 of 1000 requests"],
    ["of no counts", {}, { from: "a", errors: [], requests: [10] }, counts("b", 0, 1000), "inconclusive", "no counts of errors"],
    ["with nobody who answers", {}, counts("a", 0, 1000), silent("b"), "error", "no answer of b: timed out"],
  ])("%s: %o", (_, comparison, moved, untouched, verdict, detail) => {
    expect(judged(compared(comparison, "counts"), [moved], [untouched])).toEqual([verdict, expect.stringContaining(detail)]);
  });

  it("adds up instances", () => {
    const many = (from: string, errors: number): readonly Reading[] =>
      Array.from({ length: 10 }, (_, index) => counts(`${from}${index}`, errors, 100));
    expect(judged(compared({}, "counts"), many("a", 3), many("b", 0))).toEqual(["failed", expect.stringContaining("30 of 1000 requests")]);
  });
});

describe("lines of journals", () => {
  const lines = (from: string, read: number, ...matching: readonly string[]): Reading => ({ from, lines: read, matching });

  it.each<[string, readonly Reading[], string, string]>([
    ["none", [lines("a", 10), lines("b", 5)], "passed", "0 of 15 lines match, at most 1 may"],
    ["as many as may be", [lines("a", 10, "panic: x")], "passed", "1 of 10 lines match, at most 1 may: a: panic: x"],
    [
      "too many",
      [lines("a", 10, "panic: x"), lines("b", 1, "panic: y")],
      "failed",
      "2 of 11 lines match, at most 1 may: a: panic: x, b: panic: y",
    ],
    ["no line at all", [lines("a", 0)], "error", "no line at all from a"],
    ["no line of one", [lines("a", 10), lines("b", 0)], "error", "no line at all from b"],
    ["nobody who answers", [silent("a")], "error", "1 of 1 gave no answer"],
    ["not all lines", [{ ...lines("a", 10), doubt: "older ones were not read" }], "inconclusive", "a: older ones were not read"],
  ])("%s", (_, moved, verdict, detail) => expect(judged(log, moved)).toEqual([verdict, expect.stringContaining(detail)]));

  it("are told short", () => {
    const { detail } = judgeGate(log, { moved: [lines("a", 9, ...new Array<string>(9).fill("x".repeat(5000)))], untouched: [] });
    expect(detail.length).toBeLessThan(800);
  });
});

describe("windows", () => {
  const opens = { kind: "cron", cron: "0 22 * * SAT", every: { count: 1, unit: "days" }, from: "2024-01-01", zone: "UTC" } as const;
  const windows: { readonly probe: GateProbe } = {
    probe: { kind: "windows", windows: [{ opens, lastsMs: 7_200_000, cutoffMs: 1_800_000 }] },
  };
  it.each([
    ["2026-11-28T22:00:00Z", "passed", "the window is open until"],
    ["2026-11-28T23:29:00Z", "passed", "the window is open until"],
    ["2026-11-28T23:31:00Z", "inconclusive", "the window is closing: it opens at"],
    ["2026-11-29T00:01:00Z", "inconclusive", "the window is closed: it opens at"],
    ["no time", "inconclusive", "there is no time"],
  ])("at %s: %s", (at, verdict, detail) => {
    expect(judged(windows, [{ from: "clock", at }])).toEqual([verdict, expect.stringContaining(detail)]);
  });
});

// whatever comes

const bad = fc.constantFrom(Number.NaN, Infinity, -Infinity);
const any = fc.oneof(fc.double(), bad, fc.constantFrom(0, 5, 1e308, -1e308, Number.MAX_SAFE_INTEGER));
const from = fc.constantFrom("a", "b", "c");
const readingOf = (number: fc.Arbitrary<number>, least = 0): fc.Arbitrary<Reading> =>
  fc.oneof(
    fc.record({ from, numbers: fc.array(number, { minLength: least, maxLength: 40 }) }),
    fc.record({ from, errors: fc.array(number, { maxLength: 3 }), requests: fc.array(number, { maxLength: 3 }) }),
    fc.record({ from, lines: fc.nat(), matching: fc.array(fc.string(), { maxLength: 3 }) }),
    fc.record({ from, problem: fc.string() }),
    fc.record({ from, at: fc.constantFrom("", "2026-11-28T22:00:00Z") }),
  );
const side = (number: fc.Arbitrary<number>): fc.Arbitrary<readonly Reading[]> => fc.array(readingOf(number), { maxLength: 4 });
const anyGate = fc.oneof(
  fc.constant(log),
  any.filter(Number.isFinite).map((limit) => bounded({ below: limit })),
  any.filter(Number.isFinite).map((limit) => bounded({ above: limit })),
  fc.constant(bounded({ between: [-1e308, 1e308] })),
  fc
    .tuple(
      fc.constantFrom("up", "down", "either" as const),
      fc.constantFrom({ by: 0 }, { by: 1e308 }, { percent: 10 }, { percent: 1e6 }),
      fc.constantFrom(2, 10),
      fc.constantFrom("value", "counts" as const),
    )
    .map(([worse, tolerance, minSamples, wanted]) => compared({ worse: worse as "up", tolerance, minSamples }, wanted as "value")),
);

describe("whatever is answered", () => {
  it("there is one of four verdicts, with words, and data that is JSON", () => {
    fc.assert(
      fc.property(anyGate, side(any), side(any), (gate, moved, untouched) => {
        const { verdict, detail, data } = judgeGate(gate, { moved, untouched });
        expect(["passed", "failed", "error", "inconclusive"]).toContain(verdict);
        expect(detail).not.toBe("");
        expect(detail).not.toMatch(/NaN(?! or infinite)|undefined|Infinity/);
        expect(JSON.stringify(data)).not.toContain("null,null");
        expect(() => JSON.stringify(data)).not.toThrow();
      }),
      { numRuns: 1000 },
    );
  });

  it("no data never passes", () => {
    const empty = fc.oneof(
      fc.record({ from, numbers: fc.array(bad, { maxLength: 5 }) }),
      fc.record({ from, errors: fc.array(bad, { maxLength: 2 }), requests: fc.array(bad, { maxLength: 2 }) }),
      fc.record({ from, lines: fc.constant(0), matching: fc.constant([]) }),
      fc.record({ from, problem: fc.string() }),
    );
    fc.assert(
      fc.property(anyGate, fc.array(empty, { maxLength: 5 }), side(any), (gate, moved, untouched) => {
        expect(judgeGate(gate, { moved, untouched }).verdict).not.toBe("passed");
      }),
      { numRuns: 1000 },
    );
  });

  it("a comparison with no data on the other side never passes", () => {
    fc.assert(
      fc.property(
        side(any),
        fc.array(readingOf(bad), { maxLength: 4 }),
        fc.constantFrom("value", "counts" as const),
        (moved, untouched, wanted) => {
          expect(judgeGate(compared({ minSamples: 2 }, wanted as "value"), { moved, untouched }).verdict).not.toBe("passed");
        },
      ),
    );
  });

  it("one that is silent, empty, NaN or in doubt among good ones is enough not to pass", () => {
    const good = fc.array(fc.record({ from, numbers: fc.array(fc.double({ min: 0, max: 1 }), { minLength: 1, maxLength: 20 }) }), {
      maxLength: 4,
    });
    const spoilt: fc.Arbitrary<Reading> = fc.oneof(
      fc.record({ from, problem: fc.string() }),
      fc.record({ from, numbers: fc.constant([]) }),
      fc.record({ from, numbers: fc.tuple(fc.double({ min: 0, max: 1 }), bad) }),
      fc.record({ from, numbers: fc.constant([0]), doubt: fc.string() }),
    );
    fc.assert(
      fc.property(good, spoilt, good, fc.constantFrom(bounded({ below: 2 }), compared({ minSamples: 2 })), (before, one, after, gate) => {
        const { verdict } = judgeGate(gate, { moved: [...before, one, ...after], untouched: [...before, ...after] });
        expect(["error", "inconclusive", "failed"]).toContain(verdict);
      }),
    );
  });

  it("the order of answers makes no difference", () => {
    fc.assert(
      fc.property(anyGate, side(any), side(any), (gate, moved, untouched) => {
        const turned = { moved: moved.toReversed(), untouched: untouched.toReversed() };
        expect(judgeGate(gate, turned).verdict).toBe(judgeGate(gate, { moved, untouched }).verdict);
      }),
    );
  });

  it("a hundred thousand numbers are judged soon", () => {
    const many = Array.from({ length: 100_000 }, (_, index) => (index * 7919) % 104_729);
    const started = performance.now();
    expect(judged(compared(), [numbers("a", ...many.slice(0, 50_000))], [numbers("b", ...many.slice(50_000))])[0]).toBe("passed");
    expect(judged(bounded({ below: 1e6 }), [{ from: "a", numbers: many }])[0]).toBe("passed");
    expect(performance.now() - started).toBeLessThan(5000);
  });
});

/** Numbers from 0 to 1, the same for the same seed (mulberry32). */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
