import { BakehouseError } from "../../core/errors.ts";
import { defineCommand } from "../command.ts";
import { withImages } from "../images/with-images.ts";

export const command = defineCommand({
  name: "stop",
  summary: "End cells, and remove what is left of them",
  description: `A cell is asked to power off, and after 20 seconds it is ended. With --now it is ended at once.`,
  arguments: { cells: { required: false, many: true, summary: "Names or ids of cells", completes: "none" } },
  options: {
    all: { summary: "Every cell of the store" },
    now: { summary: "At once, without asking its services to end" },
  },
  examples: [
    { line: "stop blue", does: "One" },
    { line: "stop --all --now", does: "All of them, quickly" },
  ],
  run: async ({ args, options, global, terminal }) => {
    const references = args.cells ?? [];
    if (options.all === references.length > 0)
      throw new BakehouseError("USAGE", options.all ? "Name cells, or give --all, but not both" : "Which cell?", {
        hint: "bakehouse ps   (shows all)",
      });
    return withImages({ global, terminal }, async (parts) => {
      const cells = await parts.cells();
      const found = options.all ? cells.all() : references.map((reference) => cells.find(reference));
      const stopped = await Promise.all(
        found.map(async (cell) => {
          const { id, name } = cell.state;
          await cell.stop(options.now ? { now: true } : {});
          return { id, name };
        }),
      );
      await cells.tidy();
      return { stopped };
    });
  },
  render: ({ stopped }) => (stopped.length === 0 ? "No cell runs.\n" : `Stopped: ${stopped.map(({ name }) => name).join(", ")}\n`),
});
