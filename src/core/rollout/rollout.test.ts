import { describe, expect, test } from "vitest";
import type { Verdict } from "../checks/verdict.ts";
import { Driven } from "./driven.testing.ts";
import type { Action, Observation, RolloutStatus } from "./model.ts";

describe("limits of errors", () => {
  test.each([
    ["SSM: 3 allowed stops at the 4th", { count: 3 }, 50, 4],
    ["SSM: 10 % of 50 stops at the 6th", { percent: 10 }, 50, 6],
    ["none allowed stops at the first", { count: 0 }, 50, 1],
  ])("%s", (_what, allowed, size, stopsAt) => {
    const strategy = { kind: "rolling", batch: { percent: 100 }, soakMs: 0 } as const;
    const driven = new Driven({ strategy, errors: { allowed, strict: false, perWave: false }, onHalt: "hold" }, size);
    driven.run(() => true);
    expect(driven.rollout.status).toBe("halted");
    expect(driven.rollout.roster.sums.failed).toBe(stopsAt);
    expect(driven.actions.filter(({ kind }) => kind === "deny")).toHaveLength(1);
  });

  test.each([
    [2, "running"],
    [3, "halted"],
  ])("hawkBit: 10 %% of a group of 20, %i failures: %s", (failures, status) => {
    const strategy = { kind: "rolling", batch: { count: 20 }, soakMs: 1000 } as const;
    const driven = new Driven(
      { strategy, maxUnavailable: { count: 40 }, errors: { allowed: { percent: 10 }, strict: false, perWave: true }, onHalt: "hold" },
      40,
    );
    const moves = driven.tick().slice(0, failures);
    driven.tick(moves.map(({ key }) => ({ type: "action-failed", key, reason: "no" })));
    expect(driven.rollout.status).toBe(status);
  });

  test("of a wave are counted anew in each wave", () => {
    const strategy = { kind: "rolling", batch: { count: 10 }, soakMs: 0 } as const;
    const driven = new Driven({ strategy, errors: { allowed: { count: 1 }, strict: false, perWave: true }, onHalt: "hold" }, 30);
    const bad = new Set([0, 10, 20, 21].map((index) => driven.rollout.plan.instances[index]?.id));
    driven.run((id) => bad.has(id));
    expect(driven.rollout).toMatchObject({ status: "halted", reason: expect.stringContaining("2 failed in wave 3, 1 may") as string });
  });

  test.each(["retried", "gone"])("of a wave are no more because some that failed before are %s", (what) => {
    const policy = {
      strategy: { kind: "rolling", batch: { count: 3 }, soakMs: 100 },
      maxUnavailable: { count: 6 },
      onHalt: "hold",
    } as const;
    const driven = new Driven({ ...policy, errors: { allowed: { count: 1 }, strict: false, perWave: true } }, 9);
    const failed = ({ key }: Action): Observation => ({ type: "action-failed", key, reason: "no" });
    const [bad, ...good] = driven.tick() as readonly (Action & { kind: "move" })[];
    driven.tick([bad].flatMap((move) => (move === undefined ? [] : [failed(move)])));
    driven.tick(good.map(({ id }) => driven.report(id, "new")));
    const second = driven.tick([], 200);
    driven.tick([what === "retried" ? { type: "command", command: "retry-failed", who: "ada" } : { type: "left", id: bad?.id ?? "" }]);
    driven.tick(second.slice(0, 2).map(failed));
    expect(driven.rollout).toMatchObject({ status: "halted", reason: expect.stringContaining("2 failed in wave 2, 1 may") as string });
  });

  test("strict counts what is under way: all at once is then never more than one beyond the limit", () => {
    const driven = new Driven(
      { strategy: { kind: "all-at-once", soakMs: 0 }, errors: { allowed: { count: 3 }, strict: true, perWave: false }, onHalt: "hold" },
      50,
    );
    expect(driven.tick()).toHaveLength(4);
  });

  test("without a limit of unreachable ones, silent instances hold the rollout, and it goes on when they answer", () => {
    const driven = new Driven({ unreachable: { allowed: { count: 0 }, afterMs: 5000 }, timeoutMs: 1000 }, 2);
    const [move] = driven.tick() as [Action & { kind: "move" }];
    driven.tick([], 1500); // nothing was heard of it: that is no failure of the image
    expect(driven.rollout).toMatchObject({ status: "held", reason: expect.stringContaining("do not answer: 1, 0 may") as string });
    driven.tick([driven.report(move.id, "new")]);
    expect(driven.rollout.status).toBe("running");
  });
});

