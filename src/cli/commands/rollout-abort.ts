import { ROLLOUT_ARGUMENT, withFleets } from "../fleets/with-fleets.ts";
import { control, REASON_OPTION, renderCommanded } from "../fleets/control.ts";
import { defineCommand } from "../command.ts";

export const command = defineCommand({
  name: "rollout abort",
  summary: "Give a rollout up, and leave every instance as it is",
  description: `The fleet may run two images then: \`fleet status\` shows which. To go back instead: \`rollout roll-back\`.`,
  arguments: { rollout: ROLLOUT_ARGUMENT },
  options: { reason: REASON_OPTION },
  examples: [{ line: 'rollout abort web --reason "wrong image"', does: "Leave it as it is" }],
  run: async ({ args, options, ...context }) => {
    const given = await control(context, { command: "abort", rollout: args.rollout, reason: options.reason });
    if (given.carried) return given;
    // nobody carries it on: what is under way is little, and then it is over
    const { followRollout } = await import("../../engine/follow-rollout.ts");
    const view = await withFleets(context, undefined, (parts) =>
      followRollout(parts, { id: given.view.id, signal: context.signal, carries: true, onView: () => undefined }),
    );
    return { ...given, view, pending: [] };
  },
  render: renderCommanded,
});
