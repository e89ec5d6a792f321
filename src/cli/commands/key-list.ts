import { defineCommand } from "../command.ts";
import { formatAge } from "../images/words.ts";
import { storeExists, withImages } from "../images/with-images.ts";
import { shortKey } from "../keys/key-text.ts";
import { table } from "../text.ts";

export const command = defineCommand({
  name: "key list",
  summary: "List the keys that are trusted here, and the one that signs",
  examples: [{ line: "key list", does: "The newest first" }],
  run: async ({ global, terminal }) => {
    if (!storeExists(global.store)) return { keys: [] };
    return withImages({ global, terminal }, async (parts) => ({ keys: (await parts.keys()).list() }));
  },
  render: ({ keys }, { terminal }) => {
    const { dim, green, yellow } = terminal.colors;
    if (keys.length === 0) return "No keys yet. The first signature makes one, or: bakehouse key make\n";
    const rows = keys.map((key) => [
      key.name,
      shortKey(key.id),
      formatAge(key.madeAt),
      key.hasPrivate ? "here" : "",
      key.retiredAt !== undefined ? yellow(`retired ${formatAge(key.retiredAt)}`) : key.signs ? green("signs") : "verifies",
    ]);
    return table([{ title: "name", minimum: 8 }, { title: "id" }, { title: "made" }, { title: "private half" }, { title: "" }], rows, {
      width: terminal.columns,
      styleTitle: dim,
    });
  },
});