test.each([0, 1, 2])("an instance that leaves and comes back is moved, as one of the fleet: the one of wave %i", (wave) => {
  const strategy = { kind: "rolling", batch: { count: 1 }, soakMs: 1000 } as const;
  const driven = new Driven({ strategy, maxUnavailable: { count: 3 } }, 3);
  const id = driven.rollout.plan.instances[wave]?.id ?? "";
  const [first] = driven.tick() as readonly (Action & { kind: "move" })[];
  driven.tick([driven.report(first?.id ?? "", "new")]);
  expect(driven.tick([{ type: "left", id }], 1000)).toHaveLength(wave === 1 ? 0 : 1); // the second wave is open
  driven.tick([{ type: "joined", instance: { id, zone: "z0", running: "old", healthy: true } }]);
  expect(driven.rollout.roster.sums.size).toBe(3);
  const open = new Map(driven.actions.flatMap((action) => (action.kind === "move" ? [[action.id, action] as const] : [])));
  driven.tick([...open.values()].map((move) => driven.report(move.id, "new")));
  driven.run();
  expect(driven.rollout.status).toBe("completed");
  expect([...driven.rollout.roster].map(({ phase }) => phase)).toEqual(["moved", "moved", "moved"]);
});

describe("a gate that is asked again", () => {
  /** Answers until the rollout stands otherwise than running; how many answers that took. */
  function answered(
    allowed: { failed: number; error: number; inconclusive: number },
    verdicts: readonly Verdict[],
  ): [number, RolloutStatus] {
    const gates = [{ name: "g", onError: "halt", onInconclusive: "hold", again: { everyMs: 1000, allowed } }] as const;
    const driven = new Driven({ gates, onHalt: "hold" }, 1);
    driven.tick();
    driven.tick([driven.report("i0", "new")]);
    for (let count = 0; count < 50; count += 1) {
      const [ask] = driven.tick([], 1000);
      if (ask === undefined) throw new Error("nothing was asked");
      expect(driven.tick([], 10)).toEqual([]); // one question at a time
      const verdict = verdicts[count % verdicts.length] ?? "error";
      driven.tick([{ type: "gate", key: ask.key, verdict, detail: "" }]);
      if (driven.rollout.status !== "running") return [count + 1, driven.rollout.status];
      expect(driven.tick([], 500)).toEqual([]); // not before its time
    }
    return [50, driven.rollout.status];
  }

  test.each([
    ["Argo Rollouts: failureLimit 3 aborts at the 4th", { failed: 3, error: 4, inconclusive: 0 }, ["failed"], 4, "halted"],
    ["Argo Rollouts: consecutiveErrorLimit 4 aborts at the 5th in a row", { failed: 9, error: 4, inconclusive: 0 }, ["error"], 5, "halted"],
    ["failures count, although errors come between", { failed: 2, error: 1, inconclusive: 0 }, ["failed", "error"], 5, "halted"],
    ["errors are counted in a row", { failed: 100, error: 1, inconclusive: 0 }, ["error", "failed"], 50, "running"],
    ["inconclusive holds", { failed: 0, error: 0, inconclusive: 1 }, ["inconclusive"], 2, "held"],
    ["Flagger: threshold 5, goes back at the 5th failed check", { failed: 4, error: 4, inconclusive: 4 }, ["failed"], 5, "halted"],
    ["once is enough", { failed: 0, error: 0, inconclusive: 0 }, ["passed"], 1, "completed"],
  ] as const)("%s", (_what, allowed, verdicts, answers, status) => expect(answered(allowed, verdicts)).toEqual([answers, status]));
});

describe("blue/green", () => {
  test("does not switch to a set that is too small, and does when the missing ones are there", () => {
    const driven = new Driven(
      { strategy: { kind: "blue-green", soakMs: 0, keepOldMs: 0 }, errors: { allowed: { count: 3 }, strict: false, perWave: false } },
      6,
    );
    const [first, second, ...others] = driven.tick() as readonly (Action & { kind: "move" })[];
    const failed = [first, second].map((move): Observation => ({ type: "action-failed", key: move?.key ?? "", reason: "no" }));
    expect(driven.tick([...failed, ...others.map(({ id }) => driven.report(id, "new"))])).toEqual([]);
    expect(driven.rollout).toMatchObject({ status: "held", reason: expect.stringContaining("4 of 6 are healthy, 5 must be") as string });
    const again = driven.tick([{ type: "command", command: "retry-failed", who: "ada" }]) as readonly (Action & { kind: "move" })[];
    expect(driven.tick(again.map(({ id }) => driven.report(id, "new")))).toMatchObject([{ kind: "switch", to: "new" }]);
  });
});

