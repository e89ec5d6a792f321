import type { Reading } from "../core/gates/model.ts";

/** What untouched instances said when there were enough of them. */
export interface Baseline {
  readonly readings: readonly Reading[];
  /** How many instances were asked. */
  readonly instances: number;
  /** ISO 8601, UTC. */
  readonly at: string;
}

/**
 * Baselines of one fleet, by gate: towards the end of a rollout too few instances are left to compare with, and whoever carries it on
 * by then may be another process. The self-test before a rollout begins takes the place of that of the one before.
 */
export interface GateBaselines {
  read(gate: string): Baseline | undefined;
  /** @throws STORE_FULL */
  keep(gate: string, baseline: Baseline): void;
}
