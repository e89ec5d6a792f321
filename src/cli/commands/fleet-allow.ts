import { BakehouseError } from "../../core/errors.ts";
import { short } from "../fleets/words.ts";
import { FLEET_ARGUMENT, RECIPE_OPTION, withFleets } from "../fleets/with-fleets.ts";
import { defineCommand } from "../command.ts";

export const command = defineCommand({
  name: "fleet allow",
  summary: "Take an image off the deny list of a fleet",
  description: `What a rollout halted over is on the list, so that nothing applies it again. The reason stands in the audit log.`,
  arguments: {
    fleet: { ...FLEET_ARGUMENT, required: true, summary: "Name of a fleet" },
    image: { summary: "Digest of the image, or its beginning", completes: "none" },
  },
  options: { recipe: RECIPE_OPTION, reason: { value: "text", summary: "Why (needed)", completes: "none" } },
  examples: [{ line: 'fleet allow web 1f0c9be2 --reason "it was the database"', does: "It may be rolled out again" }],
  run: async ({ args, options, ...context }) => {
    const { allowImage } = await import("../../engine/deny-image.ts");
    const { reason } = options;
    if (reason === undefined) throw new BakehouseError("USAGE", "--reason is missing", { hint: '--reason "why"' });
    return withFleets(context, options.recipe, (parts) => allowImage(parts, args.fleet, args.image, reason));
  },
  render: ({ key, digest }) => `${short(digest)} may be rolled out to ${key} again\n`,
});
