import { stopText } from "../fleets/words.ts";
import { withFleets } from "../fleets/with-fleets.ts";
import { defineCommand } from "../command.ts";
import { storeExists } from "../images/with-images.ts";

export const command = defineCommand({
  name: "line list",
  summary: "List where the line is stopped, by whom and why",
  options: { all: { summary: "Also stops that are over" } },
  examples: [{ line: "line list --all", does: "Every stop that there was" }],
  run: async ({ options, ...context }) => {
    if (!storeExists(context.global.store)) return { stops: [] };
    const { isHeld } = await import("../../engine/line-stops.ts");
    return withFleets(context, undefined, (parts) =>
      Promise.resolve({ stops: parts.records.stops().filter((stop) => options.all || isHeld(stop, parts.clock.now())) }),
    );
  },
  render: ({ stops }, { terminal }) =>
    stops.length === 0 ? "The line is not stopped.\n" : stops.map((stop) => `${stopText(stop, terminal.colors)}\n`).join(""),
});