describe("the way back of blue/green", () => {
  const returning = (): Driven => {
    const driven = new Driven({ strategy: { kind: "blue-green", soakMs: 0, keepOldMs: 60_000 } }, 2);
    driven.tick(driven.tick().flatMap((action) => (action.kind === "move" ? [driven.report(action.id, "new")] : [])));
    driven.tick([{ type: "action-done", key: "r//switch-new" }]);
    const decision = driven.tick([{ type: "command", command: "roll-back", who: "ada" }]);
    expect(decision).toMatchObject([{ kind: "switch", to: "old" }]); // and the new set serves until that is done
    return driven;
  };

  test("ends the new set when traffic is at the old one", () => {
    const driven = returning();
    expect(driven.tick([{ type: "action-done", key: "r//switch-old" }])).toMatchObject([{ kind: "retire", set: "new" }]);
    driven.tick([{ type: "action-done", key: "r//retire-new" }]);
    expect(driven.rollout.status).toBe("rolled-back");
  });

  test("leaves the new set where it is when traffic cannot be switched", () => {
    const driven = returning();
    expect(driven.tick([{ type: "action-failed", key: "r//switch-old", reason: "no answer" }])).toEqual([]);
    expect(driven.rollout).toMatchObject({
      status: "rollback-failed",
      reason: "rolled back by ada; the traffic cannot be switched back: no answer",
    });
  });
});

describe("an instance that falls silent while it is moved", () => {
  test.each([
    ["is unreachable when nothing was heard of it for that long", 4000, { status: "held", failed: 0, unreachable: 1 }],
    ["has failed when it answered all the time", 9500, { status: "halted", failed: 1, unreachable: 0 }],
  ])("%s", (_what, lastHeardMs, expected) => {
    const driven = new Driven({ unreachable: { allowed: { count: 0 }, afterMs: 3000 }, onHalt: "hold" }, 1);
    const [move] = driven.tick([], 0) as [Action & { kind: "move" }];
    driven.tick([driven.report(move.id, undefined, false)], lastHeardMs);
    driven.tick([], 10_001 - lastHeardMs);
    const { status, roster } = driven.rollout;
    expect({ status, failed: roster.sums.failed, unreachable: roster.sums.unreachable }).toEqual(expected);
  });
});

test.each([
  ["stays ill", 1000, "halted"],
  ["is well within its grace", 100, "completed"],
])("a moved instance that was silent and comes back ill is no longer unreachable: one that %s", (_what, illMs, status) => {
  const strategy = { kind: "rolling", batch: { count: 1 }, soakMs: 100 } as const;
  const driven = new Driven({ strategy, unreachable: { allowed: { count: 1 }, afterMs: 5000 }, graceMs: 500, onHalt: "hold" }, 1);
  const [move] = driven.tick() as [Action & { kind: "move" }];
  driven.tick([driven.report(move.id, "new"), { type: "command", command: "pause", who: "ada" }]);
  driven.tick([], 6000);
  expect(driven.rollout.roster.sums.unreachable).toBe(1);
  driven.tick([driven.report(move.id, "new", false), { type: "command", command: "resume", who: "ada" }]);
  expect(driven.rollout.roster.sums).toMatchObject({ unreachable: 0, sick: 1 });
  driven.tick([], illMs);
  driven.tick([driven.report(move.id, "new")]);
  driven.tick([], 200);
  expect(driven.rollout.status).toBe(status);
});

describe("a soak", () => {
  test("begins again when something becomes unhealthy, and counts healthy time only", () => {
    const driven = new Driven({ strategy: { kind: "rolling", batch: { count: 1 }, soakMs: 1000 }, graceMs: 10_000 }, 2);
    const [first] = driven.tick() as [Action & { kind: "move" }];
    driven.tick([driven.report(first.id, "new")]);
    driven.tick([driven.report(first.id, "new", false)], 900);
    driven.tick([driven.report(first.id, "new", true)], 500);
    expect(driven.tick([], 900)).toEqual([]);
    expect(driven.tick([], 200)).toMatchObject([{ kind: "move" }]);
  });
});

