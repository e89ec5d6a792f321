import type { Verdict } from "../checks/verdict.ts";
import type { Amount } from "./amount.ts";

/** In which order a fleet moves. A soak is the time for which everything that was moved must be healthy without a break. */
export type Strategy =
  /** Batches of the same size. */
  | { readonly kind: "rolling"; readonly batch: Amount; readonly soakMs: number }
  /** Waves that grow: `to` counts everything moved by then; after the last step comes the rest. */
  | { readonly kind: "canary"; readonly steps: readonly { readonly to: Amount; readonly soakMs: number }[] }
  /** A second set of the same size, then one switch; the old set is kept for `keepOldMs` to switch back to. */
  | { readonly kind: "blue-green"; readonly soakMs: number; readonly keepOldMs: number }
  /** Everything at once, for fleets that nobody depends on. */
  | { readonly kind: "all-at-once"; readonly soakMs: number };

/** What happens when a gate does not answer (`error`) or cannot tell (`inconclusive`). Going on is not among it. */
export type Unanswered = "hold" | "halt";

/** Asked after the soak of each wave. `failed` always halts. */
export interface Gate {
  readonly name: string;
  readonly onError: Unanswered;
  readonly onInconclusive: Unanswered;
  /** Absent: the first answer counts. */
  readonly again?: AskAgain;
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
