import { resolve } from "node:path";
import { defineCommand } from "../command.ts";
import { percent, progressLine } from "../images/progress-line.ts";
import { IMAGE_ARGUMENT, withImages } from "../images/with-images.ts";
import { formatBytes } from "../text.ts";

const FORMATS = ["tar", "dir", "oci", "squashfs", "erofs"] as const;

export const command = defineCommand({
  name: "export",
  summary: "Write an image as a tar, folder, OCI layout, squashfs or erofs",
  description: `Equal images give equal bytes, whenever and wherever they are exported. The output appears whole or not at all.
A release volume comes merged with its root image; with --volume-only just the volume, as it is. \`oci\` writes a layout that holds only this
image (and the root of a volume): a folder, or a tar of it when --output ends in .tar (the default). An image that has papers takes them along,
with the images that it was baked onto, so that \`image verify\` can follow the chain; \`--no-papers\` leaves both out.`,
  arguments: { image: IMAGE_ARGUMENT },
  options: {
    format: { short: "f", value: "format", choices: FORMATS, default: "tar", summary: "What to write" },
    output: { short: "o", value: "path", summary: "Where to; default: named after the image, in this folder", completes: "file" },
    volumeOnly: { summary: "Only the release volume, without its root image (erofs)" },
    noPapers: { summary: "Without SBOM, provenance, evidence and the images below (oci)" },
    force: { summary: "Replace what is there" },
  },
  examples: [
    { line: "export shop --format squashfs --output shop.squashfs", does: "One compressed file" },
    { line: "export shop --format oci --output shop-oci", does: "For skopeo, umoci, buildah or another store" },
  ],
  run: async ({ args, options, global, terminal, folder, signal }) => {
    const { exportImage } = await import("../../engine/export-image.ts");
    const line = progressLine({ global, terminal });
    return withImages({ global, terminal }, async (parts) =>
      exportImage({ store: parts.store, trees: await parts.trees(), exports: await parts.exports() }, args.image, {
        format: options.format,
        folder,
        ...(options.output === undefined ? {} : { output: resolve(folder, options.output) }),
        replace: options.force,
        volumeOnly: options.volumeOnly,
        noPapers: options.noPapers,
        signal,
        onProgress: (done, total) =>
          line.show(
            `Writing ${options.format}: ${formatBytes(done)}${done === 0 || options.format === "squashfs" ? "" : ` ${percent(done, total)}`}`,
          ),
      }).finally(() => line.end()),
    );
  },
  render: ({ target, sizeBytes, digest }, { terminal }) =>
    `${target} ${terminal.colors.dim(`${formatBytes(sizeBytes)}${digest === undefined ? "" : ` ${digest}`}`)}\n`,
});
