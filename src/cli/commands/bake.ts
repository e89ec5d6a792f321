import { BakehouseError } from "../../core/errors.ts";
import type { Happening } from "../../core/notices/notice.ts";
import type { BakeResult } from "../../engine/bake-input.ts";
import type { LookedInputs } from "../../engine/step-key.ts";
import type { Bakehouse, LoadedRecipe, RunOptions } from "../../presets/create-bakehouse.ts";
import { defineCommand } from "../command.ts";
import type { AnnounceContext } from "../cycle/announce.ts";
import { parameterOverrides, RECIPE_ARGUMENT, RECIPE_OPTIONS, warn } from "../recipe/recipe-options.ts";
import { bakeTable } from "../reporters/bake-table.ts";
import { formatDuration } from "../text.ts";

export const command = defineCommand({
  name: "bake",
  summary: "Bake what changed, from a recipe to images",
  description: `Takes every step whose inputs are the same as before from the cache, bakes the others, and assembles one image per layer.
A step that fails keeps everything before it; the same command goes on from there. Ctrl-C stops cleanly, a second one at once.`,
  arguments: { recipe: RECIPE_ARGUMENT },
  options: {
    ...RECIPE_OPTIONS,
    layer: { value: "name", many: true, summary: "Bake only this layer and what it stands on" },
    updateLock: { summary: "Write the lock first if it is missing or stale" },
    from: { value: "step", many: true, summary: "Bake this step (base/apt) and all on top of it again" },
    noCache: { summary: "Bake every step again" },
    keepOnFailure: { summary: "Keep the state that a failed step leaves, for `bakehouse shell --failed`" },
    runner: { value: "name", choices: ["bubblewrap", "runc"], default: "bubblewrap", summary: "What the steps run in" },
    parallel: { value: "count", type: "count", default: 2, summary: "Layers baked at the same time" },
    watch: { summary: "Go on: bake again when a file of the recipe's folder is saved" },
  },
  examples: [
    { line: "bake", does: "Bake the recipe of this folder" },
    { line: "bake examples/shop --layer base-app", does: "Only up to base-app" },
    { line: "bake --from base/apt --keep-on-failure", does: "Again from a step on, keeping what a failure leaves" },
    { line: "bake --watch", does: "Save a file, see the next digest" },
  ],
  reports: true,
  run: async ({ args, options, global, terminal, folder, env, signal, report }) => {
    const { checkSetup } = await import("../../adapters/host-tools/check-setup.ts");
    const parameters = parameterOverrides(options.set);
    let looked: LookedInputs | undefined;
    if (!options.noCache && !options.watch && !options.updateLock && options.from.length === 0) {
      const { unchangedBake } = await import("../../presets/unchanged-bake.ts");
      const unchanged = unchangedBake({
        store: global.store,
        path: args.recipe,
        from: folder,
        asked: { layers: options.layer, parameters },
      });
      if (unchanged.result !== undefined) return withWarnings(unchanged.result, { global, terminal });
      ({ looked } = unchanged);
    }
    const { createBakehouse } = await import("../../presets/create-bakehouse.ts");
    const bakehouse = createBakehouse({ store: global.store, env, warn: (message) => terminal.err(`${message}\n`) });
    try {
      const loadOptions = { from: folder, parameters };
      const loaded = bakehouse.load(args.recipe, loadOptions);
      if (!global.json && !global.quiet) warn(loaded, terminal);
      checkSetup(["core"]);
      if (options.updateLock) await bakehouse.lock(loaded, { signal, onEvent: report });
      const runOptions = {
        layers: options.layer,
        from: options.from,
        noCache: options.noCache,
        keepOnFailure: options.keepOnFailure,
        runner: options.runner,
        parallel: options.parallel,
        ...(looked === undefined ? {} : { looked }),
        signal,
        onEvent: report,
      };
      if (options.watch) {
        const { watchBake } = await import("../recipe/watch-bake.ts");
        return await watchBake({ bakehouse, path: args.recipe, loadOptions, runOptions, terminal, signal });
      }
      const result = await announcedBake(bakehouse, loaded, runOptions, { global, terminal, env, signal });
      return await withWarnings({ ...result, recipe: loaded.shownAs }, { global, terminal });
    } finally {
      await bakehouse.close();
    }
  },
  render: (result, { terminal, args }) => {
    const { bold, dim } = terminal.colors;
    if (result.images.length === 0) return "";
    const last = result.images.at(-1);
    const nothing = result.baked === 0;
    const summary = nothing
      ? `Nothing changed: the inputs of all ${result.hits} steps are the same as when they were baked (${formatDuration(result.durationMs)}).`
      : `Baked ${result.baked} of ${result.baked + result.hits} steps in ${formatDuration(result.durationMs)}.`;
    const recipe = args.recipe === "." ? "" : ` ${args.recipe}`;
    const next = last === undefined ? [] : [`bakehouse image show ${last.name}`, `bakehouse plan${recipe}`];
    return `${bakeTable(result.images, terminal)}\n${bold(summary)}\n${dim("Next:")} ${next.join(dim("  or  "))}\n`;
  },
});

async function withWarnings<Result extends Pick<BakeResult, "images">>(
  result: Result,
  { global, terminal }: Pick<AnnounceContext, "global" | "terminal">,
): Promise<Result> {
  if (global.json) return result;
  const { revokedAmong } = await import("../../presets/revoked-images.ts");
  for (const sentence of await revokedAmong(global.store, result.images))
    terminal.err(`${terminal.errorColors.yellow("warning")} ${sentence}\n`);
  return result;
}

/** Bakes, and tells those whom the recipe names how it ended, when there was anything to do. */
async function announcedBake(
  bakehouse: Bakehouse,
  loaded: LoadedRecipe,
  options: RunOptions,
  context: AnnounceContext,
): Promise<BakeResult> {
  const { name: recipe, notify = [] } = loaded.recipe;
  const tell = async (happening: Happening): Promise<void> => {
    if (notify.length === 0) return;
    const { announce } = await import("../cycle/announce.ts");
    await announce(context, [{ recipe, happening }]);
  };
  try {
    const result = await bakehouse.bake(loaded, options);
    const { bake, baked, hits, durationMs } = result;
    const images = result.images.map(({ name, digest }) => ({ name, digest }));
    if (bake !== undefined && baked > 0)
      await tell({ type: "bake.completed", subject: recipe, data: { recipe, bake, images, baked, hits, durationMs } });
    return result;
  } catch (error) {
    if (error instanceof BakehouseError && error.code !== "CANCELLED")
      await tell({ type: "bake.failed", subject: recipe, data: { recipe, code: error.code, message: error.message } });
    throw error;
  }
}
