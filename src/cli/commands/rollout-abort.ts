import { ROLLOUT_ARGUMENT } from "../fleets/with-fleets.ts";
import { control, REASON_OPTION, renderCommanded } from "../fleets/control.ts";
import { defineCommand } from "../command.ts";

export const command = defineCommand({
  name: "rollout abort",
  summary: "Give a rollout up, and leave every instance as it is",
  description: `The fleet may run two images then: \`fleet status\` shows which. To go back instead: \`rollout roll-back\`.`,
  arguments: { rollout: ROLLOUT_ARGUMENT },
  options: { reason: REASON_OPTION },
  examples: [{ line: 'rollout abort web --reason "wrong image"', does: "Leave it as it is" }],
  run: async ({ args, options, ...context }) => control(context, { command: "abort", rollout: args.rollout, reason: options.reason }),
  render: renderCommanded,
});
