import { FLEET_ARGUMENT, RECIPE_OPTION, withFleets } from "../fleets/with-fleets.ts";
import { count } from "../text.ts";
import { defineCommand } from "../command.ts";

export const command = defineCommand({
  name: "fleet dissolve",
  summary: "End every instance of a fleet, and forget the fleet",
  description: `Its load balancer ends, too. The records of its rollouts stay. Machines that were given, and not made, only lose what Bakehouse knows of them.`,
  arguments: { fleet: { ...FLEET_ARGUMENT, required: true, summary: "Name of a fleet" } },
  options: { recipe: RECIPE_OPTION },
  examples: [{ line: "fleet dissolve web", does: "Nothing of it runs any more" }],
  run: async ({ args, options, ...context }) => {
    const { dissolveFleet } = await import("../../engine/dissolve-fleet.ts");
    return withFleets(context, options.recipe, (parts) => dissolveFleet(parts, args.fleet));
  },
  render: ({ key, ended }) => `${key}: ${count(ended.length, "instance")} ended\n`,
});
