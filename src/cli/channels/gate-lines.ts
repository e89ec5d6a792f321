import { commandsInTurn, type Gate } from "../../core/promotion/gate.ts";
import type { Terminal } from "../terminal.ts";

const COLOURS = { passed: "green", failed: "red", error: "red", inconclusive: "yellow" } as const;

/** One line a gate, and below it what to type. */
export function gateLines(gates: readonly Gate[], { colors }: Terminal): string {
  const commands = commandsInTurn(gates);
  return gates
    .map(({ gate, verdict, why }, index) => {
      const command = commands[index];
      return `  ${colors[COLOURS[verdict]](verdict)} ${gate}: ${why}\n${command === undefined ? "" : `    ${colors.dim(command)}\n`}`;
    })
    .join("");
}
