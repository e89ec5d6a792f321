import { FLEET_ARGUMENT, RECIPE_OPTION, withFleets } from "../fleets/with-fleets.ts";
import { BakehouseError } from "../../core/errors.ts";
import { defineCommand } from "../command.ts";

export const command = defineCommand({
  name: "fleet scale",
  summary: "Change how many instances a fleet has",
  description: `Holds until it is scaled again, whatever the recipe says; \`fleet scale FLEET recipe\` goes back to that. The slots with the highest
numbers go first. New ones get what the fleet is declared to run; during a rollout they are moved with the wave that is open, and every
percentage counts anew. \`fleet converge\` or \`fleet watch\` carries it out.`,
  arguments: {
    fleet: { ...FLEET_ARGUMENT, required: true, summary: "Name of a fleet" },
    size: { summary: "How many, from 1; `recipe`: as the recipe says", completes: "none" },
  },
  options: { recipe: RECIPE_OPTION },
  examples: [{ line: "fleet scale web 8", does: "Eight instances from now on" }],
  run: async ({ args, options, ...context }) => {
    const { scaleFleet } = await import("../../engine/scale-fleet.ts");
    const size = args.size === "recipe" ? undefined : Number(args.size);
    if (size !== undefined && !(Number.isInteger(size) && size >= 1 && size <= 1000))
      throw new BakehouseError("USAGE", `A fleet has from 1 to 1000 instances, and not ${JSON.stringify(args.size)}`, {
        hint: `bakehouse fleet scale ${args.fleet} 6`,
      });
    return withFleets(context, options.recipe, (parts) => scaleFleet(parts, args.fleet, size));
  },
  render: ({ key, before, size }, { terminal }) =>
    `${key}: ${before === size ? `${size}, as before` : `${before} → ${size}`}\n${terminal.colors.dim(`bakehouse fleet converge ${key}`)}\n`,
});
