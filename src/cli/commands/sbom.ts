import { writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { BakehouseError } from "../../core/errors.ts";
import { defineCommand } from "../command.ts";
import { IMAGE_ARGUMENT, withImages } from "../images/with-images.ts";

const FORMATS = ["spdx", "cyclonedx"] as const;

export const command = defineCommand({
  name: "sbom",
  summary: "Print what an image is made of, as SPDX 2.3 or CycloneDX 1.6",
  description: `Packages with version, source, licences (from machine-readable copyright files) and the files that each owns, and the files that no
package owns. The same image always gives the same document. \`bakehouse attest\` signs both and attaches them to the image.`,
  arguments: { image: IMAGE_ARGUMENT },
  options: {
    format: { short: "f", value: "format", choices: FORMATS, default: "spdx", summary: "Which standard" },
    output: { short: "o", value: "path", summary: "Write a file instead", completes: "file" },
  },
  examples: [
    { line: "sbom shop --format cyclonedx --output shop.cdx.json", does: "For a vulnerability scanner" },
    { line: "sbom shop", does: "SPDX to the standard output" },
  ],
  run: async ({ args, options, global, terminal, folder, signal }) => {
    const { imageSbom } = await import("../../engine/image-sbom.ts");
    const document = await withImages({ global, terminal }, async (parts) =>
      imageSbom(await parts.paperParts(), args.image, { format: options.format, signal }),
    );
    if (options.output !== undefined) write(resolve(folder, options.output), `${JSON.stringify(document, undefined, 1)}\n`);
    return document;
  },
  printsDocument: true,
  render: (document, { options }) =>
    options.output === undefined ? `${JSON.stringify(document, undefined, 1)}\n` : `${options.output}: ${options.format}\n`,
});

function write(path: string, text: string): void {
  try {
    writeFileSync(path, text);
  } catch (error) {
    throw new BakehouseError(
      "INPUT_INVALID",
      `Cannot write ${path}: ${(error as Error).message}`,
      { hint: "another place: --output FILE" },
      error,
    );
  }
}
