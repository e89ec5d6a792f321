import { writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { BakehouseError } from "../../core/errors.ts";
import { defineCommand } from "../command.ts";
import { withImages } from "../images/with-images.ts";

export const command = defineCommand({
  name: "key export",
  summary: "Print the public half of a key, for whoever shall verify",
  description: `The private half never leaves the store's folder \`keys/\`.`,
  arguments: { key: { required: false, summary: "Name, or the beginning of its id; default: the one that signs", completes: "none" } },
  options: { output: { short: "o", value: "path", summary: "Write a file instead", completes: "file" } },
  examples: [{ line: "key export --output bakehouse.pub.pem", does: "For `bakehouse image verify --key`" }],
  run: async ({ args, options, global, terminal, folder }) => {
    const { findKey } = await import("../../engine/find-key.ts");
    return withImages({ global, terminal }, async (parts) => {
      const keys = await parts.keys();
      const { id, name } = findKey(keys, args.key);
      const pem = keys.publicKey(id);
      if (options.output !== undefined) write(resolve(folder, options.output), pem);
      return { id, name, pem, output: options.output };
    });
  },
  render: ({ pem, output, name }) => (output === undefined ? pem : `${output}: the public half of ${name}\n`),
});

function write(path: string, pem: string): void {
  try {
    writeFileSync(path, pem);
  } catch (error) {
    throw new BakehouseError(
      "INPUT_INVALID",
      `Cannot write ${path}: ${(error as Error).message}`,
      { hint: "another place: --output FILE" },
      error,
    );
  }
}
