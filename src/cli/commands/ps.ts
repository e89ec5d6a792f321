import { shortDigest } from "../../core/digest.ts";
import type { ShownCell } from "../../engine/run-cell.ts";
import { defineCommand } from "../command.ts";
import { formatAge } from "../images/words.ts";
import { storeExists, withImages } from "../images/with-images.ts";
import type { Terminal } from "../terminal.ts";
import { formatDuration, table } from "../text.ts";

export const command = defineCommand({
  name: "ps",
  summary: "List the cells of this store, the oldest first",
  description: `A cell that ended by itself stays in the list for a day, for its logs, or until \`bakehouse stop\` takes it away.`,
  examples: [{ line: "ps", does: "What runs, and where it can be reached" }],
  run: async ({ global, terminal }) => {
    if (!storeExists(global.store)) return { cells: [] };
    const { listCells } = await import("../../engine/run-cell.ts");
    return withImages({ global, terminal }, async (parts) => ({ cells: await listCells({ cells: await parts.cells() }) }));
  },
  render: ({ cells }, { terminal }) => {
    if (cells.length === 0) return "No cell runs.\n";
    const rows = cells.map((cell) => [
      cell.name,
      cell.id,
      cell.image.name,
      shortDigest(cell.image.digest),
      status(cell, terminal),
      cell.publish.map(({ hostPort, cellPort }) => `${hostPort}→${cellPort}`).join(" "),
      formatAge(cell.startedAt),
      cell.bootMs === undefined ? "" : formatDuration(cell.bootMs),
    ]);
    const columns = [
      { title: "cell", minimum: 8 },
      { title: "id" },
      { title: "image", minimum: 8 },
      { title: "digest" },
      { title: "status" },
      { title: "ports", minimum: 8 },
      { title: "started" },
      { title: "boot", align: "right" },
    ] as const;
    return table(columns, rows, { width: terminal.columns, styleTitle: terminal.colors.dim });
  },
});

function status({ status: word, failed }: ShownCell, { colors }: Terminal): string {
  if (word === "running") return colors.green(word);
  return word === "died" ? colors.red(word) : colors.yellow(failed.length === 0 ? word : `${word}: ${failed.join(", ")}`);
}
