import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { COMMANDS } from "./commands.ts";
import { decide } from "./decide.ts";
import { Driven, Obliging, tryPlan, watchSteps } from "./driven.testing.ts";
import { ENDS, type CommandName, type Observation, type RolloutStatus } from "./model.ts";
import { anyEvents, anyPolicy, anyStrategy } from "./properties.testing.ts";
import { Rollout } from "./rollout.ts";
import { IN_STATE, isDrawn, STEPS } from "./states.testing.ts";

const STATUSES = Object.keys(STEPS) as RolloutStatus[];

test.each(Object.entries(IN_STATE))("%s is reached", (status, make) => expect(make().rollout.status).toBe(status));

describe("every command in every state", () => {
  const commands = Object.keys(COMMANDS.running) as CommandName[];
  const pairs = STATUSES.flatMap((status) => commands.map((command) => [status, command] as const));
  test.each(pairs)("%s answers to %s", (status, command) => {
    const driven = IN_STATE[status]();
    driven.nowMs += 1;
    const decision = driven.rollout.tick(
      [{ type: "command", command, who: "ada", reason: "because", planHash: "hash", id: driven.rollout.plan.instances.at(-1)?.id ?? "" }],
      driven.nowMs,
    );
    const answer = COMMANDS[status][command];
    expect(isDrawn(status, driven.rollout.status)).toBe(true);
    if (ENDS.has(status)) expect(decision).toEqual({ actions: [], waitingFor: "", refused: [] });
    else if (answer === true) expect(decision.refused.every(({ why }) => /waiting|nothing has failed/.test(why))).toBe(true);
    else expect(decision.refused).toEqual([{ command, who: "ada", why: answer }]);
    expect(ENDS.has(driven.rollout.status) || decision.waitingFor !== "").toBe(true);
  });
});

/** The one that is moved first. */
const FIRST = IN_STATE.running().rollout.plan.instances[0]?.id ?? "";

/** Of each kind of observation, each way in which it can matter. A kind that is missing does not compile. */
const OBSERVATIONS: Readonly<Record<Exclude<Observation["type"], "command">, readonly Observation[]>> = {
  report: [
    { type: "report", id: FIRST, sequence: 99, running: "new", healthy: true },
    { type: "report", id: FIRST, sequence: 99, running: "new", healthy: false },
    { type: "report", id: FIRST, sequence: 99, running: undefined, healthy: false },
    { type: "report", id: FIRST, sequence: -5, running: "new", healthy: true },
    { type: "report", id: "nobody", sequence: 1, running: "new", healthy: true },
  ],
  "action-failed": [`r/${FIRST}/1`, `r/${FIRST}/99`, "r//weigh-1", "r//switch-new", "r//retire-old", "r//retire-new", "other"].map(
    (key) => ({
      ...{ type: "action-failed", key, reason: "no" },
    }),
  ),
  "action-done": ["r//weigh-1", "r//switch-new", "r//retire-old", "r//retire-new", "other"].map((key) => ({ type: "action-done", key })),
  gate: (["passed", "failed", "error", "inconclusive"] as const).flatMap((verdict) =>
    ["r//gate-1", "r//gate-2", "other"].map((key) => ({ type: "gate", key, verdict, detail: "" }) as const),
  ),
  freeze: [
    { type: "freeze", reason: "holidays" },
    { type: "freeze", reason: null },
  ],
  others: [
    { type: "others", unavailable: 3 },
    { type: "others", unavailable: -1 },
    { type: "others", unavailable: 2, ids: ["i1", "nobody"] },
  ],
  unwatched: [{ type: "unwatched" }],
  joined: [
    { type: "joined", instance: { id: "late", zone: "z0", running: "old", healthy: true } },
    { type: "joined", instance: { id: "late", zone: "z0", running: "new", healthy: false } },
    { type: "joined", instance: { id: FIRST, zone: "z0", running: "old", healthy: true } },
  ],
  left: [
    { type: "left", id: FIRST },
    { type: "left", id: "nobody" },
  ],
  superseded: [{ type: "superseded", by: "next" }],
  revoked: ["new", "old", "another"].map((digest) => ({ type: "revoked", digest, reason: "leak" })),
};

describe("every observation in every state", () => {
  const pairs = STATUSES.flatMap((status) => Object.keys(OBSERVATIONS).map((type) => [status, type as keyof typeof OBSERVATIONS] as const));
  test.each(pairs)("%s takes %s: a step that is drawn, and something named is waited for", (status, type) => {
    for (const observation of OBSERVATIONS[type]) {
      const driven = IN_STATE[status]();
      const decision = driven.rollout.tick([observation], driven.nowMs + 1);
      expect(isDrawn(status, driven.rollout.status)).toBe(true);
      expect(ENDS.has(driven.rollout.status) || decision.waitingFor !== "").toBe(true);
      if (ENDS.has(status)) expect(decision).toEqual({ actions: [], waitingFor: "", refused: [] });
    }
  });

  /** Where one of them alone changes the state; nowhere else. */
  const CHANGES = {
    "awaiting-approval revoked": ["rolled-back"],
    "awaiting-approval superseded": ["abandoned"],
    "running action-failed": ["rolling-back"],
    "running revoked": ["rolling-back", "held"],
    "paused revoked": ["rolled-back"],
    "paused superseded": ["abandoned"],
    "held revoked": ["rolling-back"],
    "held superseded": ["abandoned"],
    "halted superseded": ["abandoned"],
    "rolling-back left": ["rolled-back"],
  };
  test("changes the state as this table says, and else not", () => {
    const changes = pairs.flatMap(([status, type]) => {
      const reached = OBSERVATIONS[type].map((observation) => {
        const driven = IN_STATE[status]();
        driven.rollout.tick([observation], driven.nowMs + 1);
        return driven.rollout.status;
      });
      const others = [...new Set(reached)].filter((to) => to !== status);
      return others.length === 0 ? [] : [[`${status} ${type}`, others] as const];
    });
    expect(Object.fromEntries(changes)).toEqual(CHANGES);
  });
});

