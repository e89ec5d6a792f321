import type { Verdict } from "../checks/verdict.ts";
import type { PlannedInstance } from "./plan.ts";

/**
 * Where a rollout stands.
 *
 *     awaiting-approval ─→ running ⇄ paused | held ─→ completed
 *                             │
 *                             └──→ halted ─→ rolling-back ─→ rolled-back | rollback-failed
 *     abandoned: by `abort`, and when another rollout supersedes it; from every state but the ends and rolling-back
 */
export type RolloutStatus =
  | "awaiting-approval"
  | "running"
  /** By a person. */
  | "paused"
  /** By itself, for something that is named: a gate that gave no answer, instances that do not answer. */
  | "held"
  /** By itself, for good: something failed. */
  | "halted"
  | "rolling-back"
  | "completed"
  | "rolled-back"
  | "rollback-failed"
  | "abandoned";

export const ENDS: ReadonlySet<RolloutStatus> = new Set(["completed", "rolled-back", "rollback-failed", "abandoned"]);

/** How it begins, what a rollout waits for that people have to approve. */
export const APPROVALS = "approvals of ";

/** What becomes of one instance. */
export type InstancePhase =
  "settled" | "waiting" | "moving" | "moved" | "failed" | "unreachable" | "skipped" | "left" | "returning" | "returned" | "stuck";

export type CommandName = "approve" | "pause" | "resume" | "abort" | "roll-back" | "skip" | "skip-gate" | "retry-failed";

/** What a person asks for. */
export interface Command {
  readonly command: CommandName;
  readonly who: string;
  readonly reason?: string;
  /** Of the plan that is approved. */
  readonly planHash?: string;
  /** The wave, from 1, after which `approve` lets the rollout go on. Absent: whatever waits for an approval. */
  readonly wave?: number;
  /** What `skip` leaves out. */
  readonly id?: string;
}

/** What is told to a rollout. In any order, also twice: what is older than what is known is passed over. */
export type Observation =
  /** Measured on the instance. `sequence` only grows for one instance. */
  | {
      readonly type: "report";
      readonly id: string;
      readonly sequence: number;
      readonly running: string | undefined;
      readonly healthy: boolean;
    }
  /** An action could not be done; that it was done is seen by reports. */
  | { readonly type: "action-failed"; readonly key: string; readonly reason: string }
  /** Of `weigh`, `switch` and `retire`, which no report shows. */
  | { readonly type: "action-done"; readonly key: string }
  | { readonly type: "gate"; readonly key: string; readonly verdict: Verdict; readonly detail: string }
  | ({ readonly type: "command" } & Command)
  /** Nothing may be started; null: it is over. */
  | { readonly type: "freeze"; readonly reason: string | null }
  /**
   * How many of the fleet others have taken away at this moment: healing, scaling, another rollout. `ids` names them as far as they are
   * known: those are left alone, and one that is known to be down is not counted twice.
   */
  | { readonly type: "others"; readonly unavailable: number; readonly ids?: readonly string[] }
  /** Nobody looked for a while: what was well before says nothing about that time. */
  | { readonly type: "unwatched" }
  | { readonly type: "joined"; readonly instance: PlannedInstance }
  | { readonly type: "left"; readonly id: string }
  /** Another rollout waits for the end of this one: what is under way comes to its end, and nothing more is begun. */
  | { readonly type: "superseded"; readonly by: string }
  | { readonly type: "revoked"; readonly digest: string; readonly reason: string };

/** Of a hundred requests, how many everything on the target gets together. */
export type Weight = number | "even";

/** What is to be done. Done twice under the same key, it is done once. */
export type Action =
  /**
   * `in-place`: taken out, brought to the digest, taken in again. `surge`: a new one first, then the old one ends. `beside`: a new one
   * that takes no traffic yet.
   */
  | { readonly kind: "move"; readonly key: string; readonly id: string; readonly to: string; readonly how: "in-place" | "surge" | "beside" }
  | { readonly kind: "ask-gate"; readonly key: string; readonly gate: string; readonly wave: number }
  /**
   * Everything that runs the target gets together so many of a hundred requests; `even`: each instance as many as any other. It stays so
   * until the next `weigh`, also for instances that come up later.
   */
  | { readonly kind: "weigh"; readonly key: string; readonly weight: Weight; readonly wave: number }
  /** All traffic to the new or to the old set. */
  | { readonly kind: "switch"; readonly key: string; readonly to: "new" | "old" }
  /** Ends all machines of a set. */
  | { readonly kind: "retire"; readonly key: string; readonly set: "new" | "old" }
  /** The digest is not to be applied to this fleet again, by anybody. */
  | { readonly kind: "deny"; readonly key: string; readonly digest: string; readonly reason: string };

export interface Decision {
  readonly actions: readonly Action[];
  /** The one thing that has to happen next, in words; empty at the end. */
  readonly waitingFor: string;
  /** When to look again although nothing was observed; monotonic. Undefined: not before something is observed. */
  readonly wakeAtMs?: number;
  /** Commands that were not done, and why. */
  readonly refused: readonly { readonly command: CommandName; readonly who: string; readonly why: string }[];
}
