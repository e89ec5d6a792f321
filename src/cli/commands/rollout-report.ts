import { writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { BakehouseError } from "../../core/errors.ts";
import { ROLLOUT_ARGUMENT, withFleets } from "../fleets/with-fleets.ts";
import { defineCommand } from "../command.ts";

export const command = defineCommand({
  name: "rollout report",
  summary: "Write how a rollout went: Markdown or HTML, with a timeline",
  description: `Made from the rollout's own record: the plan, every change with its time and reason, gates with their verdicts, commands and who gave them,
which instances failed and why, and how long halting and going back took.`,
  arguments: { rollout: ROLLOUT_ARGUMENT },
  options: {
    format: { value: "format", choices: ["markdown", "html"], default: "markdown", summary: "How it is written" },
    output: { short: "o", value: "file", summary: "Write it to this file", completes: "file" },
  },
  examples: [
    { line: "rollout report web", does: "The newest of a fleet, as Markdown" },
    { line: "rollout report web-r3 --format html --output web-r3.html", does: "One page that needs nothing else" },
  ],
  printsDocument: true,
  run: async ({ args, options, ...context }) => {
    const { reportRollout } = await import("../../engine/report-rollout.ts");
    const text = await withFleets(context, undefined, (parts) => Promise.resolve(reportRollout(parts, args.rollout, options.format)));
    if (options.output === undefined) return { text };
    const file = resolve(context.folder, options.output);
    try {
      writeFileSync(file, text);
    } catch (error) {
      throw new BakehouseError(
        "INPUT_INVALID",
        `${file} cannot be written: ${(error as Error).message}`,
        { hint: "name another: --output FILE" },
        error,
      );
    }
    return { text, file };
  },
  render: (report) => ("file" in report ? `${report.file}\n` : report.text),
});
