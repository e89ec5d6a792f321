import { createHash } from "node:crypto";
import { createReadStream, existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { BakehouseError } from "../../core/errors.ts";
import { hexOf, type Sha256 } from "../../core/digest.ts";

/** Content of an image by digest: an OCI layout (`blobs/sha256/<hex>`), or a folder that skopeo's `dir:` transport made (`<hex>`). */
export interface Blobs {
  path(digest: Sha256): string;
}

export const layoutBlobs = (folder: string): Blobs => ({ path: (digest) => join(folder, "blobs/sha256", hexOf(digest)) });

/** `dir:` keeps the manifest under a name of its own. */
export const directoryBlobs = (folder: string, manifest: Sha256): Blobs => ({
  path: (digest) => join(folder, digest === manifest ? "manifest.json" : hexOf(digest)),
});

/** A small document, compared with its digest. @throws BakehouseError DIGEST_MISMATCH, INPUT_INVALID */
export function readBlob(blobs: Blobs, digest: Sha256, where: string): string {
  const path = existing(blobs, digest, where);
  const content = readFileSync(path);
  refuseOther(`sha256:${createHash("sha256").update(content).digest("hex")}`, digest, where);
  return content.toString("utf8");
}

/** Host path of a blob whose content has been compared with its digest. */
export async function verifiedBlob(blobs: Blobs, digest: Sha256, where: string, signal?: AbortSignal): Promise<string> {
  const path = existing(blobs, digest, where);
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20, ...(signal === undefined ? {} : { signal }) }))
    hash.update(chunk as Buffer);
  refuseOther(`sha256:${hash.digest("hex")}`, digest, where);
  return path;
}

function existing(blobs: Blobs, digest: Sha256, where: string): string {
  const path = blobs.path(digest);
  if (!existsSync(path))
    throw new BakehouseError("INPUT_INVALID", `${where} lacks the blob ${digest}`, {
      hint: "if the image was replaced since it was locked: bakehouse lock --update",
    });
  return path;
}

function refuseOther(found: string, digest: Sha256, where: string): void {
  if (found !== digest) throw new BakehouseError("DIGEST_MISMATCH", `${where}: the blob ${digest} has other content (${found})`);
}
