import { describe, expect, test } from "vitest";
import { Driven } from "./driven.testing.ts";
import type { Command, Decision } from "./model.ts";
import type { People, RolloutPolicy } from "./policy.ts";

const STEPS = [
  { to: { count: 1 }, soakMs: 1000 },
  { to: { count: 2 }, soakMs: 1000 },
];
const asking = (people: Partial<People> = {}): Partial<RolloutPolicy> => ({
  strategy: { kind: "canary", steps: STEPS },
  gates: [{ name: "go-ahead", onError: "hold", onInconclusive: "hold", people: { approvals: 1, ...people } }],
});

function decided(driven: Driven, approval: Partial<Command> = {}): Decision {
  driven.nowMs += 1;
  return driven.rollout.tick([{ type: "command", command: "approve", who: "ada", planHash: "hash", ...approval }], driven.nowMs);
}

/** Moves what is asked, and lets the soak of the open wave end. */
function soaked(driven: Driven): Driven {
  const moves = driven.tick();
  driven.tick(moves.flatMap((move) => (move.kind === "move" ? [driven.report(move.id, "new")] : [])));
  driven.tick([], 1000);
  return driven;
}

describe("a gate that waits for people", () => {
  test("lets the next wave begin when somebody has approved", () => {
    const driven = soaked(new Driven(asking(), 3));
    expect(driven.rollout.tick([], driven.nowMs).waitingFor).toBe("approvals of wave 1: 0 of 1");
    expect(driven.tick([], 30_000)).toEqual([]);
    expect(driven.rollout.asksFor).toEqual({ wave: 1, gate: "go-ahead", by: [], needed: 1 });
    expect(decided(driven).actions).toMatchObject([{ kind: "move" }]);
    expect(driven.rollout).toMatchObject({ wave: 1, asksFor: undefined });
  });

  test("asks after each wave but the last, and each wave for itself", () => {
    const driven = soaked(new Driven(asking(), 3));
    const [move] = decided(driven).actions;
    driven.tick(move?.kind === "move" ? [driven.report(move.id, "new")] : []);
    driven.tick([], 1000);
    expect(driven.rollout.asksFor).toEqual({ wave: 2, gate: "go-ahead", by: [], needed: 1 });
    const [last] = decided(driven).actions;
    driven.tick(last?.kind === "move" ? [driven.report(last.id, "new")] : []);
    driven.tick([], 1000);
    expect(driven.rollout.status).toBe("completed");
  });

  test("asks only after the waves that it names", () => {
    const driven = soaked(new Driven(asking({ waves: [2] }), 3));
    expect(driven.rollout).toMatchObject({ wave: 1, asksFor: undefined });
  });

  test("asks after the last wave where a small fleet has fewer than it names", () => {
    const driven = soaked(new Driven(asking({ waves: [2, 3] }), 1));
    expect(driven.rollout.asksFor).toMatchObject({ wave: 1 });
    decided(driven);
    expect(driven.rollout.status).toBe("completed");
  });

  test("asks before blue/green switches, which has one wave", () => {
    const driven = soaked(new Driven({ ...asking(), strategy: { kind: "blue-green", soakMs: 1000, keepOldMs: 0 } }, 2));
    expect(driven.rollout.asksFor).toMatchObject({ wave: 1 });
    expect(decided(driven).actions).toMatchObject([{ kind: "switch", to: "new" }]);
  });

  test.each([
    ["whoever started it", { who: "starter" }, "starter started it"],
    ["another plan", { planHash: "other" }, "the plan is hash, not other"],
    ["a wave that does not wait", { wave: 2 }, "wave 1 is waiting for approvals, not wave 2"],
  ])("refuses %s", (_, approval, why) => {
    const driven = soaked(new Driven(asking(), 3));
    const { refused, actions } = decided(driven, approval);
    expect(refused).toHaveLength(1);
    expect(refused[0]?.why).toContain(why);
    expect(actions).toEqual([]);
  });

  test("takes no approval ahead of what is to be approved", () => {
    const driven = new Driven(asking(), 3);
    expect(decided(driven).refused[0]?.why).toContain("no wave is waiting");
    driven.tick([driven.report(driven.rollout.plan.instances[0]?.id ?? "", "new")]);
    driven.tick([], 1000);
    expect(driven.rollout.asksFor).toMatchObject({ by: [] });
  });

  test("counts each person once", () => {
    const driven = soaked(new Driven(asking({ approvals: 2 }), 3));
    decided(driven);
    expect(decided(driven).actions).toEqual([]);
    expect(decided(driven, { who: "grace" }).actions).toMatchObject([{ kind: "move" }]);
  });

  test("is inconclusive when nobody came in time, and waits as long once more when it is resumed", () => {
    const driven = soaked(new Driven(asking({ withinMs: 5000 }), 3));
    const { wakeAtMs = 0 } = driven.rollout.tick([], driven.nowMs);
    driven.tick([], wakeAtMs - driven.nowMs);
    expect(driven.rollout).toMatchObject({
      status: "held",
      reason: "gate go-ahead: inconclusive: 0 of 1 approved in time",
    });
    driven.tick([{ type: "command", command: "resume", who: "ada" }]);
    driven.tick([], 4000);
    expect(driven.rollout.status).toBe("running");
    expect(decided(driven).actions).toMatchObject([{ kind: "move" }]);
  });

  test("does not count what comes when the time is over, also if nobody looked in between", () => {
    const driven = soaked(new Driven(asking({ withinMs: 5000 }), 3));
    driven.nowMs += 5000;
    expect(decided(driven).actions).toEqual([]);
    expect(driven.rollout.status).toBe("held");
    // it is there for whoever resumes it
    expect(driven.tick([{ type: "command", command: "resume", who: "ada" }])).toMatchObject([{ kind: "move" }]);
  });

  test("waits for nobody any more when it has all approvals and the soak begins again", () => {
    const driven = soaked(new Driven(asking(), 3));
    driven.tick([{ type: "unwatched" }, { type: "command", command: "approve", who: "ada", planHash: "hash" }], 1);
    expect(driven.rollout.asksFor).toBeUndefined();
    expect(driven.rollout.tick([], driven.nowMs).waitingFor).toBe("the soak of wave 1");
    expect(driven.tick([], 1000)).toMatchObject([{ kind: "move" }]);
  });

  test("counts approvals while the rollout is paused, and goes on when it is resumed", () => {
    const driven = soaked(new Driven(asking(), 3));
    driven.tick([{ type: "command", command: "pause", who: "ada" }]);
    expect(decided(driven)).toMatchObject({ refused: [], actions: [] });
    expect(driven.tick([{ type: "command", command: "resume", who: "ada" }])).toMatchObject([{ kind: "move" }]);
  });
});
