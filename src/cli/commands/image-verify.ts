import { resolve } from "node:path";
import { shortDigest } from "../../core/digest.ts";
import { BakehouseError, ERROR_CODES } from "../../core/errors.ts";
import type { VerifiedArtifact } from "../../engine/verify-artifact.ts";
import type { VerifiedImage, ImageVerification, VerifiedLink } from "../../engine/verify-image.ts";
import { defineCommand } from "../command.ts";
import { renderArtifact, verifyArtifactFile } from "../images/verified-artifact.ts";
import { progressLine } from "../images/progress-line.ts";
import { storeExists, withImages } from "../images/with-images.ts";
import { paperName } from "../../core/papers/paper-names.ts";
import { shortKey } from "../keys/key-text.ts";
import type { Terminal } from "../terminal.ts";
import { count, formatBytes } from "../text.ts";

export const command = defineCommand({
  name: "image verify",
  summary: "Verify signatures, digests and the chain down to the foundation",
  description: `Of an image of this store, or of an OCI layout in a folder or tar (what \`bakehouse export --format oci\` wrote, or another
program copied): every blob is hashed, each image compared with the one that it was baked onto, every paper's signature and subject checked. Needs no network,
and of a layout nothing but the folder and a public key (\`--key\`). Without \`--key\` the keys of this store count. Exit code 4 when anything is wrong.

\`--artifact\` reads an exported file back, every file in it: a disk (raw, qcow2, vmdk, vhd, vhdx), squashfs, erofs, tar or OCI layout. It is
compared with the image in this store; where that is not here, with the digest given by --content, else with what the artifact says of itself,
which proves that it is whole, not that it is genuine.`,
  arguments: {
    image: {
      summary: "Name or digest of an image of this store, or an OCI layout (folder or tar)",
      required: false,
      completes: "file",
    },
  },
  options: {
    artifact: { value: "file", summary: "Read an exported file back and compare its content", completes: "file" },
    content: { value: "digest", summary: "Content digest that the artifact must have", completes: "none" },
    key: { short: "k", value: "file", many: true, summary: "Trust this public key (PEM) and no key of the store", completes: "file" },
    image: { value: "name", summary: "Which image of a layout; default every one that nothing else stands on" },
  },
  examples: [
    { line: "image verify shop", does: "The release of this store" },
    { line: "image verify shop-oci --key bakehouse.pub.pem", does: "A copy, on a machine that knows nothing else" },
    { line: "image verify --artifact shop.qcow2", does: "Is every file in this disk what the image has?" },
  ],
  run: async ({ args, options, global, terminal, folder, signal }): Promise<VerifiedArtifact | ImageVerification> => {
    if (options.artifact !== undefined)
      return verifyArtifactFile({ artifact: options.artifact, content: options.content }, { global, terminal, folder, signal });
    if (args.image === undefined)
      throw new BakehouseError("USAGE", "Verify which image, or which --artifact?", { hint: "bakehouse images" });
    const reference = args.image;
    const { isOciLayout, trustFiles, verifyLayout, verifyStoredImage } = await import("../../presets/verify-images.ts");
    const line = progressLine({ global, terminal });
    const trust = options.key.length === 0 ? undefined : trustFiles(options.key.map((file) => resolve(folder, file)));
    const verifying = { signal, onProgress: (done: number) => line.show(`Verifying: ${formatBytes(done)}`) };
    const chosen = options.image === undefined ? {} : { image: options.image };
    const path = resolve(folder, reference);
    try {
      if (!isOciLayout(path))
        return await withImages({ global, terminal }, (parts) => verifyStoredImage(parts, reference, trust, verifying));
      if (trust !== undefined || !storeExists(global.store))
        return await verifyLayout(path, reference, trust ?? trustFiles([]), { ...verifying, ...chosen });
      return await withImages({ global, terminal }, async (parts) =>
        verifyLayout(path, reference, await parts.keys(), { ...verifying, ...chosen }),
      );
    } finally {
      line.end();
    }
  },
  render: (verified, { terminal }) => {
    if ("verdict" in verified) return renderArtifact(verified, terminal.colors);
    const { images, bytes, blobs, hashingMs, sound } = verified;
    const { green, red, dim } = terminal.colors;
    const rate = hashingMs > 0 ? ` at ${formatBytes((1000 * bytes) / hashingMs)}/s` : "";
    const problems = images.flatMap(({ chain }) => chain.flatMap((link) => link.problems)).length;
    const verdict = sound ? green("Sound") : red(`${count(problems, "problem")}: do not use it`);
    return `${images.map((image) => imageText(image, terminal)).join("")}${verdict}. ${dim(`${count(blobs, "blob")}, ${formatBytes(bytes)}${rate}`)}\n`;
  },
  exitCode: (verified) => (("verdict" in verified ? verified.verdict !== "differs" : verified.sound) ? 0 : ERROR_CODES.PAPERS_INVALID.exit),
});

const imageText = ({ chain }: VerifiedImage, terminal: Terminal): string =>
  chain.map((link, depth) => linkText(link, depth, terminal)).join("");

function linkText({ name, digest, papers, problems }: VerifiedLink, depth: number, { colors }: Terminal): string {
  const mark = problems.length === 0 ? colors.green("✓") : colors.red("✗");
  const indent = "  ".repeat(depth);
  const trusted = papers.filter(({ trust }) => trust === "signed");
  const types = [...new Set(trusted.map(({ predicateType }) => paperName(predicateType)))].sort();
  const keys = [...new Set(trusted.map(({ keyId }) => shortKey(keyId)))];
  const signed = trusted.length === 0 ? (depth === 0 ? "not signed" : "by digest") : `${types.join(", ")}; key ${keys.join(", ")}`;
  const wrong = problems.map((problem) => `${indent}  ${colors.red(problem)}\n`).join("");
  return `${indent}${mark} ${name === "" ? "(no name)" : name} ${shortDigest(digest)} ${colors.dim(signed)}\n${wrong}`;
}
