import { BakehouseError } from "../../core/errors.ts";
import { short } from "../fleets/words.ts";
import { FLEET_ARGUMENT, RECIPE_OPTION, withFleets } from "../fleets/with-fleets.ts";
import { defineCommand } from "../command.ts";

export const command = defineCommand({
  name: "fleet deny",
  summary: "Put an image on the deny list of a fleet, so that nothing applies it",
  arguments: {
    fleet: { ...FLEET_ARGUMENT, required: true, summary: "Name of a fleet" },
    image: { summary: "Name or digest of the image", completes: "none" },
  },
  options: { recipe: RECIPE_OPTION, reason: { value: "text", summary: "Why (needed)", completes: "none" } },
  examples: [{ line: 'fleet deny web shop/release --reason "leaks memory"', does: "No rollout takes it" }],
  run: async ({ args, options, ...context }) => {
    const { denyImage } = await import("../../engine/deny-image.ts");
    const { reason } = options;
    if (reason === undefined) throw new BakehouseError("USAGE", "--reason is missing", { hint: '--reason "why"' });
    return withFleets(context, options.recipe, (parts) => denyImage(parts, args.fleet, args.image, reason));
  },
  render: ({ key, digest }) => `${short(digest)} is not applied to ${key} any more\n`,
});
