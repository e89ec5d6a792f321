import { FLEET_ARGUMENT, RECIPE_OPTION, withFleets } from "../fleets/with-fleets.ts";
import { planLines } from "../fleets/words.ts";
import { defineCommand } from "../command.ts";
import { IMAGE_OPTIONS, imageOptions } from "../fleets/image-options.ts";

export const command = defineCommand({
  name: "rollout plan",
  summary: "Show how a fleet would come to an image, before anything happens",
  description: `Waves with the instances in each, how many are left of each zone at the worst moment, limits, gates, whether instances change in place or
are replaced and why, and what makes it impossible. The hash stands for all of it: approvals name it, and a changed plan has another.`,
  arguments: { fleet: FLEET_ARGUMENT },
  options: { recipe: RECIPE_OPTION, ...IMAGE_OPTIONS },
  examples: [
    { line: "rollout plan web", does: "To the image that its channel points to" },
    { line: "rollout plan web --image shop/release", does: "To another one" },
  ],
  run: async ({ args, options, ...context }) => {
    const { planFleetRollout } = await import("../../engine/plan-fleet-rollout.ts");
    return withFleets(context, options.recipe, (parts) => planFleetRollout(parts, imageOptions(args.fleet, options)));
  },
  render: (plan, { terminal, args, options: { image, back, salt } }) => {
    const given = Object.entries({ image, back, salt }).map(([name, value]) => (value === undefined ? "" : ` --${name} ${value}`));
    const fleet = args.fleet ?? `${plan.fleet.recipe}/${plan.fleet.fleet.name}`;
    return `${planLines(plan, terminal)}${terminal.colors.dim(`bakehouse rollout start ${fleet}${given.join("")} --plan ${plan.hash}`)}\n`;
  },
});
