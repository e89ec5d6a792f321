import type { Verdict } from "../checks/verdict.ts";

/** What a channel asks for, and whether an image has it. */
export interface Gate {
  /** `revocation`, `order`, `min-time`, `check http`, `approvals`, `packages`, `licences`, `security-updates`, `freeze`. */
  readonly gate: string;
  /** Only `passed` lets an image through. */
  readonly verdict: Verdict;
  /** One line for people. */
  readonly why: string;
  /** What to type to meet it, where something can be typed. */
  readonly command?: string;
}

/** What to type, for each gate: once for several in a row that ask for the same. */
export const commandsInTurn = (gates: readonly Gate[]): readonly (string | undefined)[] =>
  gates.map(({ command }, index) => (command === gates[index + 1]?.command ? undefined : command));
