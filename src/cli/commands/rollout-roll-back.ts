import { ROLLOUT_ARGUMENT } from "../fleets/with-fleets.ts";
import { control, REASON_OPTION, renderCommanded } from "../fleets/control.ts";
import { defineCommand } from "../command.ts";

export const command = defineCommand({
  name: "rollout roll-back",
  summary: "Bring everything that a rollout moved back to the image before",
  description: `With the same limits as on the way there.`,
  arguments: { rollout: ROLLOUT_ARGUMENT },
  options: { reason: REASON_OPTION },
  examples: [{ line: "rollout roll-back web", does: "Back to the image before" }],
  run: async ({ args, options, ...context }) => control(context, { command: "roll-back", rollout: args.rollout, reason: options.reason }),
  render: renderCommanded,
});
