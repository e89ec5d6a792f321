import { BakehouseError } from "../../core/errors.ts";
import { AS_OPTION } from "../fleets/control.ts";
import { stopText } from "../fleets/words.ts";
import { withFleets } from "../fleets/with-fleets.ts";
import { defineCommand } from "../command.ts";

export const command = defineCommand({
  name: "line release",
  summary: "Let rollouts go on that a stop holds up",
  arguments: { stop: { summary: "Id of the stop: stop-1", completes: "none" } },
  options: { reason: { value: "text", summary: "Why (needed)", completes: "none" }, as: AS_OPTION },
  examples: [{ line: 'line release stop-1 --reason "payment is back"', does: "Rollouts go on at once" }],
  run: async ({ args, options, ...context }) => {
    const { releaseLine } = await import("../../engine/stop-line.ts");
    const { reason, as } = options;
    if (reason === undefined) throw new BakehouseError("USAGE", "--reason is missing", { hint: '--reason "it is mended"' });
    return withFleets(context, undefined, (parts) => releaseLine(parts, args.stop, reason, as));
  },
  render: (stop, { terminal }) => `${stopText(stop, terminal.colors)}\n`,
});
