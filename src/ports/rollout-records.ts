import type { Moment } from "../core/rollout/decide.ts";
import type { Action } from "../core/rollout/model.ts";
import type { RolloutPlan } from "../core/rollout/plan.ts";

/** What a rollout begins with. */
export interface RolloutOrigin {
  readonly plan: RolloutPlan;
  readonly planHash: string;
  readonly startedBy: string;
  readonly nowMs: number;
}

/** Everything that was told to one rollout, in order, and how much of what followed from it is done. */
export interface RolloutRecords {
  readonly origin: RolloutOrigin;
  /** Takes the rollout over: whoever had it before can write no more. @returns the new epoch, greater than all before */
  takeLease(): number;
  /** What was told so far. */
  moments(): readonly Moment[];
  /** So many actions, counted from the first, are done. */
  readonly done: number;
  /** Writes down what is going to be decided on. @throws LEASE_LOST when somebody took the rollout over */
  append(epoch: number, moment: Moment): void;
  /** @param begun  those that are done since the last time, so that they stand in the record @throws LEASE_LOST */
  markDone(epoch: number, count: number, begun: readonly Action[]): void;
}

/** Does what was decided. Asked twice under the same key, it does it once. */
export interface RolloutHands {
  /** Begins it. @throws when it cannot be begun at this moment; it is asked again */
  perform(action: Action): void;
}
