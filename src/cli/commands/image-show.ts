import { shortDigest } from "../../core/digest.ts";
import type { ImageDetails, LineageLink } from "../../engine/show-image.ts";
import { defineCommand } from "../command.ts";
import { facts, formatTime, hermeticWord } from "../images/words.ts";
import { IMAGE_ARGUMENT, withImages } from "../images/with-images.ts";
import type { Terminal } from "../terminal.ts";
import { formatBytes, table } from "../text.ts";

export const command = defineCommand({
  name: "image show",
  summary: "Show where an image comes from and what it is made of",
  arguments: { image: IMAGE_ARGUMENT },
  examples: [
    { line: "image show shop", does: "The release of the recipe shop" },
    { line: "image show 3f9a1c --json", does: "By the beginning of its digest, for programs" },
  ],
  run: async ({ args, global, terminal }) => {
    const { showImage } = await import("../../engine/show-image.ts");
    return withImages({ global, terminal }, async (parts) => showImage(parts, args.image));
  },
  render: (image, { terminal }) => `${about(image, terminal)}\n${layers(image, terminal)}`,
});

function about(image: ImageDetails, terminal: Terminal): string {
  const { dim, yellow } = terminal.colors;
  const moved = image.current ? "" : yellow(" (the name has moved on to a newer image)");
  return facts(
    [
      ["name", `${image.name}${moved}`],
      ["channels", (image.channels ?? []).join(", ")],
      ["revoked", image.revoked === undefined ? "" : terminal.colors.red(image.revoked)],
      ["kind", kindWords(image)],
      ["digest", image.digest],
      ["hermetic", hermeticWord(image.hermetic, terminal)],
      ["lineage", image.lineage.map((link) => lineageLine(link, terminal)).join("\n")],
      ["baked onto it", image.children.map((link) => lineageLine(link, terminal)).join("\n")],
      ["root image", image.volume === undefined ? "" : `${image.volume.rootName} ${dim(shortDigest(image.volume.root))}`],
      ["baked", `${formatTime(image.bakedAt)} by ${image.bakedBy}${image.bake === "" ? "" : dim(` (bake ${image.bake})`)}`],
      ["imported", image.imported === undefined ? "" : `from ${image.imported}`],
      ["with", image.tool],
      ["recipe", image.recipeDigest ?? ""],
      ["lock", image.lockDigest ?? ""],
      [
        "parameters",
        Object.entries(image.parameters)
          .map(([name, value]) => `${name}=${String(value)}`)
          .join("\n"),
      ],
      ["content of", `${formatTime(image.created)} ${dim("(newest time in it)")}`],
      ["entry", image.entry ?? ""],
      ["ports", image.ports.join(", ")],
      ["users", image.users.join(", ")],
      [
        "labels",
        Object.entries(image.labels)
          .map(([name, value]) => `${name}=${value}`)
          .join("\n"),
      ],
      ["size", formatBytes(image.sizeBytes)],
    ],
    terminal,
  );
}

function kindWords({ kind, volume }: ImageDetails): string {
  if (kind === "launch") return "what a machine does at launch (`bakehouse launch-files` writes it)";
  return kind === "volume" ? `release volume, mounted at ${volume?.path ?? "?"}` : "image";
}

function lineageLine({ name, digest, kind, here }: LineageLink, { colors }: Terminal): string {
  if (!here) return `${colors.yellow("(not in this store)")} ${colors.dim(shortDigest(digest))}`;
  return `${name} ${colors.dim(`${shortDigest(digest)}${kind === "image" ? "" : `, ${kind}`}`)}`;
}

function layers(image: ImageDetails, terminal: Terminal): string {
  const { dim } = terminal.colors;
  const rows = image.layers.map((layer, index) => [
    String(index + 1),
    shortDigest(layer.diffId),
    formatBytes(layer.sizeBytes),
    layer.step ?? layer.createdBy,
    layer.stepType ?? "",
  ]);
  if (image.volume !== undefined)
    rows.push([String(rows.length + 1), shortDigest(image.volume.blob), formatBytes(image.sizeBytes), image.volume.path, "volume"]);
  return table(
    [
      { title: "", align: "right" },
      { title: "layer" },
      { title: "size", align: "right" },
      { title: "step", minimum: 10 },
      { title: "type" },
    ],
    rows,
    { width: terminal.columns, styleTitle: dim },
  );
}
