import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Amount } from "./amount.ts";
import { Driven, planOf, problemsOf } from "./driven.testing.ts";
import { planText, shortestMs, type RolloutPlan } from "./plan.ts";
import type { CanaryStep } from "./policy.ts";

const ACTIVATE = { kind: "activate", why: "only the release changed" } as const;
const REPLACE = { kind: "replace", why: "the root changed" } as const;
const ONE: Amount = { count: 1 };

describe("how instances come to the image", () => {
  test("is part of the plan, and of what is approved", () => {
    const texts = [undefined, ACTIVATE, REPLACE, { ...REPLACE, why: "another reason" }].map((method) =>
      planText(planOf({}, 10, method === undefined ? {} : { method })),
    );
    expect(new Set(texts).size).toBe(4);
    expect(planOf({}, 10, { method: ACTIVATE }).method).toEqual(ACTIVATE);
    expect(planOf({})).not.toHaveProperty("method");
  });

  test("in place needs no machine beyond the size of the fleet", () => {
    expect(planOf({ maxSurge: ONE }, 10, { method: ACTIVATE }).limits.maxSurge).toBe(0);
    expect(planOf({ maxSurge: ONE }, 10, { method: REPLACE }).limits.maxSurge).toBe(1);
  });

  test.each([
    [
      "surge alone lets nothing move",
      { maxUnavailable: { percent: 9 }, maxSurge: ONE },
      ["maxUnavailable 9 % of 10 is 0", "only the release changed"],
    ],
    ["all must be healthy", { minHealthy: { percent: 95 }, maxSurge: ONE }, ["minHealthy 95 % of 10 is 10", "lower minHealthy"]],
    [
      "there is no second set",
      { strategy: { kind: "blue-green", soakMs: 0, keepOldMs: 0 } },
      ["second set of machines", "only the release changed"],
    ],
  ] as const)("in place, %s: the plan is refused, and says why", (_what, policy, words) => {
    const [problem, ...others] = problemsOf(policy, 10, { method: ACTIVATE });
    expect(others).toEqual([]);
    for (const word of words) expect(problem).toContain(word);
    expect(problemsOf(policy, 10, { method: REPLACE })).toEqual([]);
  });
});

describe("a canary by weight", () => {
  const wavesOf = (steps: readonly CanaryStep[], size: number): RolloutPlan["waves"] =>
    planOf({ strategy: { kind: "canary", steps } }, size).waves;

  test("has waves that move instances, waves that only give traffic, and the rest at the end, weighed no more", () => {
    const steps = [
      { to: { percent: 10 }, weight: 1, soakMs: 1 },
      { weight: 10, soakMs: 2 },
      { to: { percent: 50 }, soakMs: 3 },
    ];
    expect(wavesOf(steps, 20)).toEqual([
      { from: 0, to: 2, soakMs: 1, weight: 1 },
      { from: 2, to: 2, soakMs: 2, weight: 10 },
      { from: 2, to: 10, soakMs: 3 },
      { from: 10, to: 20, soakMs: 3 },
    ]);
  });

  test("is weighed no more where nothing is left on the image before", () => {
    const steps = [
      { to: { percent: 10 }, weight: 5, soakMs: 1 },
      { weight: 50, soakMs: 2 },
    ];
    expect(wavesOf(steps, 1)).toEqual([{ from: 0, to: 1, soakMs: 1 }]);
  });

  test.each([
    ["nothing to give it to", [{ weight: 5, soakMs: 0 }], "step 1 gives 5 % of the traffic to the new instances, and there are none yet"],
    ["more than there is", [{ to: ONE, weight: 101, soakMs: 0 }], "step 1 has the weight 101"],
    ["no step", [], "at least one step"],
  ] as const)("with %s is refused", (_what, steps, words) => {
    expect(problemsOf({ strategy: { kind: "canary", steps } })).toEqual([expect.stringContaining(words)]);
  });
});

