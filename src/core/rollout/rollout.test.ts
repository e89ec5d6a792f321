import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Verdict } from "../checks/verdict.ts";
import { COMMANDS } from "./commands.ts";
import { decide } from "./decide.ts";
import { ENDS, type Action, type CommandName, type Observation, type RolloutStatus } from "./model.ts";
import { planRollout, type RolloutPlan } from "./plan.ts";
import type { RolloutPolicy } from "./policy.ts";
import { Rollout } from "./rollout.ts";

const POLICY: RolloutPolicy = {
  strategy: { kind: "rolling", batch: { count: 2 }, soakMs: 1000 },
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

function planOf(policy: Partial<RolloutPolicy>, size = 6): RolloutPlan {
  const instances = Array.from({ length: size }, (_, index) => ({ id: `i${index}`, zone: `z${index % 2}`, running: "old", healthy: true }));
  const planned = planRollout({ rollout: "r", fleet: "f", target: "new", back: "old", policy: { ...POLICY, ...policy }, instances });
  if ("problems" in planned) throw new Error(planned.problems.join("; "));
  return planned.plan;
}

/** A rollout whose moves are done at once, unless `refuse` says how they fail. */
class Driven {
  readonly rollout: Rollout;
  readonly actions: Action[] = [];
  nowMs = 0;
  private sequence = 0;

  constructor(policy: Partial<RolloutPolicy> = {}, size = 6) {
    this.rollout = new Rollout(planOf(policy, size), "hash", "starter", 0);
  }

  tick(observations: readonly Observation[] = [], afterMs = 100): readonly Action[] {
    this.nowMs += afterMs;
    const { actions } = this.rollout.tick(observations, this.nowMs);
    this.actions.push(...actions);
    return actions;
  }

  report(id: string, running: string | undefined, healthy = true): Observation {
    this.sequence += 1;
    return { type: "report", id, sequence: this.sequence, running, healthy };
  }

  /** Ticks until nothing is to be done any more. */
  run(fails: (id: string) => boolean = () => false): void {
    let todo: readonly Action[] = this.tick();
    for (let rounds = 0; rounds < 1000 && !ENDS.has(this.rollout.status); rounds += 1) {
      const told = todo.flatMap((action): readonly Observation[] => {
        if (action.kind === "move" && action.to === "new" && fails(action.id))
          return [{ type: "action-failed", key: action.key, reason: "no" }];
        if (action.kind === "move") return [this.report(action.id, action.to)];
        if (action.kind === "ask-gate") return [{ type: "gate", key: action.key, verdict: "passed", detail: "" }];
        return action.kind === "deny" ? [] : [{ type: "action-done", key: action.key }];
      });
      todo = this.tick(told);
    }
  }
}

/** From each state, those that it may lead to within one tick: as drawn in docs/guide/rollouts.md. */
const STOPPED = ["halted", "rolling-back", "rolled-back", "rollback-failed"] as const;
const LEADS_TO: Readonly<Record<RolloutStatus, readonly RolloutStatus[]>> = {
  "awaiting-approval": ["running", "held", "completed", "abandoned", ...STOPPED],
  running: ["paused", "held", "completed", "abandoned", ...STOPPED],
  paused: ["running", "held", "completed", "abandoned", ...STOPPED],
  held: ["running", "paused", "completed", "abandoned", ...STOPPED],
  halted: ["rolling-back", "rolled-back", "rollback-failed", "abandoned"],
  "rolling-back": ["rolled-back", "rollback-failed"],
  completed: [],
  "rolled-back": [],
  "rollback-failed": [],
  abandoned: [],
};

const isDrawn = (from: RolloutStatus, to: RolloutStatus): boolean => from === to || LEADS_TO[from].includes(to);

/** A rollout in each state, and how it got there. */
const IN_STATE: Readonly<Record<RolloutStatus, () => Driven>> = {
  "awaiting-approval": () => new Driven({ approvals: 1 }),
  running: () => new Driven(),
  paused: () => told(new Driven(), "pause"),
  held: () => {
    const driven = new Driven({ gates: [{ name: "g", onError: "hold", onInconclusive: "hold" }] }, 1);
    driven.tick();
    driven.tick([driven.report("i0", "new")]);
    const [ask] = driven.tick([], 2000);
    driven.tick([{ type: "gate", key: ask?.key ?? "", verdict: "error", detail: "no answer" }]);
    return driven;
  },
  halted: () => {
    const driven = new Driven({ onHalt: "hold" });
    driven.run((id) => id === driven.rollout.plan.instances[0]?.id);
    return driven;
  },
  "rolling-back": () => {
    const driven = new Driven();
    driven.tick();
    return told(driven, "roll-back");
  },
  completed: () => ran(new Driven()),
  "rolled-back": () => ran(new Driven(), () => true),
  "rollback-failed": () => {
    const driven = new Driven({}, 1);
    const [move] = driven.tick();
    const [back] = driven
      .tick([{ type: "action-failed", key: move?.key ?? "", reason: "no" }, driven.report("i0", undefined, false)])
      .filter(({ kind }) => kind === "move");
    driven.tick([{ type: "action-failed", key: back?.key ?? "", reason: "no" }]);
    return driven;
  },
  abandoned: () => told(new Driven(), "abort"),
};

function told(driven: Driven, command: CommandName): Driven {
  driven.tick([{ type: "command", command, who: "ada", reason: "because" }]);
  return driven;
}
function ran(driven: Driven, fails?: (id: string) => boolean): Driven {
  driven.run(fails);
  return driven;
}

describe("every state", () => {
  test.each(Object.entries(IN_STATE))("%s is reached", (status, make) => expect(make().rollout.status).toBe(status));

  const commands = Object.keys(COMMANDS.running) as CommandName[];
  const pairs = Object.keys(COMMANDS).flatMap((status) => commands.map((command) => [status as RolloutStatus, command] as const));
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
    else if (answer === true) expect(decision.refused.every(({ why }) => why.includes("waiting"))).toBe(true);
    else expect(decision.refused).toEqual([{ command, who: "ada", why: answer }]);
    expect(ENDS.has(driven.rollout.status) || decision.waitingFor !== "").toBe(true);
  });

  const observations: readonly Observation[] = [
    { type: "report", id: "i0", sequence: 99, running: "new", healthy: false },
    { type: "report", id: "nobody", sequence: 1, running: "new", healthy: true },
    { type: "action-failed", key: "r/i0/1", reason: "no" },
    { type: "action-failed", key: "other", reason: "no" },
    { type: "action-done", key: "r//switch-new" },
    { type: "gate", key: "r//gate-1", verdict: "failed", detail: "no" },
    { type: "freeze", reason: "holidays" },
    { type: "freeze", reason: null },
    { type: "others", unavailable: 3 },
    { type: "joined", instance: { id: "late", zone: "z0", running: "old", healthy: true } },
    { type: "left", id: "i0" },
    { type: "left", id: "nobody" },
    { type: "revoked", digest: "new", reason: "leak" },
    { type: "revoked", digest: "another", reason: "leak" },
  ];
  test.each(Object.entries(IN_STATE))(
    "%s takes everything that can be told, and waits for something named or is at its end",
    (status, make) => {
      for (const observation of observations) {
        const driven = make();
        const decision = driven.rollout.tick([observation], driven.nowMs + 1);
        expect(isDrawn(status as RolloutStatus, driven.rollout.status)).toBe(true);
        expect(ENDS.has(driven.rollout.status) || decision.waitingFor !== "").toBe(true);
      }
    },
  );
});

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

