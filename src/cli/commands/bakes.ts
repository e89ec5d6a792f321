import { shortDigest } from "../../core/digest.ts";
import type { BakeDetails, BakeSummary } from "../../engine/list-bakes.ts";
import type { CatalogBake } from "../../ports/catalog.ts";
import { defineCommand } from "../command.ts";
import { facts, formatAge, formatTime } from "../images/words.ts";
import { storeExists, withImages } from "../images/with-images.ts";
import type { Terminal } from "../terminal.ts";
import { formatBytes, formatDuration, table } from "../text.ts";

export const command = defineCommand({
  name: "bakes",
  summary: "List the bakes of this store, or show the steps of one",
  arguments: { bake: { required: false, summary: "Id of a bake, its beginning, or `last`: shows its steps", completes: "none" } },
  options: { limit: { value: "count", type: "count", default: 20, summary: "How many of the newest to list" } },
  examples: [
    { line: "bakes", does: "What was baked, when, and how it ended" },
    { line: "bakes last", does: "Each step of the last bake" },
  ],
  run: async ({ args, options, global, terminal }) => {
    const { listBakes, showBake } = await import("../../engine/list-bakes.ts");
    const { bake } = args;
    if (bake === undefined && !storeExists(global.store)) return { bakes: [] };
    return withImages(
      { global, terminal },
      async (parts): Promise<{ readonly bakes: readonly BakeSummary[]; readonly bake?: BakeDetails }> => {
        const catalog = await parts.catalog();
        if (bake === undefined) return { bakes: await listBakes(catalog, { limit: options.limit }) };
        return { bakes: [], bake: await showBake({ catalog, logs: await parts.logs() }, bake) };
      },
    );
  },
  render: ({ bakes, ...rest }, { terminal, global }) => {
    const one = "bake" in rest ? rest.bake : undefined;
    if (one !== undefined) return details(one, terminal);
    return bakes.length === 0 ? `Nothing was baked in ${global.store} yet.\n` : list(bakes, terminal);
  },
});

function list(bakes: readonly BakeSummary[], terminal: Terminal): string {
  const rows = bakes.map((bake) => [
    bake.id,
    bake.recipe,
    outcome(bake.outcome, terminal),
    formatAge(bake.startedAt),
    bake.durationMs === undefined ? "" : formatDuration(bake.durationMs),
    String(bake.hits),
    String(bake.baked),
    bake.by,
  ]);
  const columns = [
    { title: "bake" },
    { title: "recipe", minimum: 6 },
    { title: "outcome" },
    { title: "started" },
    { title: "time", align: "right" },
    { title: "hits", align: "right" },
    { title: "baked", align: "right" },
    { title: "by", minimum: 4 },
  ] as const;
  return table(columns, rows, { width: terminal.columns, styleTitle: terminal.colors.dim });
}

function details(bake: BakeDetails, terminal: Terminal): string {
  const { dim, green, red } = terminal.colors;
  const about = facts(
    [
      ["bake", bake.id],
      ["recipe", `${bake.recipe} ${dim(bake.file)}`],
      ["outcome", outcome(bake.outcome, terminal)],
      ["message", bake.message ?? ""],
      ["started", `${formatTime(bake.startedAt)} by ${bake.by}`],
      ["time", bake.durationMs === undefined ? "" : formatDuration(bake.durationMs)],
    ],
    terminal,
  );
  const words = { hit: dim("hit"), baked: green("baked"), failed: red("failed") };
  const rows = bake.steps.map((step) => [
    step.address,
    words[step.outcome],
    step.durationMs === 0 ? "" : formatDuration(step.durationMs),
    step.sizeBytes === undefined ? "" : formatBytes(step.sizeBytes),
    step.diffId === undefined ? "" : shortDigest(step.diffId),
    step.outcome === "hit" ? "" : (step.reason.split("\n")[0] ?? ""),
  ]);
  const columns = [
    { title: "step", minimum: 10 },
    { title: "" },
    { title: "time", align: "right" },
    { title: "size", align: "right" },
    { title: "layer" },
    { title: "why", minimum: 8 },
  ] as const;
  const steps = table(columns, rows, { width: terminal.columns, styleTitle: dim });
  return [about, steps, bake.hasLog ? `${dim(`bakehouse logs ${bake.id}`)} shows what they printed.\n` : ""]
    .filter((part) => part !== "")
    .join("\n");
}

function outcome(value: CatalogBake["outcome"], { colors }: Terminal): string {
  if (value === "completed") return colors.green(value);
  return value === "failed" || value === "died" ? colors.red(value) : colors.yellow(value);
}
