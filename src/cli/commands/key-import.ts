import { readFileSync } from "node:fs";
import { basename, resolve } from "node:path";
import { BakehouseError } from "../../core/errors.ts";
import { defineCommand } from "../command.ts";
import { withImages } from "../images/with-images.ts";
import { keyLine } from "../keys/key-text.ts";

export const command = defineCommand({
  name: "key import",
  summary: "Trust a key from a PEM file, and sign with it if it is private",
  description: `A public key (what \`bakehouse key export\` of another store printed) only verifies. A private one (PKCS #8, without passphrase) is copied
into the store; it signs from now on with --sign, or when no other does.`,
  arguments: { file: { summary: "PEM file of an ed25519 key", completes: "file" } },
  options: {
    name: { value: "name", summary: "What to call it; default: the file's name" },
    sign: { summary: "Sign with it from now on" },
  },
  examples: [
    { line: "key import builder.pub.pem", does: "Trust what another builder signed" },
    { line: "key import release.pem --sign", does: "Sign with a key of your own" },
  ],
  run: async ({ args, options, global, terminal, folder }) =>
    withImages(
      { global, terminal },
      async (parts) =>
        (await parts.keys()).take(readPem(resolve(folder, args.file), args.file), {
          name: options.name ?? basename(args.file).replace(/(\.pub)?\.pem$/, ""),
          signs: options.sign,
        }),
      { create: true },
    ),
  render: (key, { terminal }) => keyLine(key, terminal),
});

function readPem(path: string, shown: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    throw new BakehouseError("KEY_INVALID", `Cannot read ${shown}: ${(error as Error).message}`, { hint: "name a PEM file" }, error);
  }
}
