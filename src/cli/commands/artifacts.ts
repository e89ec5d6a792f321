import { resolve } from "node:path";
import { defineCommand } from "../command.ts";
import { progressLine } from "../images/progress-line.ts";
import { withImages } from "../images/with-images.ts";
import { parameterOverrides, RECIPE_ARGUMENT, RECIPE_OPTIONS, warn } from "../recipe/recipe-options.ts";
import { formatBytes, table } from "../text.ts";

export const command = defineCommand({
  name: "artifacts",
  summary: "Make the disks and files that a recipe declares",
  description: `Of the newest image of each layer that has \`artifacts:\`. What is there already is not made again: a file is called after image,
format and options, and appears whole or not at all. See \`export\` for what the formats are.`,
  arguments: { recipe: RECIPE_ARGUMENT },
  options: {
    ...RECIPE_OPTIONS,
    layer: { value: "name", many: true, summary: "Only those of this layer" },
    output: { short: "o", value: "folder", default: "artifacts", summary: "Folder that they go to; made", completes: "directory" },
    list: { summary: "Make none, only show which there are" },
    force: { summary: "Make them again" },
  },
  examples: [
    { line: "artifacts", does: "All that the recipe in this folder declares, into ./artifacts" },
    { line: "artifacts examples/machine --list", does: "Which there are" },
  ],
  run: async ({ args, options, global, terminal, folder, env, signal }) => {
    const { createBakehouse } = await import("../../presets/create-bakehouse.ts");
    const bakehouse = createBakehouse({ store: global.store, env, warn: (message) => terminal.err(`${message}\n`) });
    const loaded = bakehouse.load(args.recipe, { from: folder, parameters: parameterOverrides(options.set) });
    await bakehouse.close();
    if (!global.json && !global.quiet) warn(loaded, terminal);
    const { makeArtifacts } = await import("../../engine/make-artifacts.ts");
    const { makeFolder, sizeOf } = await import("../../presets/artifacts.ts");
    const target = resolve(folder, options.output);
    if (!options.list) makeFolder(target);
    const line = progressLine({ global, terminal });
    return withImages({ global, terminal }, async (parts) =>
      makeArtifacts({ ...(await parts.exporting()), sizeOf }, loaded.recipe, {
        folder: target,
        layers: options.layer,
        replace: options.force,
        list: options.list,
        signal,
        onProgress: (file, done) => line.show(`Writing ${file}: ${formatBytes(done)}`),
      }).finally(() => line.end()),
    );
  },
  render: (artifacts, { terminal }) => {
    if (artifacts.length === 0) return "The recipe declares no artifacts.\n";
    const { dim, green, yellow } = terminal.colors;
    const states = { made: green("made"), there: dim("there"), missing: yellow("missing") };
    const rows = artifacts.map(({ layer, format, state, sizeBytes, file }) => [
      layer,
      format,
      states[state],
      sizeBytes === undefined ? "" : formatBytes(sizeBytes),
      file,
    ]);
    const columns = [{ title: "layer" }, { title: "format" }, { title: "" }, { title: "size", align: "right" as const }, { title: "file" }];
    return table(columns, rows, { width: terminal.columns, styleTitle: dim });
  },
});