describe("going back", () => {
  const movesOf = (actions: readonly Action[]): readonly (Action & { kind: "move" })[] =>
    actions.filter((action): action is Action & { kind: "move" } => action.kind === "move");

  test("does nothing to an instance that left meanwhile", () => {
    const driven = new Driven({ maxUnavailable: { count: 3 }, strategy: { kind: "rolling", batch: { count: 3 }, soakMs: 1000 } });
    const moves = movesOf(driven.tick());
    driven.tick(moves.map(({ id }) => driven.report(id, "new")));
    const gone = moves.map(({ id }): Observation => ({ type: "left", id }));
    const decision = driven.tick([{ type: "command", command: "roll-back", who: "ada" }, ...gone]);
    expect(movesOf(decision)).toEqual([]);
    expect(driven.rollout.status).toBe("rolled-back");
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

describe("whatever happens, in whatever order", () => {
  const policies = fc.record({
    strategy: fc.oneof(
      fc.record({
        kind: fc.constant("rolling" as const),
        batch: fc.record({ count: fc.integer({ min: 1, max: 5 }) }),
        soakMs: fc.constantFrom(0, 500),
      }),
      fc.record({
        kind: fc.constant("canary" as const),
        steps: fc.array(fc.record({ to: fc.record({ percent: fc.integer({ min: 0, max: 100 }) }), soakMs: fc.constant(100) }), {
          minLength: 1,
          maxLength: 3,
        }),
      }),
    ),
    maxUnavailable: fc.record({ count: fc.integer({ min: 1, max: 4 }) }),
    maxSurge: fc.record({ count: fc.integer({ min: 0, max: 2 }) }),
    minHealthy: fc.record({ count: fc.integer({ min: 0, max: 5 }) }),
    errors: fc.record({ allowed: fc.record({ count: fc.integer({ min: 0, max: 3 }) }), strict: fc.boolean(), perWave: fc.boolean() }),
    onHalt: fc.constantFrom("hold" as const, "roll-back" as const),
  });
  /** What becomes of the moves that are under way, and what else happens meanwhile. */
  const happenings = fc.array(
    fc.record({
      what: fc.constantFrom(
        "done",
        "done",
        "done",
        "failed",
        "sick",
        "well",
        "silence",
        "twice",
        "others",
        "freeze",
        "thaw",
        "pause",
        "resume",
        "join",
        "leave",
      ),
      which: fc.nat(20),
      afterMs: fc.integer({ min: 1, max: 4000 }),
    }),
    { minLength: 10, maxLength: 80 },
  );

  test("budgets hold for what we take down, nothing is acted on twice, nothing new starts after a halt, and records replay", () => {
    fc.assert(
      fc.property(policies, fc.integer({ min: 2, max: 14 }), happenings, (policy, size, events) => {
        const plan = tryPlan(policy, size);
        if (plan === undefined) return;
        const rollout = new Rollout(plan, "hash", "starter", 0);
        const moments: { nowMs: number; observations: Observation[] }[] = [];
        const decisions: unknown[] = [];
        const keys = new Set<string>();
        const gone = new Set<string>();
        const underWay = new Map<string, Action & { kind: "move" }>();
        let [nowMs, sequence, others, halted] = [0, 0, 0, false];
        for (const { what, which, afterMs } of [{ what: "start", which: 0, afterMs: 1 }, ...events]) {
          nowMs += afterMs;
          const observations: Observation[] = [];
          const move = [...underWay.values()][which % Math.max(1, underWay.size)];
          const id = `i${which % size}`;
          const report = (of: string, running: string, healthy: boolean): Observation => ({
            type: "report",
            id: of,
            sequence: ++sequence,
            running,
            healthy,
          });
          if (what === "done" && move !== undefined) observations.push(report(move.id, move.to, true));
          if (what === "twice" && move !== undefined)
            observations.push(...[1, 2].map(() => ({ ...report(move.id, move.to, true), sequence })));
          if (what === "failed" && move !== undefined) observations.push({ type: "action-failed", key: move.key, reason: "no" });
          if ((what === "done" || what === "failed" || what === "twice") && move !== undefined) underWay.delete(move.key);
          if (what === "sick" || what === "well") observations.push(report(id, rollout.roster.find(id)?.running ?? "old", what === "well"));
          if (what === "others") observations.push({ type: "others", unavailable: (others = which % 3) });
          if (what === "freeze" || what === "thaw") observations.push({ type: "freeze", reason: what === "freeze" ? "x" : null });
          if (what === "pause" || what === "resume") observations.push({ type: "command", command: what, who: "ada" });
          if (what === "join")
            observations.push({ type: "joined", instance: { id: `late${which}`, zone: "z", running: "old", healthy: true } });
          if (what === "leave" && gone.add(id)) observations.push({ type: "left", id });
          const before = { ...rollout.roster.sums };
          moments.push({ nowMs, observations });
          const { status } = rollout;
          const decision = rollout.tick(observations, nowMs);
          expect(isDrawn(status, rollout.status)).toBe(true);
          decisions.push(decision);
          let takenDown = 0;
          for (const action of decision.actions) {
            expect(keys.has(action.key)).toBe(false);
            keys.add(action.key);
            if (action.kind !== "move") continue;
            expect(gone.has(action.id)).toBe(false);
            underWay.set(action.key, action);
            if (halted || rollout.status === "rolling-back") expect(action.to).toBe("old");
            if (action.how === "in-place" && rollout.roster.find(action.id)?.healthy === true) takenDown += 1;
          }
          const { sums } = rollout.roster;
          const most = Math.max(rollout.limits.maxUnavailable, rollout.status === "rolling-back" ? 1 : 0);
          if (takenDown > 0) {
            expect(sums.down + others).toBeLessThanOrEqual(most);
            expect(sums.size - sums.down - others).toBeGreaterThanOrEqual(rollout.limits.minHealthy);
          }
          expect(sums.surging).toBeLessThanOrEqual(Math.max(rollout.limits.maxSurge, before.surging));
          halted ||= ["halted", "rolling-back", "rolled-back", "rollback-failed"].includes(rollout.status);
          expect(recount(rollout)).toEqual(sums);
          expect(ENDS.has(rollout.status) || decision.waitingFor !== "").toBe(true);
        }
        const again = decide(plan, { planHash: "hash", startedBy: "starter", nowMs: 0 }, moments);
        expect(again.decisions).toEqual(decisions);
      }),
      { numRuns: 400 },
    );
  });

  const anyStrategy = fc.oneof(
    policies.map(({ strategy }) => strategy),
    fc.record({ kind: fc.constant("blue-green" as const), soakMs: fc.constant(100), keepOldMs: fc.constant(1000) }),
    fc.record({ kind: fc.constant("all-at-once" as const), soakMs: fc.constant(100) }),
  );
  const commands = fc.constantFrom<CommandName>("pause", "resume", "roll-back", "skip", "skip-gate", "retry-failed");
  const anything = fc.array(
    fc.record({
      what: fc.oneof(
        happenings.map(([event]) => event?.what ?? "done"),
        commands,
        fc.constantFrom("no-gate", "gate", "stage-done"),
      ),
      which: fc.nat(20),
      afterMs: fc.integer({ min: 1, max: 20_000 }),
    }),
    { maxLength: 60 },
  );

  test("it comes to an end or a halt as soon as all goes well, whatever happened before", () => {
    fc.assert(
      fc.property(policies, anyStrategy, fc.integer({ min: 1, max: 14 }), anything, (policy, strategy, size, events) => {
        const gates = [{ name: "g", onError: "hold", onInconclusive: "hold" }] as const;
        const minHealthy = { count: 0 }; // a fleet that shrinks to it may not move, and waits to grow
        const plan = tryPlan({ ...policy, strategy, gates, minHealthy }, size);
        if (plan === undefined) return;
        const world = new Obliging(new Rollout(plan, "hash", "starter", 0));
        for (const event of events) world.suffer(event);
        expect(world.end()).toMatch(/^(completed|rolled-back|rollback-failed|halted)$/);
      }),
      { numRuns: 400 },
    );
  });

  test("it ends, when every move ends well or badly", () => {
    fc.assert(
      fc.property(
        policies,
        fc.integer({ min: 1, max: 14 }),
        fc.array(fc.boolean(), { minLength: 14, maxLength: 14 }),
        (policy, size, fails) => {
          if (tryPlan(policy, size) === undefined) return;
          const driven = new Driven(policy, size);
          driven.run((id) => fails[Number(id.slice(1))] === true);
          expect(["completed", "rolled-back", "halted"]).toContain(driven.rollout.status);
        },
      ),
      { numRuns: 300 },
    );
  });
});

/** Does what a rollout asks when it is told to, and everything at once in the end. */
class Obliging {
  private readonly todo = new Map<string, Action>();
  private readonly rollout: Rollout;
  private nowMs = 0;
  private sequence = 0;

  constructor(rollout: Rollout) {
    this.rollout = rollout;
  }

  suffer({ what, which, afterMs }: { readonly what: string; readonly which: number; readonly afterMs: number }): void {
    const actions = [...this.todo.values()];
    const action = actions[which % Math.max(1, actions.length)];
    const slot = this.rollout.roster.at(which % this.rollout.roster.length);
    const told: Observation[] = [];
    if (what === "done" || what === "gate" || what === "stage-done") told.push(...this.did(action));
    else if (what === "failed" && action?.kind === "move" && this.todo.delete(action.key))
      told.push({ type: "action-failed", key: action.key, reason: "no" });
    else if (what === "no-gate" && action?.kind === "ask-gate" && this.todo.delete(action.key))
      told.push({ type: "gate", key: action.key, verdict: "error", detail: "" });
    else if (what === "sick" || what === "well") told.push(this.report(slot.id, slot.running, what === "well"));
    else if (what === "others") told.push({ type: "others", unavailable: which % 3 });
    else if (what === "freeze" || what === "thaw") told.push({ type: "freeze", reason: what === "freeze" ? "x" : null });
    else if (what === "join")
      told.push({ type: "joined", instance: { id: `late${which}`, zone: "z", running: which % 2 === 0 ? "new" : "old", healthy: true } });
    else if (what === "leave" && this.rollout.roster.sums.size > 1) told.push({ type: "left", id: slot.id });
    else if (what in COMMANDS.running) told.push({ type: "command", command: what as CommandName, who: "ada", reason: "so", id: slot.id });
    this.tick(told, afterMs);
  }

  end(): RolloutStatus {
    const { rollout } = this;
    for (let rounds = 0; rounds < 500 && !ENDS.has(rollout.status) && rollout.status !== "halted"; rounds += 1) {
      const well = [...rollout.roster].map(({ id, running }) => this.report(id, running, true));
      const done = [...this.todo.values()].flatMap((action) => this.did(action));
      this.tick([{ type: "freeze", reason: null }, { type: "others", unavailable: 0 }, ...well, ...done], 1000);
      if (rollout.status === "held") this.tick([{ type: "command", command: "retry-failed", who: "ada" }], 1);
      if (rollout.status === "held" && rollout.reason.includes("too small"))
        this.tick([{ type: "command", command: "roll-back", who: "ada" }], 1);
      if (rollout.status === "paused") this.tick([{ type: "command", command: "resume", who: "ada" }], 1);
    }
    return rollout.status;
  }

  private did(action: Action | undefined): readonly Observation[] {
    if (action === undefined || !this.todo.delete(action.key)) return [];
    if (action.kind === "move") return [this.report(action.id, action.to, true)];
    if (action.kind === "ask-gate") return [{ type: "gate", key: action.key, verdict: "passed", detail: "" }];
    return action.kind === "deny" ? [] : [{ type: "action-done", key: action.key }];
  }

  private tick(told: readonly Observation[], afterMs: number): void {
    this.nowMs += afterMs;
    for (const action of this.rollout.tick(told, this.nowMs).actions) this.todo.set(action.key, action);
  }

  private report(id: string, running: string | undefined, healthy: boolean): Observation {
    this.sequence += 1;
    return { type: "report", id, sequence: this.sequence, running, healthy };
  }
}

function tryPlan(policy: Partial<RolloutPolicy>, size: number): RolloutPlan | undefined {
  try {
    return planOf(policy, size);
  } catch {
    return undefined; // nothing may move under it, which is refused
  }
}

/** The sums of a roster, counted anew. */
function recount({ roster }: Rollout): Rollout["roster"]["sums"] {
  const slots = [...roster].filter(({ phase }) => phase !== "left");
  const count = (phase: string): number => slots.filter((slot) => slot.phase === phase).length;
  return {
    size: slots.length,
    down: slots.filter(({ healthy, out }) => !healthy || out).length,
    moving: count("moving"),
    surging: slots.filter(({ surge }) => surge).length,
    failed: count("failed"),
    unreachable: count("unreachable"),
    sick: slots.filter(({ phase, healthy }) => phase === "moved" && !healthy).length,
    ready: slots.filter(({ phase, healthy }) => healthy && (phase === "moved" || phase === "settled")).length,
    returning: count("returning"),
    stuck: count("stuck"),
  };
}
