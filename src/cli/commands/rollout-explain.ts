import { ROLLOUT_ARGUMENT, withFleets } from "../fleets/with-fleets.ts";
import { rolloutLines } from "../fleets/words.ts";
import { defineCommand } from "../command.ts";

export const command = defineCommand({
  name: "rollout explain",
  summary: "Say why a rollout is not going on, and what would make it",
  arguments: { rollout: ROLLOUT_ARGUMENT },
  examples: [{ line: "rollout explain web", does: "The newest of a fleet" }],
  run: async ({ args, ...context }) => {
    const { explainRollout } = await import("../../engine/explain-rollout.ts");
    return withFleets(context, undefined, (parts) => Promise.resolve(explainRollout(parts, args.rollout)));
  },
  render: ({ view, because, commands }, { terminal }) =>
    [
      rolloutLines(view, terminal),
      "\n",
      ...because.map((why) => `because ${why}\n`),
      ...commands.map((command) => `    ${terminal.colors.dim(command)}\n`),
    ].join(""),
});
