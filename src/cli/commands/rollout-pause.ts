import { ROLLOUT_ARGUMENT } from "../fleets/with-fleets.ts";
import { control, REASON_OPTION, renderCommanded } from "../fleets/control.ts";
import { defineCommand } from "../command.ts";

export const command = defineCommand({
  name: "rollout pause",
  summary: "Begin nothing new in a rollout until it is resumed",
  description: `What is under way is finished. Soaks go on.`,
  arguments: { rollout: ROLLOUT_ARGUMENT },
  options: { reason: REASON_OPTION },
  examples: [{ line: "rollout pause web", does: "The newest of a fleet" }],
  run: async ({ args, options, ...context }) => control(context, { command: "pause", rollout: args.rollout, reason: options.reason }),
  render: renderCommanded,
});
