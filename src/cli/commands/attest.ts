import { shortDigest } from "../../core/digest.ts";
import type { WrittenPapers } from "../../engine/write-papers.ts";
import { defineCommand } from "../command.ts";
import { IMAGE_ARGUMENT, withImages } from "../images/with-images.ts";
import { paperName } from "../../core/papers/paper-names.ts";

import { count, formatBytes, table } from "../text.ts";

export const command = defineCommand({
  name: "attest",
  summary: "Write and sign what images are made of and how they were baked",
  description: `Attaches to each image, as OCI referrers in the store: its bill of materials (SPDX 2.3 and CycloneDX 1.6) and its provenance (in-toto,
SLSA v1: recipe, lock, parents, every package and download by SHA-256). All of it follows from the image, so a second time changes nothing. The images below
are signed, too, so that \`bakehouse image verify\` can follow the chain to the foundation; \`--only\` leaves them out.`,
  arguments: { image: IMAGE_ARGUMENT },
  options: { only: { summary: "Not the images that it was baked onto" } },
  examples: [{ line: "attest shop", does: "The release and everything that it stands on" }],
  run: async ({ args, options, global, terminal, signal }) => {
    const { writePapersOfLineage } = await import("../../engine/write-papers.ts");
    return withImages({ global, terminal }, async (parts) => ({
      images: await writePapersOfLineage(await parts.paperParts(), args.image, { only: options.only, signal }),
    }));
  },
  render: ({ images }, { terminal }) =>
    images
      .map((image) => {
        const { bold, dim, yellow } = terminal.colors;
        const head = `${bold(image.name)} ${shortDigest(image.image)} ${dim(contents(image.counted))}\n`;
        const rows = image.papers.map((paper) => [
          `  ${paperName(paper.predicateType)}`,
          shortDigest(paper.digest),
          formatBytes(paper.sizeBytes),
        ]);
        const note = image.imported ? `  ${yellow("no provenance: it was imported, and only its baker knows how it was made")}\n` : "";
        return `${head}${table([{ title: "" }, { title: "" }, { title: "", align: "right" }], rows, { width: terminal.columns }).replace(/^ *\n/, "")}${note}`;
      })
      .join(""),
});

const contents = (counted: WrittenPapers["counted"]): string =>
  counted === undefined
    ? "has its papers already"
    : `${count(counted.packages, "package")}, ${count(counted.files, "file")}, ${counted.unownedFiles} of no package`;
