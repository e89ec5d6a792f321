import { BakehouseError } from "../../core/errors.ts";
import { defineCommand } from "../command.ts";
import { withImages } from "../images/with-images.ts";
import { keyLine } from "../keys/key-text.ts";

export const command = defineCommand({
  name: "key make",
  summary: "Make the key that signs papers",
  description: `An ed25519 key in the store's own folder, for its owner alone. Nobody has to make one: the first signature does. In place of it, a
PEM file that \`BAKEHOUSE_KEY\` names signs.`,
  options: { name: { value: "name", summary: "What to call it; default: who makes it" } },
  examples: [{ line: "key make --name release-2026", does: "The store's first key, with a name" }],
  run: async ({ options, global, terminal }) =>
    withImages(
      { global, terminal },
      async (parts) => {
        const keys = await parts.keys();
        const signing = keys.list().find(({ signs }) => signs);
        if (signing !== undefined)
          throw new BakehouseError("KEY_INVALID", `The key ${signing.name} (${signing.id.slice(0, 12)}) signs already`, {
            hint: "bakehouse key rotate, to put a new one in its place",
          });
        return keys.make(options.name ?? (await parts.baker()));
      },
      { create: true },
    ),
  render: (key, { terminal }) => keyLine(key, terminal),
});
