import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import {
  LAUNCH_PLATFORMS,
  mirrorText,
  platformText,
  type CakeComparison,
  type CakeFigures,
  type LaunchPlatformName,
  type MirrorState,
} from "../../core/cakes/comparison.ts";
import { BakehouseError } from "../../core/errors.ts";
import type { BakedCake, CompareCakesOptions } from "../../engine/compare-cakes.ts";
import type { LaunchPlatform } from "../../engine/launch-platforms.ts";
import type { Bakehouse, LoadedRecipe, RunOptions } from "../../presets/create-bakehouse.ts";
import { defineCommand } from "../command.ts";
import { formatBytes, formatDuration, table } from "../text.ts";

export const command = defineCommand({
  name: "compare-cakes",
  summary: "Measure how long machines take that bake more or less beforehand",
  description: `Bakes every recipe of a folder (\`*.yaml\` that name a \`cake\`; missing locks are written), then launches each as cells and as virtual machines,
one machine at a time, and measures from nothing to the first healthy answer. A virtual machine starts with the kernel of its image, so the
foundations need one. What is not baked is fetched at launch from a mirror made here, which gives on what the mirror of this machine has;
--slow-mirror and --broken-mirror add launches with one that is slow, or that breaks off in the middle of every package. The payload of an app
comes at full speed in all of them. Nothing else can be reached.`,
  arguments: { folder: { required: false, default: ".", summary: "Folder with the recipes", completes: "directory" } },
  options: {
    as: { value: "platform", choices: LAUNCH_PLATFORMS, summary: "Only as cells, or only as virtual machines" },
    runs: { short: "n", value: "count", type: "count", summary: "How often to launch each (default: 5 times as a cell, once as a vm)" },
    slowMirror: { value: "kB/s", type: "count", summary: "Also with a mirror that gives this many kilobytes a second" },
    brokenMirror: { summary: "Also with a mirror that breaks off" },
    path: { value: "path", default: "/", summary: "What a machine that is ready answers with a status below 400" },
    timeout: { value: "seconds", type: "count", default: 600, summary: "When to give a machine up" },
    report: { value: "file", default: "cakes.html", summary: "Where to write the page with the chart", completes: "file" },
  },
  examples: [
    { line: "compare-cakes examples/three-cakes", does: "Five launches of each as a cell, one as a virtual machine" },
    { line: "compare-cakes examples/three-cakes --as cell --runs 3 --slow-mirror 500 --broken-mirror", does: "With worse mirrors, too" },
  ],
  reports: true,
  run: async ({ args, options, global, terminal, folder, env, signal, report }) => {
    const { checkSetup } = await import("../../adapters/host-tools/check-setup.ts");
    const as = options.as === undefined ? LAUNCH_PLATFORMS : ([options.as] as const);
    checkSetup(["core", ...(as.includes("cell") ? (["cells"] as const) : []), ...(as.includes("vm") ? (["machines"] as const) : [])]);
    const { createBakehouse } = await import("../../presets/create-bakehouse.ts");
    const bakehouse = createBakehouse({ store: global.store, env, warn: (message) => terminal.err(`${message}\n`) });
    try {
      const recipes = recipesIn(bakehouse, resolve(folder, args.folder), args.folder);
      const cakes: BakedCake[] = [];
      for (const loaded of recipes) cakes.push(await baked(bakehouse, loaded, { signal, onEvent: report }));
      const runsOn = (platform: LaunchPlatformName): number => options.runs ?? DEFAULT_RUNS[platform];
      const comparison = await compared(bakehouse, recipes[0] as LoadedRecipe, cakes, as, {
        runsOn,
        mirrors: mirrorsOf(options.slowMirror, options.brokenMirror),
        path: `${options.path.startsWith("/") ? "" : "/"}${options.path}`,
        timeoutMs: options.timeout * 1000,
        signal,
        onLaunch: ({ recipe, platform, mirror, run }) => {
          if (global.quiet || global.json) return;
          terminal.err(
            run === 0
              ? `${recipe}: once uncounted, for the mirror to be warm\n`
              : `${recipe} as a ${platformText(platform)}, ${mirrorText(mirror)}: ${run} of ${runsOn(platform)}\n`,
          );
        },
      });
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
      each.platform,
      mirrorText(each.mirror),
      time(each.medianMs),
      time(each.p95Ms),
      formatBytes(each.fetchedBytes),
      each.failures === 0 ? "" : red(`${each.failures} of ${each.runs.length}`),
    ]);
    const columns = [
      { title: "cake" },
      { title: "as" },
      { title: "mirror", minimum: 8 },
      { title: "median", align: "right" },
      { title: "95 %", align: "right" },
      { title: "fetched", align: "right" },
      { title: "failed", align: "right" },
    ] as const;
    return `${table(columns, rows, { width: terminal.columns, styleTitle: dim })}\n${reasons(figures)}${bold("Chart:")} ${report}\n`;
  },
});

/** Without KVM, a virtual machine takes minutes of a processor where a cell takes seconds. */
const DEFAULT_RUNS: Readonly<Record<LaunchPlatformName, number>> = { cell: 5, vm: 1 };

async function compared(
  { parts }: Bakehouse,
  { recipe }: LoadedRecipe,
  cakes: readonly BakedCake[],
  as: readonly LaunchPlatformName[],
  options: CompareCakesOptions,
): Promise<CakeComparison> {
  const { compareCakes } = await import("../../engine/compare-cakes.ts");
  const { launchMirrors } = await import("../../adapters/launch-mirror/index.ts");
  const { setTimeout: sleep } = await import("node:timers/promises");
  const upstreams = (await parts.mirrors(recipe)).flatMap(({ name, bases: [base] }) => (base === undefined ? [] : [[name, base] as const]));
  const platforms: LaunchPlatform[] = [];
  try {
    for (const name of as) platforms.push(await openPlatform(parts, name));
    return await compareCakes(
      {
        store: parts.store,
        clock: parts.clock,
        mirrors: launchMirrors(Object.fromEntries(upstreams)),
        readBlob: (blob) => readFileSync(parts.store.blobs.path(blob)),
        pause: (ms) => sleep(ms),
      },
      platforms,
      cakes,
      options,
    );
  } finally {
    for (const platform of platforms) await platform.close();
  }
}

async function openPlatform(parts: Bakehouse["parts"], name: LaunchPlatformName): Promise<LaunchPlatform> {
  const { cellPlatform, machinePlatform } = await import("../../engine/launch-platforms.ts");
  if (name === "cell") {
    const cells = await parts.cells();
    await cells.tidy();
    return cellPlatform(cells);
  }
  return machinePlatform((await import("../../presets/image-machines.ts")).imageMachinesOf(parts.store));
}

const time = (ms: number | undefined): string => (ms === undefined ? "never" : formatDuration(ms));

const reasons = (figures: readonly CakeFigures[]): string =>
  figures
    .flatMap(({ cake, platform, mirror, runs }) =>
      [...new Set(runs.flatMap(({ failure }) => failure ?? []))].map(
        (failure) => `${cake} as a ${platformText(platform)}, ${mirrorText(mirror)}: ${failure}\n`,
      ),
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
