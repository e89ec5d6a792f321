import { resolve } from "node:path";
import { shortDigest } from "../../core/digest.ts";
import { BakehouseError } from "../../core/errors.ts";
import { defineCommand } from "../command.ts";
import { formatAge } from "../images/words.ts";
import { withImages } from "../images/with-images.ts";
import { table } from "../text.ts";

export const command = defineCommand({
  name: "image mount",
  summary: "Mount an image read-only at a folder, or list such mounts",
  description: `A release volume is mounted with its root image below it. The mount stays until \`bakehouse image unmount\`; gc keeps what it stands on.
Without arguments it lists what is mounted.`,
  arguments: {
    image: { required: false, summary: "Name, digest, or the beginning of a digest", completes: "none" },
    directory: { required: false, summary: "An empty folder, or one to be made", completes: "directory" },
  },
  examples: [
    { line: "image mount shop /mnt/shop", does: "Look around in the release" },
    { line: "image mount", does: "What is mounted" },
  ],
  run: async ({ args, global, terminal, folder }) =>
    withImages({ global, terminal }, async (parts) => {
      const { image, directory } = args;
      const mounts = await parts.mounts();
      if (image === undefined) return { mounted: undefined, mounts: mounts.list() };
      if (directory === undefined)
        throw new BakehouseError("USAGE", "Where should it be mounted?", { hint: `bakehouse image mount ${image} /mnt/image` });
      const { mountImage } = await import("../../engine/mount-image.ts");
      return {
        mounted: await mountImage(
          { store: parts.store, clock: parts.clock, trees: await parts.trees(), mounts },
          image,
          resolve(folder, directory),
        ),
        mounts: mounts.list(),
      };
    }),
  render: ({ mounted, mounts }, { terminal }) => {
    const { bold, dim, yellow } = terminal.colors;
    if (mounted !== undefined)
      return `${bold(mounted.name)} ${dim(shortDigest(mounted.image))} is mounted read-only at ${mounted.directory}\n${dim(`bakehouse image unmount ${mounted.directory}`)} ends it.\n`;
    if (mounts.length === 0) return "Nothing is mounted.\n";
    const rows = mounts.map((mount) => [
      mount.directory,
      mount.name,
      shortDigest(mount.image),
      formatAge(mount.mountedAt),
      mount.mounted ? "" : yellow("no longer mounted"),
    ]);
    return table(
      [{ title: "folder", minimum: 12 }, { title: "image", minimum: 8 }, { title: "digest" }, { title: "mounted" }, { title: "" }],
      rows,
      { width: terminal.columns, styleTitle: dim },
    );
  },
});
