import type { Verdict } from "../checks/verdict.ts";
import type { Amount } from "./amount.ts";

/** In which order a fleet moves. A soak is the time for which everything that was moved must be healthy without a break. */
export type Strategy =
  /** Batches of the same size. */
  | { readonly kind: "rolling"; readonly batch: Amount; readonly soakMs: number }
  /** Waves that grow; after the last step comes the rest. */
  | { readonly kind: "canary"; readonly steps: readonly CanaryStep[] }
  /** A second set of the same size, then one switch; the old set is kept for `keepOldMs` to switch back to. */
  | { readonly kind: "blue-green"; readonly soakMs: number; readonly keepOldMs: number }
  /** Everything at once, for fleets that nobody depends on. */
  | { readonly kind: "all-at-once"; readonly soakMs: number };

/** One of `to` and `weight` at least. */
export interface CanaryStep {
  /** Everything moved by then. Absent: nothing more is moved, and the step is about traffic only. */
  readonly to?: Amount;
  /**
   * From the beginning of the step, everything on the new image gets together so many of a hundred requests. Absent: each instance gets
   * as many as any other. Where a step leaves nothing on the image before, it means nothing: nobody is there for the other requests.
   */
  readonly weight?: number;
  readonly soakMs: number;
}

/** What happens when a gate does not answer (`error`) or cannot tell (`inconclusive`). Going on is not among it. */
export type Unanswered = "hold" | "halt";

/** Whom a gate waits for, where nothing is measured. */
export interface People {
  /** So many must approve, others than whoever started the rollout. */
  readonly approvals: number;
  /** After which waves, from 1; after the last where there are fewer. Absent: after all but the last, and before the switch of blue/green. */
  readonly waves?: readonly number[];
  /** Without them for so long, the gate is inconclusive. Absent: it waits. */
  readonly withinMs?: number;
}

/** Asked after the soak of each wave. `failed` always halts. */
export interface Gate {
  readonly name: string;
  readonly onError: Unanswered;
  readonly onInconclusive: Unanswered;
  /** Absent: the first answer counts. */
  readonly again?: AskAgain;
  /** Absent: something is asked that can answer by itself. */
  readonly people?: People;
}

/** Of each bad verdict: so many are passed over, and one more counts. Errors are counted in a row, the others in all, for each wave. */
export interface AskAgain {
  readonly everyMs: number;
  readonly allowed: Readonly<Record<Exclude<Verdict, "passed">, number>>;
}

export interface RolloutPolicy {
  readonly strategy: Strategy;
  /** How many may be unavailable at any instant, for whatever reason; rounds down. */
  readonly maxUnavailable: Amount;
  /** How many must be healthy at any instant; rounds up. */
  readonly minHealthy: Amount;
  /** How many machines there may be beyond the size of the fleet; rounds up. Replacements then start before the old ones end. */
  readonly maxSurge: Amount;
  readonly errors: {
    /** So many may fail; one more halts (as SSM counts: 3 allowed stops at the 4th, 10 % of 50 at the 6th). */
    readonly allowed: Amount;
    /** Whether what is under way counts as if it failed, so that never more than `allowed` and one fail. */
    readonly strict: boolean;
    /** Whether `allowed` is of the instances of a wave, and counted anew in each, in place of the whole fleet's. */
    readonly perWave: boolean;
  };
  readonly unreachable: {
    /** A budget of its own: no answer is not a failure of the image. */
    readonly allowed: Amount;
    /** Silent for so long is unreachable. */
    readonly afterMs: number;
  };
  /** How long moving one instance may take until it is healthy on the new image; longer is a failure. */
  readonly timeoutMs: number;
  /** How long a moved instance may be unhealthy before that is a failure; shorter only begins the soak again. */
  readonly graceMs: number;
  readonly gates: readonly Gate[];
  readonly onHalt: "hold" | "roll-back";
  /** How many must approve the plan before anything starts. */
  readonly approvals: number;
}
