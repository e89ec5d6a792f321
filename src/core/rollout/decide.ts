import type { Decision, Observation } from "./model.ts";
import type { RolloutPlan } from "./plan.ts";
import { Rollout } from "./rollout.ts";

/** Everything that was told to a rollout at one moment; monotonic milliseconds. */
export interface Moment {
  readonly nowMs: number;
  readonly observations: readonly Observation[];
}

/**
 * Makes a rollout again from what was told to it, and with it every decision: it is the same each time.
 *
 * @returns the state after the last moment, and the decision of each
 */
export function decide(
  plan: RolloutPlan,
  origin: { readonly planHash: string; readonly startedBy: string; readonly nowMs: number },
  moments: readonly Moment[],
): { readonly rollout: Rollout; readonly decisions: readonly Decision[] } {
  const rollout = new Rollout(plan, origin.planHash, origin.startedBy, origin.nowMs);
  return { rollout, decisions: moments.map(({ observations, nowMs }) => rollout.tick(observations, nowMs)) };
}
