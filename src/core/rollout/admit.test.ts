import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { admitRelease, nextRelease, type Line, type Release, type SecondRollout } from "./admit.ts";
import { Driven, told } from "./driven.testing.ts";
import type { Action, RolloutStatus } from "./model.ts";
import { IN_STATE } from "./states.testing.ts";

const release = (rollout: string, target = rollout, atMs = 0): Release => ({ rollout, target, atMs });
const line = (status: RolloutStatus, ...waiting: readonly Release[]): Line => ({
  underWay: { rollout: "r1", target: "a", status },
  waiting,
});

describe("a release for a fleet", () => {
  test("starts when nothing is under way, and nothing waits", () => {
    for (const policy of ["queue", "supersede", "refuse"] as const)
      for (const status of ["completed", "rolled-back", "rollback-failed", "abandoned"] as const)
        expect(admitRelease(release("r2"), line(status), policy)).toEqual({ kind: "start" });
  });

  test.each([
    ["queue", line("running"), { kind: "wait", why: "the end of r1" }],
    ["queue", line("running", release("r2")), { kind: "wait", why: "the end of r2" }],
    ["queue", line("completed", release("r2")), { kind: "wait", why: "the end of r2" }],
    ["refuse", line("held"), { kind: "refuse", why: "r1 has to end first: it is held" }],
    ["refuse", line("abandoned", release("r2")), { kind: "refuse", why: "r2 has to end first: it waits" }],
    ["supersede", line("running"), { kind: "supersede", tell: "r1", drop: [], why: "the end of r1" }],
    ["supersede", line("halted", release("r2")), { kind: "supersede", tell: "r1", drop: ["r2"], why: "the end of r1" }],
    ["supersede", line("rolling-back"), { kind: "supersede", drop: [], why: "the end of r1" }],
  ] as const)("%s", (policy, before, answer) => expect(admitRelease(release("r3"), before, policy)).toEqual(answer));

  test.each(["queue", "supersede", "refuse"] as const)("that is under way or waits is not taken twice: %s", (policy) => {
    expect(admitRelease(release("r2", "a"), line("running"), policy)).toEqual({
      kind: "refuse",
      why: "r1 is about it already, and is running",
    });
    expect(admitRelease(release("r3", "b"), line("running", release("r2", "b")), policy)).toMatchObject({ kind: "refuse" });
  });

  test("whatever is asked for, in whatever order within one millisecond: one is under way, and the same one each time", () => {
    const asked = fc.uniqueArray(fc.record({ rollout: fc.constantFrom("a", "b", "c", "d"), atMs: fc.constantFrom(1, 2) }), {
      selector: ({ rollout }) => rollout,
      minLength: 2,
    });
    fc.assert(
      fc.property(asked, fc.constantFrom<SecondRollout>("queue", "refuse"), (releases, policy) => {
        const waiting: Release[] = [];
        let underWay: Line["underWay"];
        for (const { rollout, atMs } of releases) {
          const asking = release(rollout, rollout, atMs);
          const admission = admitRelease(asking, { waiting, ...(underWay === undefined ? {} : { underWay }) }, policy);
          if (admission.kind === "start") expect(underWay).toBeUndefined();
          if (admission.kind === "start") underWay = { rollout, target: rollout, status: "running" };
          if (admission.kind === "wait") waiting.push(asking);
        }
        expect(underWay?.rollout).toBe(releases[0]?.rollout);
        expect(nextRelease(waiting)).toEqual(nextRelease(waiting.toReversed()));
      }),
    );
  });
});

