import { FLEET_ARGUMENT, RECIPE_OPTION, withFleets } from "../fleets/with-fleets.ts";
import { instanceTable } from "../fleets/words.ts";
import { defineCommand } from "../command.ts";

export const command = defineCommand({
  name: "fleet ps",
  summary: "List the instances of a fleet, with what each really runs",
  arguments: { fleet: FLEET_ARGUMENT },
  options: { recipe: RECIPE_OPTION },
  examples: [{ line: "fleet ps web", does: "Image, health and boot time of each, measured there" }],
  run: async ({ args, options, ...context }) => {
    const { fleetStatus } = await import("../../engine/fleet-status.ts");
    const { findFleet } = await import("../../engine/find-fleet.ts");
    return withFleets(context, options.recipe, async (parts) => fleetStatus(parts, findFleet(parts.records, args.fleet)));
  },
  render: (status, { terminal }) => (status.instances.length === 0 ? `${status.key} has no instances.\n` : instanceTable(status, terminal)),
});
