import { announce } from "../cycle/announce.ts";
import { ROLLOUT_ARGUMENT, withFleets } from "../fleets/with-fleets.ts";
import { liveRollout } from "../fleets/live.ts";
import { rolloutExitCode, rolloutLines } from "../fleets/words.ts";
import { defineCommand } from "../command.ts";

export const command = defineCommand({
  name: "rollout watch",
  summary: "Show a rollout while it goes on",
  description:
    "Exit code 1 when it ended without the fleet being on the image, or stopped by itself; 4 when it waits for approvals or was paused.",
  arguments: { rollout: ROLLOUT_ARGUMENT },
  options: { carry: { summary: "Carry it on, if nobody does" } },
  examples: [
    { line: "rollout watch", does: "The newest" },
    { line: "rollout watch web --carry", does: "Go on with it after its process was ended" },
  ],
  run: async ({ args, options, signal, ...context }) => {
    const { followRollout } = await import("../../engine/follow-rollout.ts");
    const { findRollout } = await import("../../engine/find-fleet.ts");
    const { terminal, global } = context;
    const result = await withFleets(context, undefined, async (parts) => {
      const { id, fleet } = findRollout(parts.records, args.rollout);
      const live = liveRollout(terminal, { quiet: global.quiet || global.json });
      const view = await followRollout(parts, { id, signal, carries: options.carry, onView: live.show });
      live.end();
      return { ...view, carried: parts.records.carrier(fleet) !== undefined };
    });
    if (options.carry) await announce({ ...context, signal });
    return result;
  },
  render: (view, { terminal }) =>
    `${rolloutLines(view, terminal)}${view.over || view.carried ? "" : terminal.colors.dim(`Nobody carries it on: bakehouse rollout watch ${view.id} --carry\n`)}`,
  exitCode: (view) => rolloutExitCode(view),
});