describe("a freeze", () => {
  const SOAKS = { strategy: { kind: "rolling", batch: { count: 1 }, soakMs: 1000 } } as const;
  const FREEZE: Observation = { type: "freeze", reason: "night" };

  test("lets what is under way end, and begins nothing; a soak goes on meanwhile", () => {
    const driven = new Driven(SOAKS, 2);
    const [first] = driven.tick() as [Action & { kind: "move" }];
    driven.tick([FREEZE, driven.report(first.id, "new")]);
    expect(driven.tick([], 5000)).toEqual([]);
    expect(driven.rollout.tick([], driven.nowMs).waitingFor).toBe("the end of a freeze: night");
    expect(driven.tick([{ type: "freeze", reason: null }], 100)).toMatchObject([{ kind: "move" }]);
  });

  test("does not keep a rollout from its end when all is moved and well", () => {
    const driven = new Driven(SOAKS, 1);
    const [move] = driven.tick() as [Action & { kind: "move" }];
    driven.tick([FREEZE, driven.report(move.id, "new")]);
    driven.tick([], 1000);
    expect(driven.rollout.status).toBe("completed");
  });

  test("does not keep a fleet from going back", () => {
    const driven = new Driven(SOAKS, 2);
    const [move] = driven.tick() as [Action & { kind: "move" }];
    driven.tick([FREEZE, driven.report(move.id, "new")]);
    expect(driven.tick([{ type: "revoked", digest: "new", reason: "leak" }])).toMatchObject([
      { kind: "deny" },
      { kind: "move", to: "old" },
    ]);
  });
});

