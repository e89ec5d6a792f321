import { defineCommand } from "../command.ts";
import { withImages } from "../images/with-images.ts";
import { keyLine } from "../keys/key-text.ts";

export const command = defineCommand({
  name: "key retire",
  summary: "Trust a key no longer, and nothing that it signed",
  description: `For a key that got into wrong hands. Papers that it signed count as signed by an unknown key: sign them anew with
\`bakehouse attest\`, and run the checks again. When it is the one that signs, the next signature makes a new one.`,
  arguments: { key: { summary: "Name of the key, or the beginning of its id", completes: "none" } },
  examples: [{ line: "key retire 3f9a1c", does: "By the beginning of its id" }],
  run: async ({ args, global, terminal }) => {
    const { findKey } = await import("../../engine/find-key.ts");
    return withImages({ global, terminal }, async (parts) => {
      const keys = await parts.keys();
      return keys.retire(findKey(keys, args.key).id);
    });
  },
  render: (key, { terminal }) => keyLine(key, terminal),
});
