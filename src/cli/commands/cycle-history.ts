import { describeCause } from "../../core/cycle/decide.ts";
import { shortDigest } from "../../core/digest.ts";
import { BakehouseError } from "../../core/errors.ts";
import type { CycleRun, RunStage } from "../../ports/cycle-records.ts";
import { defineCommand } from "../command.ts";
import { outcomeWord } from "../cycle/words.ts";
import { withCycles } from "../cycle/with-cycles.ts";
import { storeExists } from "../images/with-images.ts";
import { facts, formatAge, formatTime } from "../images/words.ts";
import type { Terminal } from "../terminal.ts";
import { formatDuration, table } from "../text.ts";

export const command = defineCommand({
  name: "cycle history",
  summary: "List the runs of cycles, or show the stages of one",
  arguments: { run: { required: false, completes: "none", summary: "Id of a run, its beginning, or `last`: shows its stages" } },
  options: { limit: { value: "count", type: "count", default: 20, summary: "How many of the newest to list" } },
  examples: [
    { line: "cycle history", does: "The runs of all cycles of this store, newest first" },
    { line: "cycle history last", does: "The stages of the last run, and what each found" },
  ],
  run: async ({ args, options, global, terminal, env, report }) => {
    if (!storeExists(global.store) && args.run === undefined) return { runs: [] };
    return withCycles({ global, terminal, env, report }, async (cycles) => {
      const records = cycles.parts.records();
      if (args.run === undefined) return { runs: await records.runs({ limit: options.limit }) };
      const run = findRun(await records.runs({ limit: 10_000 }), args.run);
      return { runs: [run], stages: await records.stages(run.id) };
    });
  },
  render: (data, { terminal, global }) => {
    const [first] = data.runs;
    if ("stages" in data && first !== undefined) return details(first, data.stages, terminal);
    return data.runs.length === 0 ? `No cycle has run in ${global.store} yet.\n` : list(data.runs, terminal);
  },
});

type ListedRun = CycleRun & { readonly alive: boolean };

/** @throws CYCLE_NOT_FOUND */
function findRun(runs: readonly ListedRun[], id: string): ListedRun {
  const found = id === "last" ? runs.slice(0, 1) : runs.filter((run) => run.id.startsWith(id));
  const [run] = found;
  if (found.length === 1 && run !== undefined) return run;
  throw new BakehouseError(
    "CYCLE_NOT_FOUND",
    found.length === 0
      ? `No run of a cycle has the id ${JSON.stringify(id)}`
      : `${found.length} runs have ids that begin with ${JSON.stringify(id)}`,
    { hint: "bakehouse cycle history" },
  );
}

/** `died`: nobody is at it any more, and the next run goes on with it. */
const wordOf = (run: ListedRun, { colors }: Terminal): string =>
  run.outcome === "running" && !run.alive ? colors.red("died") : outcomeWord(run.outcome, colors);

function list(runs: readonly ListedRun[], terminal: Terminal): string {
  const rows = runs.map((run) => [
    run.id,
    run.recipe,
    wordOf(run, terminal),
    formatAge(run.startedAt),
    run.endedAt === undefined ? "" : formatDuration(Date.parse(run.endedAt) - Date.parse(run.startedAt)),
    run.candidates.map(({ digest }) => shortDigest(digest)).join(" "),
    run.channel ?? "",
    run.message?.split("\n")[0] ?? run.causes.map(describeCause).join("; "),
  ]);
  const columns = [
    { title: "run" },
    { title: "recipe", minimum: 6 },
    { title: "outcome" },
    { title: "started" },
    { title: "time", align: "right" },
    { title: "image" },
    { title: "channel" },
    { title: "why", minimum: 10 },
  ] as const;
  return table(columns, rows, { width: terminal.columns, styleTitle: terminal.colors.dim });
}

function details(run: ListedRun, stages: readonly RunStage[], terminal: Terminal): string {
  const about = facts(
    [
      ["run", run.id],
      ["recipe", `${run.recipe} ${terminal.colors.dim(run.file)}`],
      ["outcome", wordOf(run, terminal)],
      ["message", run.message ?? ""],
      ["because of", run.causes.map(describeCause).join("\n")],
      [
        "started",
        `${formatTime(run.startedAt)} by ${run.by}${run.resumed === 0 ? "" : `, gone on with ${run.resumed === 1 ? "once" : `${run.resumed} times`}`}`,
      ],
      ["images", run.candidates.map(({ name, digest }) => `${name} ${digest}`).join("\n")],
      ["channel", run.channel ?? ""],
    ],
    terminal,
  );
  const rows = stages.map((stage) => [
    stage.stage,
    stage.outcome === "failed" ? terminal.colors.red("failed") : stage.outcome,
    stage.endedAt === undefined ? "" : formatDuration(Date.parse(stage.endedAt) - Date.parse(stage.startedAt)),
    foundBy(stage),
  ]);
  const columns = [{ title: "stage" }, { title: "" }, { title: "time", align: "right" }, { title: "found", minimum: 10 }] as const;
  return `${about}\n${table(columns, rows, { width: terminal.columns, styleTitle: terminal.colors.dim })}`;
}

function foundBy({ data }: RunStage): string {
  if (typeof data !== "object" || data === null) return data === null ? "" : String(data);
  if ("message" in data) return String(data["message"]).split("\n")[0] ?? "";
  if ("changes" in data && Array.isArray(data["changes"]))
    return data["changes"].length === 0 ? "nothing newer" : data["changes"].map((line) => String(line).trim()).join("; ");
  if ("known" in data) return data["known"] === true ? "the same images as before" : "new images";
  return "";
}
