import { FLEET_ARGUMENT, RECIPE_OPTION, withFleets } from "../fleets/with-fleets.ts";
import { defineCommand } from "../command.ts";

export const command = defineCommand({
  name: "fleet logs",
  summary: "Show what instances of a fleet say",
  arguments: {
    fleet: { ...FLEET_ARGUMENT, required: true, summary: "Name of a fleet" },
    instance: { required: false, summary: "An instance or a slot; default every instance", completes: "none" },
  },
  options: {
    recipe: RECIPE_OPTION,
    unit: { short: "u", value: "unit", summary: "Only this systemd unit" },
    lines: { value: "count", type: "count", default: 50, summary: "How many of the newest lines of each" },
  },
  examples: [{ line: "fleet logs web web-3 --unit nginx", does: "What nginx of one instance says" }],
  run: async ({ args, options, ...context }) => {
    const { findInstances } = await import("../../engine/find-instances.ts");
    return withFleets(context, options.recipe, async (parts) => {
      const { provider, instances } = await findInstances(parts, args.fleet, args.instance);
      return {
        logs: await Promise.all(
          instances.map(async (id) => ({
            instance: id,
            lines: await provider.logs(id, { lines: options.lines, ...(options.unit === undefined ? {} : { unit: options.unit }) }),
          })),
        ),
      };
    });
  },
  render: ({ logs }, { terminal }) =>
    logs.map(({ instance, lines }) => lines.map((line) => `${terminal.colors.dim(instance)} ${line}\n`).join("")).join(""),
});
