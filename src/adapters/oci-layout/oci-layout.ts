import { lstatSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { hexOf, isSha256, type Sha256 } from "../../core/digest.ts";
import { BakehouseError } from "../../core/errors.ts";
import type { IndexEntry } from "../../core/image/oci.ts";
import { isReferrersEntry, subjectOfReferrers } from "../../core/image/referrers.ts";
import type { OciLayout } from "../../ports/oci-layouts.ts";
import { hashBlob } from "../store-contents/index.ts";

/** Whether a path is a folder that says it is an OCI image layout. */
export const isOciLayout = (path: string): boolean => statSync(join(path, "oci-layout"), { throwIfNoEntry: false })?.isFile() === true;

/** An SBOM of a large image in its envelope has some 20 MB; more is nothing that should be read into memory. */
const READ_LIMIT_BYTES = 64 * 1024 * 1024;

/**
 * Opens a layout in a folder for reading; nothing else of the machine is looked at.
 *
 * @param shown  what the user typed
 * @throws ARCHIVE_INVALID when its index cannot be read
 */
export function openOciLayout(folder: string, shown: string): OciLayout {
  const all = indexEntries(folder, shown);
  const file = (digest: Sha256): string => {
    const path = join(folder, "blobs", "sha256", hexOf(digest));
    // a layout of strangers may hold links to anywhere
    if (isSha256(digest) && lstatSync(path, { throwIfNoEntry: false })?.isFile() === true) return path;
    throw new BakehouseError("ARCHIVE_INVALID", `${shown} lacks the blob ${digest}`, { hint: "copy the layout again" });
  };
  return {
    entries: all.filter((entry) => !isReferrersEntry(entry)),
    attached: new Map(
      all.flatMap((entry) => {
        const subject = subjectOfReferrers(entry);
        return subject === undefined ? [] : [[subject, entry.digest] as const];
      }),
    ),
    has: (digest) => {
      try {
        return file(digest) !== "";
      } catch {
        return false;
      }
    },
    sizeBytes: (digest) => statSync(file(digest)).size,
    read: (digest) => {
      const path = file(digest);
      if (statSync(path).size > READ_LIMIT_BYTES)
        throw new BakehouseError("ARCHIVE_INVALID", `The blob ${digest} of ${shown} is too large to be read as a whole`);
      return readFileSync(path, "utf8");
    },
    hash: (digest, options) => hashBlob(file(digest), options),
  };
}

function indexEntries(folder: string, shown: string): readonly IndexEntry[] {
  const manifests = ((): unknown => {
    try {
      return (JSON.parse(readFileSync(join(folder, "index.json"), "utf8")) as { readonly manifests?: unknown } | null)?.manifests;
    } catch (error) {
      throw new BakehouseError(
        "ARCHIVE_INVALID",
        `${shown} is no sound OCI layout: index.json cannot be read`,
        { hint: "copy it again" },
        error,
      );
    }
  })();
  if (!Array.isArray(manifests))
    throw new BakehouseError("ARCHIVE_INVALID", `${shown} is no sound OCI layout: index.json lists no manifests`, {
      hint: "copy it again",
    });
  return manifests
    .filter((entry: Partial<IndexEntry> | null): entry is IndexEntry => typeof entry?.digest === "string" && isSha256(entry.digest))
    .map((entry) => ({ ...entry, annotations: (entry as Partial<IndexEntry>).annotations ?? {} }));
}
