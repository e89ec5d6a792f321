import { defineCommand } from "../command.ts";
import { withImages } from "../images/with-images.ts";
import { keyLine } from "../keys/key-text.ts";

export const command = defineCommand({
  name: "key rotate",
  summary: "Put a new key in place of the one that signs",
  description: `What older keys signed is still trusted; \`bakehouse key retire\` ends that.`,
  options: { name: { value: "name", summary: "What to call the new one; default: who makes it" } },
  examples: [{ line: "key rotate", does: "A new key signs from now on" }],
  run: async ({ options, global, terminal }) =>
    withImages({ global, terminal }, async (parts) => (await parts.keys()).make(options.name ?? (await parts.baker())), { create: true }),
  render: (key, { terminal }) => keyLine(key, terminal),
});
