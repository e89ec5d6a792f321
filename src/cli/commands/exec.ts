import { defineCommand } from "../command.ts";
import { CELL_ARGUMENT } from "../cells/cell-argument.ts";
import { withImages } from "../images/with-images.ts";

export const command = defineCommand({
  name: "exec",
  summary: "Run a program in a cell",
  description: `It runs as root of the cell, with this terminal, and nothing of this machine's environment. Its exit code is passed on.
With --json its output is collected and printed with the code; it must then end within an hour.`,
  arguments: {
    cell: CELL_ARGUMENT,
    command: { many: true, summary: "The program and its arguments", completes: "none" },
  },
  examples: [
    { line: "exec shop-release-1f3a -- systemctl status shop", does: "Ask systemd" },
    { line: "exec blue -- bash", does: "A shell, as `bakehouse shell blue`" },
  ],
  run: async ({ args, global, terminal, env, signal }) =>
    withImages({ global, terminal }, async (parts) => {
      const cell = (await parts.cells()).find(args.cell);
      if (global.json) return cell.exec(args.command, { timeoutMs: COLLECT_MS, signal });
      const { runHere } = await import("../cells/run-here.ts");
      return { code: await runHere(cell, args.command, { env, signal }) };
    }),
  render: () => "",
  exitCode: ({ code }) => code,
});

const COLLECT_MS = 60 * 60 * 1000;
