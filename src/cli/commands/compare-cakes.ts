import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { mirrorText, type CakeFigures, type MirrorState } from "../../core/cakes/comparison.ts";
import { BakehouseError } from "../../core/errors.ts";
import type { BakedCake } from "../../engine/compare-cakes.ts";
import type { Bakehouse, LoadedRecipe, RunOptions } from "../../presets/create-bakehouse.ts";
import { defineCommand } from "../command.ts";
import { formatBytes, formatDuration, table } from "../text.ts";

export const command = defineCommand({
  name: "compare-cakes",
  summary: "Measure how long machines take that bake more or less beforehand",
  description: `Bakes every recipe of a folder (\`*.yaml\` that name a \`cake\`; missing locks are written), then launches each as cells, one machine at
a time, and measures from nothing to the first healthy answer. What is not baked is fetched at launch from a mirror made here, which gives on
what the mirror of this machine has; --slow-mirror and --broken-mirror add launches with one that is slow, or that breaks off in the middle of
every package. The payload of an app comes at full speed in all of them.`,
  arguments: { folder: { required: false, default: ".", summary: "Folder with the recipes", completes: "directory" } },
  options: {
    runs: { short: "n", value: "count", type: "count", default: 5, summary: "How often to launch each" },
    slowMirror: { value: "kB/s", type: "count", summary: "Also with a mirror that gives this many kilobytes a second" },
    brokenMirror: { summary: "Also with a mirror that breaks off" },
    path: { value: "path", default: "/", summary: "What a machine that is ready answers with a status below 400" },
    timeout: { value: "seconds", type: "count", default: 600, summary: "When to give a machine up" },
    report: { value: "file", default: "cakes.html", summary: "Where to write the page with the chart", completes: "file" },
  },
  examples: [
    { line: "compare-cakes examples/three-cakes", does: "Five launches of each" },
    { line: "compare-cakes examples/three-cakes --runs 3 --slow-mirror 500 --broken-mirror", does: "With worse mirrors, too" },
  ],
  reports: true,
  run: async ({ args, options, global, terminal, folder, env, signal, report }) => {
    const { checkSetup } = await import("../../adapters/host-tools/check-setup.ts");
    checkSetup(["core", "cells"]);
    const { createBakehouse } = await import("../../presets/create-bakehouse.ts");
    const bakehouse = createBakehouse({ store: global.store, env, warn: (message) => terminal.err(`${message}\n`) });
    try {
      const recipes = recipesIn(bakehouse, resolve(folder, args.folder), args.folder);
      const cakes: BakedCake[] = [];
      for (const loaded of recipes) cakes.push(await baked(bakehouse, loaded, { signal, onEvent: report }));
      const { parts } = bakehouse;
      const upstreams = Object.fromEntries(
        (await parts.mirrors((recipes[0] as LoadedRecipe).recipe)).flatMap(({ name, bases: [base] }) =>
          base === undefined ? [] : [[name, base]],
        ),
      );
      const { compareCakes } = await import("../../engine/compare-cakes.ts");
      const { launchMirrors } = await import("../../adapters/launch-mirror/index.ts");
      const { setTimeout: sleep } = await import("node:timers/promises");
      const cells = await parts.cells();
      await cells.tidy();
      const comparison = await compareCakes(
        {
          store: parts.store,
          cells,
          clock: parts.clock,
          mirrors: launchMirrors(upstreams),
          readBlob: (blob) => readFileSync(parts.store.blobs.path(blob)),
          pause: (ms) => sleep(ms),
        },
        cakes,
        {
          runs: options.runs,
          mirrors: mirrorsOf(options.slowMirror, options.brokenMirror),
          url: `http://127.0.0.1${options.path.startsWith("/") ? "" : "/"}${options.path}`,
          timeoutMs: options.timeout * 1000,
          signal,
          onLaunch: ({ recipe, mirror, run }) => {
            if (global.quiet || global.json) return;
            terminal.err(
              run === 0
                ? `${recipe}: once uncounted, for the mirror to be warm\n`
                : `${recipe}, ${mirrorText(mirror)}: ${run} of ${options.runs}\n`,
            );
          },
        },
      );
      const { comparisonPage } = await import("../../core/cakes/page.ts");
      const file = resolve(folder, options.report);
      writeFileSync(file, comparisonPage(comparison));
      return { ...comparison, report: file };
    } finally {
      await bakehouse.close();
    }
  },
  render: ({ figures, report }, { terminal }) => {
    const { dim, red, bold } = terminal.colors;
    const rows = figures.map((each) => [
      each.cake,
      mirrorText(each.mirror),
      time(each.medianMs),
      time(each.p95Ms),
      formatBytes(each.fetchedBytes),
      each.failures === 0 ? "" : red(`${each.failures} of ${each.runs.length}`),
    ]);
    const columns = [
      { title: "cake" },
      { title: "mirror", minimum: 8 },
      { title: "median", align: "right" },
      { title: "95 %", align: "right" },
      { title: "fetched", align: "right" },
      { title: "failed", align: "right" },
    ] as const;
    return `${table(columns, rows, { width: terminal.columns, styleTitle: dim })}\n${reasons(figures)}${bold("Chart:")} ${report}\n`;
  },
});

