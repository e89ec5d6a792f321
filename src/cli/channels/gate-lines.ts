import type { Gate } from "../../core/promotion/gate.ts";
import type { Terminal } from "../terminal.ts";

const COLOURS = { passed: "green", failed: "red", error: "red", inconclusive: "yellow" } as const;

/** One line a gate, and below it what to type. */
export const gateLines = (gates: readonly Gate[], { colors }: Terminal): string =>
  gates
    .map(
      ({ gate, verdict, why, command }) =>
        `  ${colors[COLOURS[verdict]](verdict)} ${gate}: ${why}\n${command === undefined ? "" : `    ${colors.dim(command)}\n`}`,
    )
    .join("");