describe("going back", () => {
  const movesOf = (actions: readonly Action[]): readonly (Action & { kind: "move" })[] =>
    actions.filter((action): action is Action & { kind: "move" } => action.kind === "move");

  test("is not hurried by time in which nobody looked: the soak begins again", () => {
    const driven = new Driven({ strategy: { kind: "rolling", batch: { count: 1 }, soakMs: 10_000 } });
    const [move] = movesOf(driven.tick());
    driven.tick([driven.report(move?.id ?? "", "new")]);
    expect(driven.tick([{ type: "unwatched" }], 20_000)).toEqual([]);
    expect(driven.tick([], 9_000)).toEqual([]);
    expect(movesOf(driven.tick([], 1_500))).toHaveLength(1);
  });

  test("does nothing to an instance that left meanwhile", () => {
    const driven = new Driven({ maxUnavailable: { count: 3 }, strategy: { kind: "rolling", batch: { count: 3 }, soakMs: 1000 } });
    const moves = movesOf(driven.tick());
    driven.tick(moves.map(({ id }) => driven.report(id, "new")));
    const gone = moves.map(({ id }): Observation => ({ type: "left", id }));
    const decision = driven.tick([{ type: "command", command: "roll-back", who: "ada" }, ...gone]);
    expect(movesOf(decision)).toEqual([]);
    expect(driven.rollout.status).toBe("rolled-back");
  });

  test("is what a moved instance is brought that crashes again and again, each time for less than its grace", () => {
    const driven = new Driven({ graceMs: 10_000 });
    const [move] = movesOf(driven.tick());
    driven.tick([driven.report(move?.id ?? "", "new")]);
    let times = 0;
    for (; driven.rollout.status === "running" && times < 100; times += 1) {
      driven.tick([driven.report(move?.id ?? "", "new", false)], 500);
      if (driven.rollout.status === "running") driven.tick([driven.report(move?.id ?? "", "new")], 400);
    }
    expect(times).toBe(11);
    expect(driven.rollout).toMatchObject({
      status: "rolling-back",
      reason: expect.stringContaining("became unhealthy 11 times after it was moved") as string,
    });
  });

  test("takes everything at once where it went so: that asks for no budget", () => {
    const strategy = { kind: "all-at-once", soakMs: 1000 } as const;
    const driven = new Driven({ strategy, maxUnavailable: { count: 0 }, minHealthy: { percent: 100 } }, 4);
    driven.tick(movesOf(driven.tick()).map(({ id }) => driven.report(id, "new")));
    const back = movesOf(driven.tick([{ type: "command", command: "roll-back", who: "ada" }]));
    expect(back).toHaveLength(4);
    driven.tick(back.map(({ id }) => driven.report(id, "old")));
    expect(driven.rollout.status).toBe("rolled-back");
  });

  test("says what it waits for when others have used up the budget", () => {
    const rolling = new Driven({ strategy: { kind: "rolling", batch: { count: 3 }, soakMs: 1000 } }, 3);
    for (let moves = movesOf(rolling.tick()); moves.length > 0;)
      moves = movesOf(rolling.tick(moves.map(({ id }) => rolling.report(id, "new"))));
    rolling.tick([
      { type: "others", unavailable: 1 },
      { type: "command", command: "roll-back", who: "ada" },
    ]);
    expect(rolling.rollout.tick([], rolling.nowMs).waitingFor).toBe(
      "3 instances to be back, and for them room in the disruption budget: 1 are down, 1 may",
    );
  });

  const REVOKED: Observation = { type: "revoked", digest: "old", reason: "leak" };

  test("is not possible to an image that is revoked meanwhile: it is held, and a person may go on without a way back", () => {
    const driven = new Driven();
    const [move] = driven.tick();
    driven.tick([REVOKED]);
    expect(driven.rollout).toMatchObject({ status: "held", reason: "the image to go back to is revoked: leak" });
    const { refused } = driven.rollout.tick([{ type: "command", command: "roll-back", who: "ada" }], driven.nowMs);
    expect(refused).toMatchObject([{ why: "the image to go back to is revoked: leak" }]);
    driven.tick([{ type: "command", command: "resume", who: "ada" }]);
    driven.tick([{ type: "action-failed", key: move?.key ?? "", reason: "no" }]);
    expect(driven.rollout.status).toBe("halted"); // although onHalt says roll-back
    expect(movesOf(driven.actions).every(({ to }) => to === "new")).toBe(true);
  });

  test("ends when its image is revoked half way: what is under way ends, nothing more is brought to it", () => {
    const driven = new Driven({ maxUnavailable: { count: 3 }, strategy: { kind: "rolling", batch: { count: 3 }, soakMs: 1000 } });
    driven.tick(movesOf(driven.tick()).map(({ id }) => driven.report(id, "new")));
    driven.rollout.limits = { ...driven.rollout.limits, maxUnavailable: 1 };
    const [returning, ...others] = movesOf(driven.tick([{ type: "command", command: "roll-back", who: "ada" }]));
    expect(others).toEqual([]);
    expect(driven.tick([REVOKED])).toEqual([]);
    expect(driven.rollout.status).toBe("rolling-back");
    driven.tick([driven.report(returning?.id ?? "", "old")]);
    expect(driven.rollout).toMatchObject({ status: "rollback-failed", reason: expect.stringContaining("revoked: leak") as string });
    expect(driven.rollout.roster.sums.stuck).toBe(2);
  });

  test("moves back also what failed before it said what it runs: nobody knows what that left", () => {
    const driven = new Driven({}, 2);
    const [move] = movesOf(driven.tick());
    const back = driven.tick([{ type: "action-failed", key: move?.key ?? "", reason: "the line was cut" }]);
    expect(movesOf(back)).toMatchObject([{ id: move?.id, to: "old" }]);
    expect(driven.rollout.status).toBe("rolling-back");
  });

  test("leaves alone what fell silent before it was touched", () => {
    const driven = new Driven({ unreachable: { allowed: { percent: 100 }, afterMs: 5000 } }, 4);
    const [first] = movesOf(driven.tick());
    driven.tick([driven.report(first?.id ?? "", "new")]);
    driven.tick([driven.report(first?.id ?? "", "new")], 4900);
    driven.tick([{ type: "freeze", reason: "x" }], 1000);
    expect(driven.rollout.roster.sums.unreachable).toBeGreaterThan(1);
    const touched = new Set([...driven.rollout.roster].filter(({ attempt }) => attempt > 0).map(({ id }) => id));
    driven.tick([{ type: "command", command: "roll-back", who: "ada" }]);
    for (let rounds = 0; rounds < 10; rounds += 1) driven.tick(movesOf(driven.actions).map(({ id, to }) => driven.report(id, to)));
    expect(movesOf(driven.actions).filter(({ to, id }) => to === "old" && !touched.has(id))).toEqual([]);
  });
});
