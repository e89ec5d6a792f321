import { lstatSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { hexOf, isSha256, type Sha256 } from "../../core/digest.ts";
import { BakehouseError } from "../../core/errors.ts";
import type { IndexEntry } from "../../core/image/oci.ts";
import { isReferrersEntry, subjectOfReferrers } from "../../core/image/referrers.ts";
import type { OciLayout } from "../../ports/oci-layouts.ts";
import { readTarEntries } from "../overlay-diffs/index.ts";
import { hashBlob } from "../store-contents/index.ts";

/** Whether a path is a folder that says it is an OCI image layout, or a tar, which may hold one. */
export function isOciLayout(path: string): boolean {
  const isTar = /\.tar(?:\.(?:gz|xz|zst))?$/.test(path) && statSync(path, { throwIfNoEntry: false })?.isFile() === true;
  return isTar || statSync(join(path, "oci-layout"), { throwIfNoEntry: false })?.isFile() === true;
}

/** An SBOM of a large image in its envelope has some 20 MB; more is nothing that should be read into memory. */
const READ_LIMIT_BYTES = 64 * 1024 * 1024;

interface OpenOptions {
  /** What the user typed. */
  readonly shown: string;
  readonly signal: AbortSignal;
}

/**
 * Opens a layout in a folder or a tar for reading; nothing else of the machine is looked at, and nothing is written.
 *
 * @throws ARCHIVE_INVALID when its index cannot be read
 */
export const openOciLayout = async (path: string, options: OpenOptions): Promise<OciLayout> =>
  statSync(path).isDirectory() ? folderLayout(path, options.shown) : tarLayout(path, options);

function folderLayout(folder: string, shown: string): OciLayout {
  const file = (digest: Sha256): string | undefined => {
    const path = join(folder, "blobs", "sha256", hexOf(digest));
    // a layout of strangers may hold links to anywhere
    return isSha256(digest) && lstatSync(path, { throwIfNoEntry: false })?.isFile() === true ? path : undefined;
  };
  const there = (digest: Sha256): string => file(digest) ?? lacking(shown, digest);
  return {
    ...indexed(shown, () => readFileSync(join(folder, "index.json"), "utf8")),
    has: (digest) => file(digest) !== undefined,
    sizeBytes: (digest) => statSync(there(digest)).size,
    read: (digest) => {
      if (statSync(there(digest)).size > READ_LIMIT_BYTES) return tooLarge(shown, digest);
      return readFileSync(there(digest), "utf8");
    },
    hash: (digest, options) => hashBlob(there(digest), options),
  };
}

interface TarBlob {
  readonly sizeBytes: number;
  readonly sha256: Sha256;
  /** Of what may be JSON. */
  readonly content?: Uint8Array;
}

/** One pass from front to end: each blob is hashed on the way, and what begins as JSON does is kept. */
async function tarLayout(path: string, { shown, signal }: OpenOptions): Promise<OciLayout> {
  const blobs = new Map<string, TarBlob>();
  let index: string | undefined;
  const wantsContent = ({ path: name, sizeBytes }: { readonly path: string; readonly sizeBytes: number }): boolean =>
    name === "index.json" || (name.startsWith("blobs/sha256/") && sizeBytes <= READ_LIMIT_BYTES);
  for await (const { path: name, kind, sizeBytes, sha256, content } of readTarEntries(path, { hash: true, wantsContent, signal })) {
    if (kind !== "file" || sha256 === undefined) continue;
    if (name === "index.json") index = new TextDecoder().decode(content);
    const hex = /^blobs\/sha256\/([0-9a-f]{64})$/.exec(name)?.[1];
    if (hex === undefined) continue;
    const isJson = content?.[0] === "{".charCodeAt(0);
    blobs.set(`sha256:${hex}`, { sizeBytes, sha256: `sha256:${sha256}`, ...(isJson && content !== undefined ? { content } : {}) });
  }
  const there = (digest: Sha256): TarBlob => blobs.get(digest) ?? lacking(shown, digest);
  return {
    ...indexed(shown, () => {
      if (index === undefined) throw new Error("it is missing");
      return index;
    }),
    has: (digest) => blobs.has(digest),
    sizeBytes: (digest) => there(digest).sizeBytes,
    read: (digest) => new TextDecoder().decode(there(digest).content ?? new Uint8Array()),
    hash: (digest, { onBytes }) => {
      const { sha256, sizeBytes } = there(digest);
      onBytes(sizeBytes);
      return Promise.resolve(sha256);
    },
  };
}

function lacking(shown: string, digest: Sha256): never {
  throw new BakehouseError("ARCHIVE_INVALID", `${shown} lacks the blob ${digest}`, { hint: "copy the layout again" });
}

function tooLarge(shown: string, digest: Sha256): never {
  throw new BakehouseError("ARCHIVE_INVALID", `The blob ${digest} of ${shown} is too large to be read as a whole`);
}

function indexed(shown: string, read: () => string): Pick<OciLayout, "entries" | "attached"> {
  const all = indexEntries(shown, read);
  return {
    entries: all.filter((entry) => !isReferrersEntry(entry)),
    attached: new Map(
      all.flatMap((entry) => {
        const subject = subjectOfReferrers(entry);
        return subject === undefined ? [] : [[subject, entry.digest] as const];
      }),
    ),
  };
}

function indexEntries(shown: string, read: () => string): readonly IndexEntry[] {
  const invalid = (why: string, cause?: unknown): BakehouseError =>
    new BakehouseError("ARCHIVE_INVALID", `${shown} is no sound OCI layout: index.json ${why}`, { hint: "copy it again" }, cause);
  const manifests = ((): unknown => {
    try {
      return (JSON.parse(read()) as { readonly manifests?: unknown } | null)?.manifests;
    } catch (error) {
      throw invalid("cannot be read", error);
    }
  })();
  if (!Array.isArray(manifests)) throw invalid("lists no manifests");
  return manifests
    .filter((entry: Partial<IndexEntry> | null): entry is IndexEntry => typeof entry?.digest === "string" && isSha256(entry.digest))
    .map((entry) => ({ ...entry, annotations: (entry as Partial<IndexEntry>).annotations ?? {} }));
}
