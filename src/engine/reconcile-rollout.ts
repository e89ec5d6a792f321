import { decide, type Moment } from "../core/rollout/decide.ts";
import type { Action, Decision, Observation } from "../core/rollout/model.ts";
import { BakehouseError } from "../core/errors.ts";
import type { Rollout } from "../core/rollout/rollout.ts";
import type { RolloutHands, RolloutRecords } from "../ports/rollout-records.ts";

/** Carries one rollout on. There may be another process that does the same: only the one that took the lease last gets to act. */
export interface Reconciler {
  readonly rollout: Rollout;
  /** What was begun, also by processes before this one, and was not heard of since: to be begun again, under the same key. */
  readonly unanswered: readonly Action[];
  /**
   * Writes down what was observed, decides, and has it done. What cannot be begun is tried again with the next tick, before anything
   * else.
   *
   * @throws LEASE_LOST when another process took over, and whatever keeps the records from being written: nothing was decided then
   */
  tick(observations: readonly Observation[], nowMs: number): Decision;
}

/**
 * Takes a rollout over, from its start or from wherever another process left it: it is made again from what was told to it, and what was
 * decided but perhaps not done is done (again, under the same key).
 */
export function reconcileRollout(records: RolloutRecords, hands: RolloutHands): Reconciler {
  const epoch = records.takeLease();
  const { plan, ...origin } = records.origin;
  const moments = records.moments();
  const { rollout, decisions } = decide(plan, origin, moments);
  let { done } = records;
  let marked = done;
  const decided = decisions.flatMap(({ actions }) => actions);
  let waiting: readonly Action[] = decided.slice(done);
  let failed: string | undefined;

  let unmarked: readonly Action[] = [];

  function performAll(): void {
    failed = undefined;
    let begun = 0;
    for (const action of waiting) {
      try {
        hands.perform(action);
      } catch (error) {
        failed = messageOf(error);
        break;
      }
      begun += 1;
    }
    unmarked = [...unmarked, ...waiting.slice(0, begun)];
    waiting = waiting.slice(begun);
    done += begun;
    if (done === marked) return;
    try {
      records.markDone(epoch, done, unmarked);
      marked = done;
      unmarked = [];
    } catch (error) {
      if (error instanceof BakehouseError && error.code === "LEASE_LOST") throw error;
      failed ??= messageOf(error); // what is not marked is done again after a restart, under the same key
    }
  }

  return {
    rollout,
    unanswered: unansweredOf(decided.slice(0, done), moments, rollout),
    tick(observations, nowMs) {
      records.append(epoch, { nowMs, observations });
      const decision = rollout.tick(observations, nowMs);
      waiting = [...waiting, ...decision.actions];
      performAll();
      return failed === undefined ? decision : { ...decision, waitingFor: `what was decided to be begun: ${failed}` };
    },
  };
}

/** Moves are answered by what is seen of their instance; all else by its key. */
function unansweredOf(begun: readonly Action[], moments: readonly Moment[], { roster, plan }: Rollout): readonly Action[] {
  const answered = new Set(moments.flatMap(({ observations }) => observations.flatMap((told) => ("key" in told ? [told.key] : []))));
  return begun.filter((action) => {
    if (action.kind === "deny" || answered.has(action.key)) return false;
    if (action.kind !== "move") return true;
    const slot = roster.find(action.id);
    const isOpen = slot?.phase === "moving" || slot?.phase === "returning";
    return isOpen && action.key === `${plan.rollout}/${slot.id}/${slot.attempt}`;
  });
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
