import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { decide } from "./decide.ts";
import { Driven, Obliging, tryPlan } from "./driven.testing.ts";
import { ENDS, type Action, type Observation } from "./model.ts";
import { Rollout } from "./rollout.ts";
import { anyEvents, anyHappenings, anyPolicy, anyStrategy } from "./properties.testing.ts";
import { isDrawn } from "./states.testing.ts";

describe("whatever happens, in whatever order", () => {
  test("budgets hold for what we take down, nothing is acted on twice, nothing new starts after a halt, and records replay", () => {
    fc.assert(
      fc.property(anyPolicy, fc.integer({ min: 2, max: 14 }), anyHappenings, (policy, size, events) => {
        const plan = tryPlan(policy, size);
        if (plan === undefined) return;
        const rollout = new Rollout(plan, "hash", "starter", 0);
        const moments: { nowMs: number; observations: Observation[] }[] = [];
        const decisions: unknown[] = [];
        const keys = new Set<string>();
        const gone = new Set<string>();
        const underWay = new Map<string, Action & { kind: "move" }>();
        let [nowMs, sequence, others, halted] = [0, 0, 0, false];
        let [isFrozen, isSuperseded, isBackBarred] = [false, false, false];
        let weighing: string | undefined;
        let taken: readonly string[] = [];
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
          if (what === "done" && weighing !== undefined) {
            observations.push({ type: "action-done", key: weighing });
            weighing = undefined;
          }
          if (what === "others") {
            taken = [];
            observations.push({ type: "others", unavailable: (others = which % 3) });
          }
          // as healing does it: within the room that there is, in the same breath
          if (what === "take" && rollout.room > 0) {
            const free = [...rollout.roster].filter(({ phase, healthy }) => healthy && (phase === "waiting" || phase === "moved"));
            taken = free.slice(0, Math.min(rollout.room, 1 + (which % 2))).map((slot) => slot.id);
            others = 0;
            observations.push({ type: "others", unavailable: taken.length, ids: taken });
          }
          if (what === "freeze" || what === "thaw") observations.push({ type: "freeze", reason: what === "freeze" ? "x" : null });
          if (what === "superseded") observations.push({ type: "superseded", by: "next" });
          if (what === "revoked" || what === "revoked-back")
            observations.push({ type: "revoked", digest: what === "revoked" ? "new" : "old", reason: "leak" });
          if (what === "pause" || what === "resume" || what === "roll-back")
            observations.push({ type: "command", command: what, who: "ada" });
          if (what === "join")
            observations.push({ type: "joined", instance: { id: `late${which}`, zone: "z", running: "old", healthy: true } });
          if (what === "leave" && gone.add(id)) observations.push({ type: "left", id });
          if (what === "freeze" || what === "thaw") isFrozen = what === "freeze";
          isSuperseded ||= what === "superseded";
          isBackBarred ||= what === "revoked-back";
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
            if (action.kind === "weigh") {
              weighing = action.key;
              if (halted) expect(action.weight).toBe("even"); // once nothing is left on the new image
            }
            if (isFrozen) expect(action.kind === "move" ? action.to : action.kind).toMatch(/^(old|weigh|deny)$/);
            if (action.kind !== "move") continue;
            if (isSuperseded) expect(action.to).toBe("old"); // it was on its way back already
            if (isBackBarred) expect(action.to).toBe("new");
            expect(taken).not.toContain(action.id);
            expect(weighing === undefined || action.to === "old").toBe(true);
            expect(gone.has(action.id)).toBe(false);
            underWay.set(action.key, action);
            if (halted || rollout.status === "rolling-back") expect(action.to).toBe("old");
            if (action.how === "in-place" && rollout.roster.find(action.id)?.healthy === true) takenDown += 1;
          }
          const { sums } = rollout.roster;
          const isReturning = rollout.status === "rolling-back";
          const lost = [...rollout.roster].filter(({ phase, healthy }) => phase === "stuck" && !healthy).length;
          const most = isReturning ? Math.max(rollout.limits.maxUnavailable, 1) + lost : rollout.limits.maxUnavailable;
          if (takenDown > 0) {
            const held = others + taken.filter((each) => isUp(rollout, each)).length;
            expect(sums.down + held).toBeLessThanOrEqual(most);
            expect(sums.size - sums.down - held).toBeGreaterThanOrEqual(rollout.limits.minHealthy);
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

  test("it comes to an end or a halt as soon as all goes well, whatever happened before", () => {
    fc.assert(
      fc.property(anyPolicy, anyStrategy, fc.integer({ min: 1, max: 14 }), anyEvents, (policy, strategy, size, events) => {
        const gates = [{ name: "g", onError: "hold", onInconclusive: "hold" }] as const;
        const minHealthy = { count: 0 }; // a fleet that shrinks to it may not move, and waits to grow
        const plan = tryPlan({ ...policy, strategy, gates, minHealthy }, size);
        if (plan === undefined) return;
        const world = new Obliging(new Rollout(plan, "hash", "starter", 0));
        for (const event of events) world.suffer(event);
        expect(world.end()).toMatch(/^(completed|rolled-back|rollback-failed|halted|abandoned)$/);
      }),
      { numRuns: 400 },
    );
  });

  test("it ends, when every move ends well or badly", () => {
    fc.assert(
      fc.property(
        anyPolicy,
        fc.integer({ min: 1, max: 14 }),
        fc.array(fc.boolean(), { minLength: 14, maxLength: 14 }),
        (policy, size, fails) => {
          if (tryPlan(policy, size) === undefined) return;
          const driven = new Driven(policy, size);
          driven.run((id) => fails[Number(id.slice(1))] === true);
          expect(["completed", "rolled-back", "halted"]).toContain(driven.rollout.status);
        },
      ),
      { numRuns: 400 },
    );
  });
});

function isUp({ roster }: Rollout, id: string): boolean {
  const slot = roster.find(id);
  return slot !== undefined && slot.phase !== "left" && slot.healthy && !slot.out;
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
