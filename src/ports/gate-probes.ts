import type { GateAnswer, ProbedGate } from "../core/gates/model.ts";
import type { GateInstance } from "../core/gates/placeholders.ts";
import type { GateSubjects } from "../core/gates/subjects.ts";

/** Asks the gates of one rollout. Neither throws: what breaks, or is stopped by the signal, is `error`. */
export interface GateProbes {
  /**
   * Asked after the soak of each wave. Towards the end too few are untouched: comparisons then take what untouched ones said when they
   * were last asked in this rollout (by the self-test, too), and are inconclusive when they never were.
   */
  ask(gate: ProbedGate, subjects: GateSubjects, signal: AbortSignal): Promise<GateAnswer>;
  /**
   * Asked once before the first wave, of instances that all run the old image: whether the gate gets data, and fails on bad data.
   *
   * @param firstWave  how many instances the first wave moves
   * @returns `passed`, or `error` with the reason for which the rollout must not begin
   */
  selfTest(gate: ProbedGate, untouched: readonly GateInstance[], firstWave: number, signal: AbortSignal): Promise<GateAnswer>;
}
