import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { hexOf, type ImageDigest } from "../../core/digest.ts";
import type { ContentReader, ImageContents } from "../../ports/image-contents.ts";
import type { Store } from "../../ports/store.ts";
import { digestOfListing, listContent } from "./list-content.ts";

/** Listings are kept in the store, below `artifacts/`: reading a whole image costs most of a second, and every format wants it. */
export function storedContents(store: Store): ContentReader {
  return {
    of: async (image, open, options) => {
      const kept = readKept(store, image);
      if (kept !== undefined) return kept;
      const tree = await open();
      const listing = await listContent(tree.hostPath, options);
      keep(store, image, listing);
      return { listing, digest: digestOfListing(listing) };
    },
  };
}

const fileOf = (store: Store, image: ImageDigest): string => store.path("artifacts", `${hexOf(image)}.content`);

/** The first line says what the digest of the rest is: a file that was cut off is made again. */
function readKept(store: Store, image: ImageDigest): ImageContents | undefined {
  const text = readIfThere(fileOf(store, image));
  const [, digest, listing] = /^(sha256:[0-9a-f]{64})\n([\s\S]*)$/.exec(text) ?? [];
  if (digest === undefined || listing === undefined || digestOfListing(listing) !== digest) return undefined;
  return { listing, digest };
}

function readIfThere(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return "";
    throw error;
  }
}

function keep(store: Store, image: ImageDigest, listing: string): void {
  if (store.readOnly) return;
  const file = fileOf(store, image);
  const fresh = store.path("artifacts", `.tmp-${process.pid}-${hexOf(image).slice(0, 16)}`);
  try {
    mkdirSync(store.path("artifacts"), { recursive: true });
    writeFileSync(fresh, `${digestOfListing(listing)}\n${listing}`);
    renameSync(fresh, file);
  } catch (error) {
    rmSync(fresh, { force: true });
    // it is read again the next time
    if (!["ENOSPC", "EDQUOT", "EACCES", "EROFS"].includes((error as NodeJS.ErrnoException).code ?? "")) throw error;
  }
}
