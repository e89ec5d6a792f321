import { writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { BakehouseError } from "../../core/errors.ts";
import { defineCommand } from "../command.ts";
import { IMAGE_ARGUMENT, withImages } from "../images/with-images.ts";

export const command = defineCommand({
  name: "image report",
  summary: "Write what a release changed, in Markdown",
  description: `Known fixes (CVE numbers in the changelogs that the image holds), packages, licences, services, ports, users, files with privileges,
settings, sizes and files, against the image that had the name before, or against --since.`,
  arguments: { image: IMAGE_ARGUMENT },
  options: {
    since: { value: "image", summary: "Compare with this one; default the image that had the same name before" },
    output: { short: "o", value: "path", summary: "Write a file instead", completes: "file" },
  },
  examples: [
    { line: "image report shop --output CHANGES.md", does: "What the newest release changed" },
    { line: "image report shop --since 3f9a1c", does: "Since a certain image" },
  ],
  run: async ({ args, options, global, terminal, folder, signal }) => {
    const { reportChanges } = await import("../../engine/report-changes.ts");
    const report = await withImages({ global, terminal }, async (parts) =>
      reportChanges({ store: parts.store, trees: await parts.trees(), papers: await parts.papers() }, args.image, {
        ...(options.since === undefined ? {} : { since: options.since }),
        signal,
      }),
    );
    if (options.output !== undefined) write(resolve(folder, options.output), report.markdown);
    return report;
  },
  printsDocument: true,
  render: ({ markdown }, { options }) => (options.output === undefined ? markdown : `${options.output}\n`),
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
