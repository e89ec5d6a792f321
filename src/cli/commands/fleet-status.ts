import { FLEET_ARGUMENT, RECIPE_OPTION, withFleets } from "../fleets/with-fleets.ts";
import { fleetLines } from "../fleets/words.ts";
import { defineCommand } from "../command.ts";
import { storeExists } from "../images/with-images.ts";

export const command = defineCommand({
  name: "fleet status",
  summary: "Show how fleets stand: what runs, what is wrong, what is next",
  description: `Every instance is asked: what it runs is measured there, and shown as a conflict when the provider says something else.`,
  arguments: { fleet: { ...FLEET_ARGUMENT, summary: "Name of a fleet; default all" } },
  options: { recipe: RECIPE_OPTION },
  examples: [
    { line: "fleet status", does: "Every fleet of the store" },
    { line: "fleet status web --json", does: "One, with every instance, for programs" },
  ],
  run: async ({ args, options, ...context }) => {
    if (!storeExists(context.global.store)) return { fleets: [] };
    const { fleetStatus } = await import("../../engine/fleet-status.ts");
    const { findFleet } = await import("../../engine/find-fleet.ts");
    return withFleets(context, options.recipe, async (parts) => {
      const fleets = args.fleet === undefined ? parts.records.fleets() : [findFleet(parts.records, args.fleet)];
      return { fleets: await Promise.all(fleets.map((fleet) => fleetStatus(parts, fleet))) };
    });
  },
  render: ({ fleets }, { terminal }) =>
    fleets.length === 0
      ? "No fleets. A recipe declares them with `fleets:`.\n"
      : fleets.map((status) => fleetLines(status, terminal)).join("\n"),
});