describe("the drawing of the states", () => {
  const seen = new Map<RolloutStatus, Set<RolloutStatus>>(STATUSES.map((status) => [status, new Set()]));
  const watch = (rollout: Rollout): void => watchSteps(rollout, (from, to) => seen.get(from)?.add(to));
  const sorted = (steps: Iterable<readonly [string, Iterable<string>]>) =>
    Object.fromEntries([...steps].map(([from, to]) => [from, [...to].sort()]));

  test("random runs are made again from what was told", () => {
    fc.assert(
      fc.property(
        anyPolicy,
        anyStrategy,
        fc.integer({ min: 1, max: 8 }),
        fc.nat(1),
        anyEvents,
        (policy, strategy, size, approvals, events) => {
          const people = { approvals: 1, withinMs: 3000 };
          const gates = [
            { name: "g", onError: "hold", onInconclusive: "halt" },
            { name: "p", onError: "hold", onInconclusive: "hold", people },
          ] as const;
          const plan = tryPlan({ ...policy, strategy, gates, approvals, minHealthy: { count: 0 } }, size);
          if (plan === undefined) return;
          const rollout = new Rollout(plan, "hash", "starter", 0);
          watch(rollout);
          const world = new Obliging(rollout);
          for (const event of events) world.suffer(event);
          world.end();
          const again = decide(plan, { planHash: "hash", startedBy: "starter", nowMs: 0 }, world.moments);
          expect([again.rollout.status, again.rollout.reason]).toEqual([rollout.status, rollout.reason]);
        },
      ),
      { numRuns: 2000, seed: 1 },
    );
  });

  test("they take every step that is drawn, and no other", () => {
    const begun = [...Object.values(IN_STATE), ...["pause", "hold"].map((how) => () => endingOldSet(how === "hold"))];
    fc.assert(
      fc.property(fc.constantFrom(...begun), anyEvents, (make, events) => {
        const { rollout, nowMs, actions } = make();
        watch(rollout);
        const world = new Obliging(rollout, nowMs, actions.slice(-1));
        for (const event of events) world.suffer(event);
        world.end();
      }),
      { numRuns: 1000, seed: 1 },
    );
    expect(sorted(seen)).toEqual(sorted(Object.entries(STEPS)));
  });
});

/** Blue/green with all on the new set and the old one being ended, paused or held meanwhile. */
function endingOldSet(isHeld: boolean): Driven {
  const driven = new Driven({ strategy: { kind: "blue-green", soakMs: 0, keepOldMs: 0 } }, 2);
  driven.tick(driven.tick().flatMap((action) => (action.kind === "move" ? [driven.report(action.id, "new")] : [])));
  driven.tick([{ type: "action-done", key: "r//switch-new" }]);
  driven.tick([isHeld ? { type: "revoked", digest: "old", reason: "leak" } : { type: "command", command: "pause", who: "ada" }]);
  return driven;
}

test("a release whose old set is being ended cannot go back to it: it stays halted", () => {
  const driven = endingOldSet(false);
  expect(driven.actions.at(-1)).toMatchObject({ kind: "retire", set: "old" });
  expect(driven.tick([{ type: "revoked", digest: "new", reason: "leak" }])).toMatchObject([{ kind: "deny" }]);
  driven.tick([{ type: "action-done", key: "r//retire-old" }]);
  expect(driven.rollout).toMatchObject({ status: "halted", reason: "the image is revoked: leak" });
});

test("a release that is superseded while its old set is kept ends that one, and nothing else", () => {
  const driven = new Driven({ strategy: { kind: "blue-green", soakMs: 0, keepOldMs: 60_000 } }, 2);
  driven.tick(driven.tick().flatMap((action) => (action.kind === "move" ? [driven.report(action.id, "new")] : [])));
  driven.tick([{ type: "action-done", key: "r//switch-new" }]);
  expect(driven.tick([{ type: "superseded", by: "next" }])).toMatchObject([{ kind: "retire", set: "old" }]);
  expect(driven.tick([{ type: "action-done", key: "r//retire-old" }])).toEqual([]);
  expect(driven.rollout).toMatchObject({ status: "completed", reason: "superseded by next" });
});

describe("a release that was halted while its old set was ended keeps the new set, the only one that is left", () => {
  const halted = (): Driven => {
    const driven = endingOldSet(false);
    driven.tick([{ type: "revoked", digest: "new", reason: "leak" }]);
    driven.tick([{ type: "action-done", key: "r//retire-old" }]);
    return driven;
  };

  test("when somebody wants to go back", () => {
    const driven = halted();
    const decision = driven.rollout.tick([{ type: "command", command: "roll-back", who: "ada" }], driven.nowMs);
    expect(decision).toMatchObject({ actions: [], refused: [{ why: "the old set is being ended already" }] });
    expect(driven.rollout.status).toBe("halted");
  });

  test("when another rollout supersedes it", () => {
    const driven = halted();
    expect(driven.tick([{ type: "superseded", by: "next" }])).toEqual([]);
    expect(driven.rollout.status).toBe("abandoned");
  });
});
