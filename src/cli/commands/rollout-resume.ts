import { ROLLOUT_ARGUMENT } from "../fleets/with-fleets.ts";
import { control, REASON_OPTION, renderCommanded } from "../fleets/control.ts";
import { defineCommand } from "../command.ts";

export const command = defineCommand({
  name: "rollout resume",
  summary: "Go on with a rollout that is paused or held",
  description: `What made it hold is asked again.`,
  arguments: { rollout: ROLLOUT_ARGUMENT },
  options: { reason: REASON_OPTION },
  examples: [{ line: "rollout resume web", does: "The newest of a fleet" }],
  run: async ({ args, options, ...context }) => control(context, { command: "resume", rollout: args.rollout, reason: options.reason }),
  render: renderCommanded,
});