describe("a rollout that is superseded", () => {
  const superseded = (driven: Driven): readonly Action[] => driven.tick([{ type: "superseded", by: "r2" }]);

  test("begins nothing more, waits for what is under way, and ends with every instance known", () => {
    const driven = new Driven({ maxUnavailable: { count: 2 } });
    const moves = driven.tick().filter((action) => action.kind === "move");
    expect(superseded(driven)).toEqual([]);
    expect(driven.rollout.tick([], driven.nowMs).waitingFor).toBe("2 instances that are being moved, before r2 takes over");
    expect(driven.tick([driven.report(moves[0]?.id ?? "", "new")])).toEqual([]);
    driven.tick([{ type: "action-failed", key: moves[1]?.key ?? "", reason: "no" }]);
    expect(driven.rollout).toMatchObject({
      status: "abandoned",
      reason: expect.stringMatching(/^superseded by r2; 1 of 6 failed/) as string,
    });
    expect(driven.rollout.roster.sums.moving).toBe(0);
    expect(driven.actions.map(({ kind }) => kind)).toEqual(["move", "move", "deny"]); // and does not go back
  });

  test.each(["awaiting-approval", "running", "paused", "held", "halted"] as const)("ends when it is %s", (status) => {
    const driven = IN_STATE[status]();
    superseded(driven);
    driven.run(); // what is under way
    expect(driven.rollout.status).toBe("abandoned");
    expect(driven.rollout.reason).toMatch(/^superseded by r2/);
  });

  test("is not stopped on its way back", () => {
    const driven = IN_STATE["rolling-back"]();
    superseded(driven);
    driven.run();
    expect(driven.rollout.status).toBe("rolled-back");
  });

  test("takes no command any more but to give it up at once", () => {
    const driven = new Driven();
    driven.tick();
    superseded(driven);
    const { refused } = driven.rollout.tick([{ type: "command", command: "pause", who: "ada" }], driven.nowMs);
    expect(refused).toMatchObject([{ why: "it ends: r2 supersedes it" }]);
    expect(told(driven, "abort").rollout).toMatchObject({ status: "abandoned", reason: "given up by ada: because" });
  });

  const SETS = { strategy: { kind: "blue-green", soakMs: 0, keepOldMs: 60_000 } } as const;

  test("with a second set that takes no traffic yet ends that set", () => {
    const driven = new Driven(SETS);
    const moves = driven.tick().filter((action) => action.kind === "move");
    superseded(driven);
    const [retire] = driven.tick(moves.map(({ key }) => ({ type: "action-failed", key, reason: "no" })));
    expect(driven.actions.filter(({ kind }) => kind !== "move")).toMatchObject([{ kind: "deny" }, { kind: "retire", set: "new" }]);
    driven.tick([
      { type: "action-done", key: retire?.key ?? "r//retire-new" },
      { type: "action-done", key: "r//retire-new" },
    ]);
    expect(driven.rollout.status).toBe("abandoned");
  });

  test("with a second set that has the traffic ends the old one, and is complete", () => {
    const driven = new Driven(SETS);
    const moves = driven.tick().filter((action) => action.kind === "move");
    const [change] = driven.tick(moves.map(({ id }) => driven.report(id, "new")));
    driven.tick([{ type: "action-done", key: change?.key ?? "" }]);
    expect(superseded(driven)).toMatchObject([{ kind: "retire", set: "old" }]);
    driven.tick([{ type: "action-done", key: "r//retire-old" }]);
    expect(driven.rollout.status).toBe("completed");
  });
});

describe("what others have taken", () => {
  const OPEN = { maxUnavailable: { count: 3 }, strategy: { kind: "rolling", batch: { percent: 100 }, soakMs: 0 } } as const;
  const movedOf = (actions: readonly Action[]): readonly string[] =>
    actions.flatMap((action) => (action.kind === "move" ? [action.id] : []));

  test("counts against the budget, and is left alone", () => {
    const driven = new Driven(OPEN);
    const [first] = driven.rollout.plan.instances;
    expect(movedOf(driven.tick([{ type: "others", unavailable: 1, ids: [first?.id ?? ""] }]))).toEqual([]);
    expect(driven.rollout.tick([], driven.nowMs).waitingFor).toBe(`${first?.id ?? ""}, which others have taken`);
    const last = driven.rollout.plan.instances.at(-1)?.id ?? "";
    expect(driven.tick([{ type: "others", unavailable: 1, ids: [last] }])).toHaveLength(2);
    expect(driven.rollout.room).toBe(0);
  });

  test("and is down already counts once", () => {
    const driven = new Driven(OPEN);
    const last = driven.rollout.plan.instances.at(-1)?.id ?? "";
    const actions = driven.tick([driven.report(last, "old", false), { type: "others", unavailable: 1, ids: [last] }]);
    expect(actions).toHaveLength(2);
  });
});
