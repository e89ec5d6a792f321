import { ROLLOUT_ARGUMENT } from "../fleets/with-fleets.ts";
import { control, REASON_OPTION, renderCommanded } from "../fleets/control.ts";
import { defineCommand } from "../command.ts";

export const command = defineCommand({
  name: "rollout retry",
  summary: "Move instances again that failed or were silent",
  description: `They join the wave that is open.`,
  arguments: { rollout: ROLLOUT_ARGUMENT },
  options: { reason: REASON_OPTION },
  examples: [{ line: "rollout retry web", does: "Those of the newest rollout" }],
  run: async ({ args, options, ...context }) =>
    control(context, { command: "retry-failed", rollout: args.rollout, reason: options.reason }),
  render: renderCommanded,
});
