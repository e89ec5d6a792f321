import { shortDigest } from "../../core/digest.ts";
import { defineCommand } from "../command.ts";
import { formatAge, hermeticWord } from "../images/words.ts";
import { refuseOtherThanStore, storeExists, withImages } from "../images/with-images.ts";
import { formatBytes, table, type Column } from "../text.ts";

export const command = defineCommand({
  name: "images",
  summary: "List the images of the store, newest first",
  description: `An image has its name until a newer bake takes the name over; with --all the older ones are listed, too.
Images that were baked with an open network are marked NOT HERMETIC.`,
  options: { all: { short: "a", summary: "Also images whose name has moved on to a newer one" } },
  examples: [
    { line: "images", does: "What there is" },
    { line: "images --all --json", does: "Everything that the catalog knows, for programs" },
  ],
  run: async ({ options, global, terminal }) => {
    if (!storeExists(global.store)) {
      refuseOtherThanStore(global.store);
      return { images: [] };
    }
    const { listImages } = await import("../../engine/list-images.ts");
    return withImages({ global, terminal }, async (parts) => ({ images: await listImages(parts, { all: options.all }) }));
  },
  render: ({ images }, { terminal, global }) => {
    const { dim, red } = terminal.colors;
    if (images.length === 0) return `No images in ${global.store} yet. bakehouse bake makes some.\n`;
    const marked = images.some(({ channels, revoked }) => channels !== undefined || revoked !== undefined);
    const rows = images.map((image) => [
      image.current ? image.name : dim(`${image.name} (older)`),
      ...(marked ? [image.revoked === undefined ? (image.channels ?? []).join(", ") : red("REVOKED")] : []),
      image.kind,
      shortDigest(image.digest),
      image.problem === undefined ? formatBytes(image.sizeBytes) : red("damaged"),
      formatAge(image.bakedAt),
      image.imported === undefined ? image.bakedBy : `${image.bakedBy} (imported)`,
      hermeticWord(image.hermetic, terminal),
    ]);
    const columns: readonly Column[] = [
      { title: "name", minimum: 12 },
      ...(marked ? [{ title: "channels", minimum: 3 }] : []),
      { title: "kind", dispensable: 2 },
      { title: "digest" },
      { title: "size", align: "right", dispensable: 4 },
      { title: "baked", dispensable: 3 },
      { title: "by", minimum: 7, dispensable: 1 },
      { title: "hermetic" },
    ];
    const damaged = images.some(({ problem }) => problem !== undefined)
      ? `${red("Some images are damaged.")} bakehouse verify says what is.\n`
      : "";
    return `${table(columns, rows, { width: terminal.columns, styleTitle: dim })}${damaged}`;
  },
});