describe("an image that may not be applied", () => {
  const reason = "5 of 20 failed";
  test.each([
    ["denied", { denied: [{ digest: "new", reason }] }, `the image is on the deny list of f: new: ${reason}`],
    ["revoked", { revoked: [{ digest: "new", reason }] }, `the image is revoked: new: ${reason}`],
    ["missing", { missing: ["new"] }, "the image is not there: new"],
    ["denied to go back to", { denied: [{ digest: "old", reason }] }, `the image to go back to is on the deny list of f: old: ${reason}`],
    ["revoked to go back to", { revoked: [{ digest: "old", reason }] }, `the image to go back to is revoked: old: ${reason}`],
    ["missing to go back to", { missing: ["old"] }, "the image to go back to is not there: old"],
    ["the one to go back to", { back: "new" }, "the image to go back to is the one that is rolled out: new"],
  ])("%s", (_what, rest, problem) => expect(problemsOf({}, 6, rest)).toEqual([problem]));

  test("says everything that is wrong at once, and is nobody else's matter", () => {
    const barred = {
      denied: [{ digest: "new", reason }],
      revoked: [
        { digest: "new", reason: "leak" },
        { digest: "old", reason: "leak" },
      ],
    };
    expect(problemsOf({}, 6, barred)).toHaveLength(3);
    expect(problemsOf({}, 6, { denied: [{ digest: "another", reason }], missing: ["another"] })).toEqual([]);
  });
});

describe("waves of ten percent in small fleets", () => {
  const TEN = { percent: 10 } as const;
  const sizesOf = ({ waves }: RolloutPlan): readonly number[] => waves.map(({ from, to }) => to - from);
  const rolling = { strategy: { kind: "rolling", batch: TEN, soakMs: 0 }, maxUnavailable: TEN, maxSurge: TEN } as const;
  const canary = {
    ...rolling,
    strategy: {
      kind: "canary",
      steps: [
        { to: TEN, soakMs: 0 },
        { to: { percent: 50 }, soakMs: 0 },
      ],
    },
  } as const;

  test.each([
    [1, [1], [1]],
    [2, [1, 1], [1, 1]],
    [3, [1, 1, 1], [1, 1, 1]],
    [7, [1, 1, 1, 1, 1, 1, 1], [1, 3, 3]],
    [19, [2, 2, 2, 2, 2, 2, 2, 2, 2, 1], [2, 8, 9]],
  ])("of %i: never an empty one, and all are moved", (size, batches, steps) => {
    expect(sizesOf(planOf(rolling, size))).toEqual(batches);
    expect(sizesOf(planOf(canary, size))).toEqual(steps);
    expect(planOf(rolling, size).limits).toMatchObject({ maxUnavailable: size < 10 ? 0 : 1, maxSurge: size < 11 ? 1 : 2 });
  });

  test.each([1, 2, 3, 7, 9])("of %i without surge: nothing may move, and the plan is refused with the numbers", (size) => {
    const words = `nothing may move: maxUnavailable 10 % of ${size} is 0, and maxSurge 0 of ${size} is 0; allow one of them`;
    expect(problemsOf({ ...rolling, maxSurge: { count: 0 } }, size)).toEqual([words]);
  });

  test.each([1, 2, 3, 7])("of %i with nine of ten healthy and no surge: the numbers that collide are named", (size) => {
    const policy = { ...rolling, maxUnavailable: ONE, maxSurge: { count: 0 }, minHealthy: { percent: 90 } };
    expect(problemsOf(policy, size)).toEqual([expect.stringContaining(`minHealthy 90 % of ${size} is ${size}, and without surge`)]);
  });

  test.each([1, 2, 3, 7].flatMap((size) => [rolling, canary].map((policy) => [size, policy.strategy.kind, policy] as const)))(
    "of %i, %s: it is carried out to the end with all healthy",
    (size, _kind, policy) => {
      const driven = new Driven(policy, size);
      driven.run();
      expect(driven.rollout).toMatchObject({ status: "completed" });
      expect(driven.rollout.roster.sums.ready).toBe(size);
    },
  );
});

