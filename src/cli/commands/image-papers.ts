import { shortDigest } from "../../core/digest.ts";
import { defineCommand } from "../command.ts";
import { formatAge } from "../images/words.ts";
import { IMAGE_ARGUMENT, withImages } from "../images/with-images.ts";
import { paperName } from "../../core/papers/paper-names.ts";
import { shortKey, trustWord } from "../keys/key-text.ts";
import { formatBytes, table } from "../text.ts";

export const command = defineCommand({
  name: "image papers",
  summary: "List what is said about an image, and who signed it",
  description: `With \`--json --contents\` also what each paper says. \`bakehouse attest\` writes bill of materials and provenance,
\`bakehouse image verify\` checks them with the whole chain.`,
  arguments: { image: IMAGE_ARGUMENT },
  options: { contents: { summary: "With --json: also the predicate of each" } },
  examples: [{ line: "image papers shop", does: "SBOM, provenance, evidence of checks" }],
  run: async ({ args, options, global, terminal }) => {
    const { listPapers } = await import("../../engine/list-papers.ts");
    return withImages({ global, terminal }, async (parts) =>
      listPapers({ store: parts.store, papers: await parts.papers(), keys: await parts.keys() }, args.image, {
        predicates: options.contents && global.json,
      }),
    );
  },
  render: ({ papers, name }, { terminal }) => {
    if (papers.length === 0) return `${name} has no papers yet. bakehouse attest ${name} writes them.\n`;
    const rows = papers.map((paper) => [
      paperName(paper.predicateType),
      shortDigest(paper.digest),
      formatBytes(paper.sizeBytes),
      formatAge(paper.writtenAt),
      trustWord(paper.trust, terminal),
      paper.key ?? shortKey(paper.keyId),
    ]);
    return table(
      [
        { title: "paper", minimum: 10 },
        { title: "digest" },
        { title: "size", align: "right" },
        { title: "written" },
        { title: "trust" },
        { title: "key", minimum: 6 },
      ],
      rows,
      { width: terminal.columns, styleTitle: terminal.colors.dim },
    );
  },
});
