import type { ImageFile } from "../../engine/image-files.ts";
import { defineCommand } from "../command.ts";
import { formatMode } from "../images/words.ts";
import { IMAGE_ARGUMENT, withImages } from "../images/with-images.ts";

export const command = defineCommand({
  name: "image files",
  summary: "List the files of an image as `ls -l` does",
  description: `Shows the merged tree: what a machine made from the image has. With --layer only what that layer brings; there, W stands for
a file that the layer takes away and O for a directory that it empties.`,
  arguments: {
    image: IMAGE_ARGUMENT,
    path: { required: false, summary: "Only this path of the image and what lies below it", completes: "none" },
  },
  options: { layer: { value: "layer", summary: "Only one layer: its number from 1, its step (base/apt), or the beginning of its digest" } },
  examples: [
    { line: "image files shop /etc/nginx", does: "What lies below /etc/nginx" },
    { line: "image files shop --layer base/apt", does: "What one step changed" },
  ],
  run: async ({ args, options, global, terminal, signal }) => {
    const { imageFiles } = await import("../../engine/image-files.ts");
    const { path } = args;
    const { layer } = options;
    return withImages({ global, terminal }, async (parts) => ({
      files: await imageFiles({ store: parts.store, trees: await parts.trees() }, args.image, {
        signal,
        ...(path === undefined ? {} : { path }),
        ...(layer === undefined ? {} : { layer }),
      }),
    }));
  },
  printsDocument: true,
  render: ({ files }) => listing(files),
});

function listing(files: readonly ImageFile[]): string {
  const owners = files.map(({ uid, gid }) => `${uid}:${gid}`);
  const sizes = files.map(({ device, sizeBytes }) => (device === undefined ? String(sizeBytes) : `${device.major},${device.minor}`));
  const ownerWidth = Math.max(0, ...owners.map((owner) => owner.length));
  const sizeWidth = Math.max(0, ...sizes.map((size) => size.length));
  return files
    .map((file, index) => {
      const link = file.linkTarget === undefined ? "" : file.kind === "hardlink" ? ` = ${file.linkTarget}` : ` -> ${file.linkTarget}`;
      return `${formatMode(file.kind, file.mode)} ${(owners[index] ?? "").padEnd(ownerWidth)} ${(sizes[index] ?? "").padStart(sizeWidth)} ${file.modifiedAt.slice(0, 10)} ${printable(file.path)}${printable(link)}\n`;
    })
    .join("");
}

/** A name may hold escape codes, which would do things to the terminal. `\p{Cc}`: all control characters. */
const printable = (text: string): string => text.replaceAll(/\p{Cc}/gu, (char) => `\\x${char.charCodeAt(0).toString(16).padStart(2, "0")}`);
