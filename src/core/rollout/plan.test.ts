import { describe, expect, test } from "vitest";
import type { Amount } from "./amount.ts";
import { planRollout, planText, type PlanRequest, type RolloutPlan } from "./plan.ts";
import type { RolloutPolicy } from "./policy.ts";

const POLICY: RolloutPolicy = {
  strategy: { kind: "rolling", batch: { count: 2 }, soakMs: 0 },
  maxUnavailable: { count: 1 },
  minHealthy: { count: 0 },
  maxSurge: { count: 0 },
  errors: { allowed: { count: 0 }, strict: false, perWave: false },
  unreachable: { allowed: { percent: 100 }, afterMs: 60_000 },
  timeoutMs: 10_000,
  graceMs: 500,
  gates: [],
  onHalt: "roll-back",
  approvals: 0,
};

function request(policy: Partial<RolloutPolicy>, rest: Partial<PlanRequest> = {}, size = 10): PlanRequest {
  const instances = Array.from({ length: size }, (_, index) => ({ id: `i${index}`, zone: "z", running: "old", healthy: true }));
  return { rollout: "r", fleet: "f", target: "new", back: "old", policy: { ...POLICY, ...policy }, instances, ...rest };
}

function planOf(...args: Parameters<typeof request>): RolloutPlan {
  const planned = planRollout(request(...args));
  if ("problems" in planned) throw new Error(planned.problems.join("; "));
  return planned.plan;
}

function problemsOf(...args: Parameters<typeof request>): readonly string[] {
  const planned = planRollout(request(...args));
  return "problems" in planned ? planned.problems : [];
}

const ACTIVATE = { kind: "activate", why: "only the release changed" } as const;
const REPLACE = { kind: "replace", why: "the root changed" } as const;
const ONE: Amount = { count: 1 };

describe("how instances come to the image", () => {
  test("is part of the plan, and of what is approved", () => {
    const texts = [undefined, ACTIVATE, REPLACE, { ...REPLACE, why: "another reason" }].map((method) =>
      planText(planOf({}, method === undefined ? {} : { method })),
    );
    expect(new Set(texts).size).toBe(4);
    expect(planOf({}, { method: ACTIVATE }).method).toEqual(ACTIVATE);
    expect(planOf({})).not.toHaveProperty("method");
  });

  test("in place needs no machine beyond the size of the fleet", () => {
    expect(planOf({ maxSurge: ONE }, { method: ACTIVATE }).limits.maxSurge).toBe(0);
    expect(planOf({ maxSurge: ONE }, { method: REPLACE }).limits.maxSurge).toBe(1);
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
    const [problem, ...others] = problemsOf(policy, { method: ACTIVATE });
    expect(others).toEqual([]);
    for (const word of words) expect(problem).toContain(word);
    expect(problemsOf(policy, { method: REPLACE })).toEqual([]);
  });
});