describe("a policy that can never be met", () => {
  const SETS = { strategy: { kind: "blue-green", soakMs: 0, keepOldMs: 0 } } as const;
  test.each([
    ["more healthy than there are", { minHealthy: { count: 11 } }, ["minHealthy 11 is more than the 10 instances that there are"]],
    ["the same for two sets", { ...SETS, minHealthy: { count: 11 } }, ["minHealthy 11 is more than the 10 instances that there are"]],
    ["no time", { timeoutMs: 0 }, ["no move can end in time: timeout is 0"]],
    [
      "several at once",
      { maxUnavailable: { percent: 5 }, minHealthy: { percent: 100 }, timeoutMs: 0 },
      [
        "no move can end in time: timeout is 0",
        "nothing may move: maxUnavailable 5 % of 10 is 0",
        "nothing may move: minHealthy 100 % of 10 is 10",
      ],
    ],
  ] as const)("is refused: %s", (_what, policy, words) => {
    expect(problemsOf(policy, 10)).toEqual(words.map((each) => expect.stringContaining(each) as string));
  });

  test("is not one that asks for no budget, or brings machines of its own", () => {
    const none = { maxUnavailable: { count: 0 }, minHealthy: { percent: 100 } } as const;
    expect(problemsOf({ ...none, strategy: { kind: "all-at-once", soakMs: 0 } })).toEqual([]);
    expect(problemsOf({ ...none, ...SETS })).toEqual([]);
    expect(problemsOf({ ...none, maxSurge: ONE })).toEqual([]);
  });

  test("and a fleet without instances", () => expect(problemsOf({}, 0)).toEqual(["the fleet has no instances"]));
});

test("the shortest time counts what is moved abreast, soaks, and how long an old set is kept", () => {
  const rolling = {
    strategy: { kind: "rolling", batch: { count: 5 }, soakMs: 1000 },
    maxUnavailable: { count: 2 },
    maxSurge: ONE,
  } as const;
  expect(shortestMs(planOf(rolling, 10), 100)).toBe(2 * (2 * 100 + 1000));
  expect(shortestMs(planOf({ strategy: { kind: "blue-green", soakMs: 10, keepOldMs: 5 } }, 10), 100)).toBe(115);
});

test("every plan that is not refused is carried out to its end when all goes well", () => {
  const amount = fc.oneof(fc.record({ count: fc.nat(12) }), fc.record({ percent: fc.integer({ min: 0, max: 100 }) }));
  const soakMs = 0;
  const strategy = fc.oneof(
    amount.map((batch) => ({ kind: "rolling" as const, batch, soakMs })),
    fc
      .array(fc.record({ to: amount, weight: fc.integer({ min: 0, max: 100 }) }, { requiredKeys: ["to"] }), { minLength: 1, maxLength: 3 })
      .map((steps) => ({
        kind: "canary" as const,
        steps: steps.map((step) => ({ ...step, soakMs })),
      })),
    fc.constantFrom({ kind: "blue-green" as const, soakMs, keepOldMs: 0 }, { kind: "all-at-once" as const, soakMs }),
  );
  const policy = fc.record({ strategy, maxUnavailable: amount, minHealthy: amount, maxSurge: amount });
  fc.assert(
    fc.property(policy, fc.integer({ min: 1, max: 12 }), fc.constantFrom(undefined, ACTIVATE, REPLACE), (asked, size, method) => {
      const driven = Driven.of(asked, size, method === undefined ? {} : { method });
      if (driven === undefined) return;
      driven.run();
      expect(driven.rollout.status).toBe("completed");
      if (method === ACTIVATE) expect(driven.actions.filter((action) => action.kind === "move" && action.how !== "in-place")).toEqual([]);
    }),
    { numRuns: 500 },
  );
});
