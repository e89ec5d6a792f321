import { describe, expect, test } from "vitest";
import type { Amount } from "./amount.ts";
import { planOf, problemsOf } from "./driven.testing.ts";
import { planText, type RolloutPlan } from "./plan.ts";
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
