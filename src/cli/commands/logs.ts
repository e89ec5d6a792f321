import type { CellLogs } from "../../engine/cell-logs.ts";
import type { BakeLogText } from "../../engine/read-logs.ts";
import type { Cells } from "../../ports/cells.ts";
import { defineCommand, type CommandContext } from "../command.ts";
import { withImages } from "../images/with-images.ts";

export const command = defineCommand({
  name: "logs",
  summary: "Show what the steps of a bake printed, or the journal of a cell",
  arguments: { bake: { required: false, summary: "Id of the bake or its beginning (default: the last), or a cell", completes: "none" } },
  options: {
    step: { short: "s", value: "step", summary: "Only this step: base/apt, or apt" },
    unit: { short: "u", value: "unit", summary: "Of a cell: only this systemd unit" },
    lines: { value: "count", type: "count", default: 200, summary: "Of a cell: how many of the newest lines" },
    follow: { short: "f", summary: "Go on until the bake or cell ends" },
  },
  examples: [
    { line: "logs", does: "The last bake" },
    { line: "logs 20261122-1104 --step base/apt", does: "One step of an older one" },
    { line: "logs --follow", does: "A bake that runs in another terminal" },
    { line: "logs blue --unit nginx --follow", does: "What a unit of a cell says" },
  ],
  run: async ({ args, options, global, terminal, signal }) => {
    const { followLogs, readLogs } = await import("../../engine/read-logs.ts");
    const request = {
      ...(args.bake === undefined ? {} : { bake: args.bake }),
      ...(options.step === undefined ? {} : { step: options.step }),
    };
    return withImages({ global, terminal }, async (parts): Promise<BakeLogText | CellLogs> => {
      const cells = isBakeId(args.bake) && options.unit === undefined ? undefined : await parts.cells();
      if (cells !== undefined) return ofCell(cells, args.bake ?? "", options, { global, terminal, signal });
      const logs = await parts.logs();
      if (!options.follow) {
        const found = readLogs(logs, request);
        // on stderr: what follows in a pipe gets the lines of the log and nothing else
        if (found.lines.length === 0 && !global.json && !global.quiet)
          terminal.err(
            `Nothing was printed in bake ${found.bake}${options.step === undefined ? "" : ` by ${options.step}`}. A step that comes from the cache prints nothing.\n`,
          );
        return found;
      }
      const { setTimeout: sleep } = await import("node:timers/promises");
      const catalog = await parts.catalog();
      const followed = await followLogs(logs, {
        ...request,
        signal,
        pause: () => sleep(FOLLOW_MS, undefined, { signal }).catch(() => undefined),
        isRunning: async (bake) => (await catalog.bake(bake))?.outcome === "running",
        onLine: ({ step, line }) =>
          terminal.out(global.json ? `${JSON.stringify({ step, line })}\n` : text(step, line, options.step !== undefined)),
      });
      return { bake: followed.bake, file: logs.path(followed.bake), lines: [] };
    });
  },
  printsDocument: true,
  render: (found, { options }) =>
    "cell" in found
      ? found.lines.map((line) => `${line}\n`).join("")
      : found.lines.map(({ step, line }) => text(step, line, options.step !== undefined)).join(""),
});

/** Ids of bakes begin with a date; `last` and none at all are bakes, too. */
const isBakeId = (reference: string | undefined): boolean =>
  reference === undefined || reference === "last" || /^\d{8}(-|$)/.test(reference);

async function ofCell(
  cells: Cells,
  reference: string,
  { unit, lines, follow }: { readonly unit: string | undefined; readonly lines: number; readonly follow: boolean },
  { global, terminal, signal }: Pick<CommandContext<unknown, unknown>, "global" | "terminal" | "signal">,
): Promise<CellLogs> {
  const which = unit === undefined ? {} : { unit };
  const cell = cells.find(reference);
  if (!follow || !cell.isAlive()) {
    const { readCellLogs } = await import("../../engine/cell-logs.ts");
    const found = await readCellLogs(cells, reference, { lines, ...which });
    if (found.lines.length === 0 && !global.json && !global.quiet)
      terminal.err(
        `${found.cell} has printed nothing${unit === undefined ? "" : ` as ${unit}: bakehouse exec ${found.cell} -- systemctl lists its units`}.\n`,
      );
    return found;
  }
  const { followCell } = await import("../cells/follow.ts");
  await followCell(cell, {
    ...which,
    lines,
    signal,
    onLine: (line) => terminal.out(global.json ? `${JSON.stringify({ line })}\n` : `${line}\n`),
  });
  return { cell: cell.state.name, from: "journal", lines: [] };
}

/** Short enough to look live; asking costs a stat and a query. */
const FOLLOW_MS = 250;

const text = (step: string, line: string, onlyOne: boolean): string => (onlyOne || step === "" ? `${line}\n` : `${step}: ${line}\n`);
