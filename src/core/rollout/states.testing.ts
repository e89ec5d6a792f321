import { Driven, ran, told } from "./driven.testing.ts";
import type { RolloutStatus } from "./model.ts";

/** From each state, those that it may lead to at once: as drawn in docs/architecture.md, and as random runs reach them. */
export const STEPS: Readonly<Record<RolloutStatus, readonly RolloutStatus[]>> = {
  "awaiting-approval": ["running", "halted", "abandoned"],
  running: ["paused", "held", "halted", "rolling-back", "completed", "abandoned"],
  paused: ["running", "halted", "rolling-back", "completed", "abandoned"],
  held: ["running", "paused", "halted", "rolling-back", "completed", "abandoned"],
  halted: ["rolling-back", "abandoned"],
  "rolling-back": ["rolled-back", "rollback-failed"],
  completed: [],
  "rolled-back": [],
  "rollback-failed": [],
  abandoned: [],
};

/** Whether one state may lead to another within one decision, which may be several steps. */
export function isDrawn(from: RolloutStatus, to: RolloutStatus): boolean {
  const reached = new Set([from]);
  for (const status of reached) for (const next of STEPS[status]) reached.add(next);
  return reached.has(to);
}

/** A rollout in each state, and how it got there. */
export const IN_STATE: Readonly<Record<RolloutStatus, () => Driven>> = {
  "awaiting-approval": () => new Driven({ approvals: 1 }),
  running: () => {
    const driven = new Driven({ maxUnavailable: { count: 2 } });
    driven.tick();
    return driven;
  },
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
