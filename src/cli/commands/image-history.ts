import { shortDigest } from "../../core/digest.ts";
import { defineCommand } from "../command.ts";
import { IMAGE_ARGUMENT, withImages } from "../images/with-images.ts";
import { formatBytes, table } from "../text.ts";

export const command = defineCommand({
  name: "image history",
  summary: "Show the steps that an image is made of, with what each added",
  arguments: { image: IMAGE_ARGUMENT },
  examples: [{ line: "image history shop/release", does: "Every step from the foundation up" }],
  run: async ({ args, global, terminal }) => {
    const { imageHistory } = await import("../../engine/image-history.ts");
    return withImages({ global, terminal }, async ({ store }) => imageHistory(store, args.image));
  },
  render: ({ rows, sizeBytes }, { terminal }) => {
    const { dim } = terminal.colors;
    const cells = rows.map((row, index) => [
      String(index + 1),
      row.step ?? row.createdBy,
      row.stepType ?? "",
      formatBytes(row.sizeBytes),
      shortDigest(row.diffId),
      row.image,
      row.volumePath === undefined ? (row.comment ?? "") : `mounted at ${row.volumePath}`,
    ]);
    const columns = [
      { title: "", align: "right" },
      { title: "step", minimum: 10 },
      { title: "type" },
      { title: "size", align: "right" },
      { title: "layer" },
      { title: "image", minimum: 8 },
      { title: "what", minimum: 6 },
    ] as const;
    return `${table(columns, cells, { width: terminal.columns, styleTitle: dim })}${dim(`${formatBytes(sizeBytes)} in all`)}\n`;
  },
});
