import { resolve } from "node:path";
import { shortDigest } from "../../core/digest.ts";
import { defineCommand } from "../command.ts";
import { progressLine } from "../images/progress-line.ts";
import { withImages } from "../images/with-images.ts";
import { count, formatBytes } from "../text.ts";

export const command = defineCommand({
  name: "import",
  summary: "Take an image into the store",
  description: `Takes an OCI layout (folder or tar), a tar of a root file system (plain, gzip, xz, zstd) or a folder. Layers are verified against
their digests and unpacked; archives with entries that would leave their folder are refused. The image can be named in a recipe: \`from: { image: NAME }\`.`,
  arguments: { source: { summary: "OCI layout, tar or folder", completes: "file" } },
  options: {
    name: { short: "n", value: "name", summary: "What to call it; a layout may bring a name" },
    image: { value: "image", summary: "Which image of a layout that holds several" },
  },
  examples: [
    { line: "import rootfs.tar.xz --name golden/base", does: "A root file system that was made elsewhere" },
    { line: "import shop-oci --name shop/copy", does: "What `export --format oci` wrote" },
  ],
  run: async ({ args, options, global, terminal, folder, signal }) => {
    const { importImage } = await import("../../engine/import-image.ts");
    const line = progressLine({ global, terminal });
    return withImages(
      { global, terminal },
      async (parts) => ({
        images: await importImage(
          {
            store: parts.store,
            clock: parts.clock,
            baker: await parts.baker(),
            tool: parts.tool,
            imports: await parts.imports(),
            catalog: parts.catalog,
          },
          {
            path: resolve(folder, args.source),
            source: args.source,
            ...(options.name === undefined ? {} : { name: options.name }),
            ...(options.image === undefined ? {} : { image: options.image }),
            signal,
            onProgress: (message) => line.show(`Importing: ${message}`),
          },
        ).finally(() => line.end()),
      }),
      { create: true },
    );
  },
  render: ({ images }, { terminal }) => {
    const { bold, dim } = terminal.colors;
    return images
      .map((image) => {
        const head = `${bold(image.name)} ${shortDigest(image.digest)} ${dim(`${image.kind}, ${count(image.layers, "layer")}, ${formatBytes(image.sizeBytes)}${image.papers === undefined ? "" : `, ${count(image.papers, "paper")}`}`)}`;
        if (image.wasHere === true) return `${head} was in the store already\n`;
        return `${head}${image.originalDigest === undefined ? "" : dim(`, elsewhere ${shortDigest(image.originalDigest)}: its layers were compressed there`)}\n`;
      })
      .join("");
  },
});
