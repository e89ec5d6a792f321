import { resolve } from "node:path";
import type { ComparedWith, VerifiedArtifact } from "../../engine/verify-artifact.ts";
import { isSha256, shortDigest } from "../../core/digest.ts";
import { BakehouseError } from "../../core/errors.ts";
import type { Terminal } from "../terminal.ts";
import { formatBytes } from "../text.ts";
import { progressLine } from "./progress-line.ts";
import { storeExists, type StoreContext } from "./with-images.ts";

/** @throws USAGE, and what `verifyArtifact` does */
export async function verifyArtifactFile(
  { artifact, content }: { readonly artifact: string; readonly content: string | undefined },
  { global, terminal, folder, signal }: StoreContext & { readonly folder: string; readonly signal: AbortSignal },
): Promise<VerifiedArtifact> {
  if (content !== undefined && !isSha256(content))
    throw new BakehouseError("USAGE", `--content ${content} is no digest`, { hint: "--content sha256:… with 64 hexadecimal digits" });
  const { verifyArtifact } = await import("../../engine/verify-artifact.ts");
  const { openArtifacts } = await import("../../presets/artifacts.ts");
  const line = progressLine({ global, terminal });
  const parts = await openArtifacts(storeExists(global.store) ? global.store : undefined);
  try {
    return await verifyArtifact(parts, resolve(folder, artifact), {
      ...(content === undefined ? {} : { expected: content }),
      signal,
      onBytes: (done) => line.show(`Reading ${artifact}: ${formatBytes(done)}`),
    });
  } finally {
    line.end();
    await parts.close();
  }
}

const COMPARED: Readonly<Record<ComparedWith, string>> = {
  store: "as the image in this store",
  digest: "as the digest says",
  itself: "as the artifact itself says; --content or the store with the image would prove more",
  nothing: "",
};

/** More lines than this say nothing new. */
const SHOWN = 20;

export function renderArtifact(artifact: VerifiedArtifact, colors: Terminal["colors"]): string {
  const { file, verdict, differences, faults, stated, lacksAccessLists } = artifact;
  const of = stated === undefined ? "" : ` of ${stated.name} (${shortDigest(stated.image)})`;
  const head = {
    intact: `${colors.green("intact")} ${file}, ${artifact.format}${of}: every file is ${COMPARED[artifact.comparedWith]}`,
    differs: `${colors.red("differs")} ${file}, ${artifact.format}${of}`,
    unproven: `${colors.yellow("unproven")} ${file}, ${artifact.format}: it was read, but says nothing of itself; --content compares it`,
  }[verdict];
  const lines = differences.slice(0, SHOWN).map(({ path, change, what }) => `  ${path}: ${what === undefined ? change : `other ${what}`}`);
  return [
    head,
    ...faults.map((fault) => `  ${fault}`),
    ...lines,
    ...(differences.length > SHOWN ? [`  … and ${differences.length - SHOWN} more`] : []),
    ...(lacksAccessLists ? [colors.dim("  access lists were not compared: a squashfs cannot hold them")] : []),
    colors.dim(`content ${stated !== undefined && lacksAccessLists ? stated.content : artifact.content}`),
    "",
  ].join("\n");
}