const time = (ms: number | undefined): string => (ms === undefined ? "never" : formatDuration(ms));

const reasons = (figures: readonly CakeFigures[]): string =>
  figures
    .flatMap(({ cake, mirror, runs }) =>
      [...new Set(runs.flatMap(({ failure }) => failure ?? []))].map((failure) => `${cake}, ${mirrorText(mirror)}: ${failure}\n`),
    )
    .join("");

const mirrorsOf = (slow: number | undefined, broken: boolean): readonly MirrorState[] => [
  { kind: "good" },
  ...(slow === undefined ? [] : [{ kind: "slow", kBPerSecond: slow } as const]),
  ...(broken ? [{ kind: "broken" } as const] : []),
];

/** In the order in which more is baked: the argument reads from the best to the worst. */
const ORDER = ["baked", "software", "boot"] as const;

function recipesIn(bakehouse: Bakehouse, folder: string, shownAs: string): readonly LoadedRecipe[] {
  const files = filesIn(folder, shownAs).filter((name) => name.endsWith(".yaml"));
  const named = files.filter((name) => /^cake:/m.test(readFileSync(join(folder, name), "utf8")));
  if (named.length === 0)
    throw new BakehouseError("RECIPE_NOT_FOUND", `${shownAs} has no recipe that names a cake`, {
      hint: "bakehouse compare-cakes examples/three-cakes, or add `cake: baked`, `cake: software` and `cake: boot` to copies of yours",
    });
  return named
    .map((name) => bakehouse.load(join(folder, name)))
    .sort((a, b) => ORDER.indexOf(a.recipe.cake) - ORDER.indexOf(b.recipe.cake));
}

function filesIn(folder: string, shownAs: string): readonly string[] {
  try {
    return readdirSync(folder);
  } catch (error) {
    throw new BakehouseError("RECIPE_NOT_FOUND", `There is no folder ${shownAs}`, { hint: "name a folder with recipes" }, error);
  }
}

async function baked(bakehouse: Bakehouse, loaded: LoadedRecipe, options: RunOptions): Promise<BakedCake> {
  const bake = async (): Promise<BakedCake> => {
    const { images } = await bakehouse.bake(loaded, options);
    return { recipe: loaded.recipe.name, cake: loaded.recipe.cake, top: images.at(-1)?.digest ?? "" };
  };
  try {
    return await bake();
  } catch (error) {
    if (!(error instanceof BakehouseError) || (error.code !== "LOCK_MISSING" && error.code !== "LOCK_STALE")) throw error;
    await bakehouse.lock(loaded, options);
    return bake();
  }
}
