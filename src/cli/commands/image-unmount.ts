import { resolve } from "node:path";
import { BakehouseError } from "../../core/errors.ts";
import { defineCommand } from "../command.ts";
import { withImages } from "../images/with-images.ts";

export const command = defineCommand({
  name: "image unmount",
  summary: "End the mount of an image",
  arguments: { directory: { required: false, summary: "Where it is mounted, or the name or digest of the image", completes: "directory" } },
  options: { all: { short: "a", summary: "All mounts of this store" } },
  examples: [
    { line: "image unmount /mnt/shop", does: "The mount at this folder" },
    { line: "image unmount --all", does: "Every mount of images of this store" },
  ],
  run: async ({ args, options, global, terminal, folder }) => {
    const { directory } = args;
    if ((directory === undefined) !== options.all)
      throw new BakehouseError("USAGE", directory === undefined ? "What should be unmounted?" : "Name a folder or --all, not both", {
        hint: "bakehouse image mount   (lists what is mounted)",
      });
    return withImages({ global, terminal }, async (parts) => {
      const { unmountImage } = await import("../../engine/mount-image.ts");
      return {
        unmounted: await unmountImage(
          { mounts: await parts.mounts() },
          directory === undefined ? "all" : { directory: resolve(folder, directory), given: directory },
        ),
      };
    });
  },
  render: ({ unmounted }) =>
    unmounted.length === 0
      ? "Nothing is mounted.\n"
      : unmounted.map(({ name, directory }) => `${name} is no longer mounted at ${directory}\n`).join(""),
});
