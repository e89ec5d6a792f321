import { expect, test } from "vitest";
import { Driven } from "./driven.testing.ts";
import type { Action, Weight } from "./model.ts";
import type { RolloutPolicy } from "./policy.ts";

const STEPS = [
  { to: { count: 2 }, weight: 5, soakMs: 1000 },
  { weight: 20, soakMs: 1000 },
];
const WEIGHED: Partial<RolloutPolicy> = { strategy: { kind: "canary", steps: STEPS }, maxUnavailable: { count: 2 } };

const weightsOf = (actions: readonly Action[]): readonly Weight[] =>
  actions.flatMap((action) => (action.kind === "weigh" ? [action.weight] : []));

/** Begun, with the traffic of its first wave shared and its two instances moved. */
function inFirstWave(policy: Partial<RolloutPolicy> = {}): Driven {
  const driven = new Driven({ ...WEIGHED, ...policy });
  const [weigh] = driven.tick();
  const moves = driven.tick([{ type: "action-done", key: weigh?.key ?? "" }]);
  driven.tick(moves.flatMap((move) => (move.kind === "move" ? [driven.report(move.id, "new")] : [])));
  return driven;
}

test("each step begins with its share of the traffic, and nothing moves before that is so", () => {
  const driven = new Driven(WEIGHED);
  const [weigh, ...others] = driven.tick();
  expect(weigh).toEqual({ kind: "weigh", key: "r//weigh-1", weight: 5, wave: 0 });
  expect(others).toEqual([]);
  expect(driven.tick([], 5000)).toEqual([]);
  expect(driven.rollout.tick([], driven.nowMs).waitingFor).toBe("the traffic of wave 1 to be shared");
  expect(driven.tick([{ type: "action-done", key: "r//weigh-1" }])).toMatchObject([{ kind: "move" }, { kind: "move" }]);
});

test("a step about traffic alone soaks from when the traffic is shared, and the rest goes without a weight", () => {
  const driven = new Driven(WEIGHED);
  driven.run();
  expect(driven.rollout.status).toBe("completed");
  expect(weightsOf(driven.actions)).toEqual([5, 20, "even"]);
  expect(new Set(driven.actions.map(({ key }) => key)).size).toBe(driven.actions.length);
});

test("a halt takes the traffic away before anything else, and a fleet that is back shares it evenly", () => {
  const driven = inFirstWave();
  const actions = driven.tick([{ type: "revoked", digest: "new", reason: "leak" }]);
  expect(actions.map(({ kind }) => kind)).toEqual(["weigh", "deny", "move", "move"]);
  expect(actions[0]).toMatchObject({ weight: 0 });
  const even = driven.tick(actions.flatMap((action) => (action.kind === "move" ? [driven.report(action.id, "old")] : [])));
  expect(even).toMatchObject([{ kind: "weigh", weight: "even" }]);
  expect(driven.rollout.status).toBe("rolling-back");
  driven.tick([{ type: "action-done", key: even[0]?.key ?? "" }]);
  expect(driven.rollout.status).toBe("rolled-back");
});

test("a halt that holds leaves the traffic with the old ones, also when it is given up", () => {
  const driven = inFirstWave({ onHalt: "hold" });
  driven.tick([{ type: "revoked", digest: "new", reason: "leak" }]);
  driven.tick([{ type: "command", command: "abort", who: "ada" }]);
  expect(driven.rollout.status).toBe("abandoned");
  expect(weightsOf(driven.actions)).toEqual([5, 0]);
});

test("what a person gives up or takes back is weighed no more", () => {
  const givenUp = inFirstWave();
  expect(givenUp.tick([{ type: "command", command: "abort", who: "ada" }])).toMatchObject([{ kind: "weigh", weight: "even" }]);
  const takenBack = inFirstWave();
  expect(takenBack.tick([{ type: "command", command: "roll-back", who: "ada" }])[0]).toMatchObject({ kind: "weigh", weight: 0 });
});

test("the traffic stays where it is when nothing else is healthy", () => {
  const driven = inFirstWave();
  const others = [...driven.rollout.roster].filter(({ phase }) => phase === "waiting");
  const actions = driven.tick([
    ...others.map(({ id }) => driven.report(id, "old", false)),
    { type: "revoked", digest: "new", reason: "leak" },
  ]);
  expect(weightsOf(actions)).toEqual([]);
});

test("traffic that cannot be shared halts", () => {
  const driven = new Driven(WEIGHED);
  const [weigh] = driven.tick();
  driven.tick([{ type: "action-failed", key: weigh?.key ?? "", reason: "no such server" }]);
  expect(driven.rollout.reason).toBe("the traffic cannot be shared: no such server");
});
