import { runInteractive } from "../../adapters/local-host/run-interactive.ts";
import { shellQuote } from "../../adapters/sandbox/holder.ts";
import type { Cell } from "../../ports/cells.ts";

export interface RunHereOptions {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly signal: AbortSignal;
}

/**
 * Runs a program in a cell with this process's terminal, pipes or files; its exit code. On a terminal it gets one of the cell's
 * own, by the image's script(1) (in every Debian), so that it has a name there and Ctrl-C is the program's and not ours.
 */
export async function runHere(cell: Cell, argv: readonly string[], { env, signal }: RunHereOptions): Promise<number> {
  const onTerminal = process.stdin.isTTY && process.stdout.isTTY;
  const command = onTerminal ? ["sh", "-c", WITH_TERMINAL, argv.map(shellQuote).join(" ")] : argv;
  const { exitCode } = await runInteractive(await cell.commandLine(command, { TERM: env["TERM"] ?? "dumb" }), signal);
  return exitCode;
}

const WITH_TERMINAL = `if command -v script >/dev/null; then exec script -qefc "exec $0" /dev/null; else eval "exec $0"; fi`;
