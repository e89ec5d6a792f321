import { lstatSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { shortDigest, type DiffId, type Sha256 } from "../../core/digest.ts";
import { BakehouseError } from "../../core/errors.ts";
import type { ListedEntry } from "../../core/layer/merge-layers.ts";
import type { ImageTrees, ListOptions } from "../../ports/image-trees.ts";
import type { Store } from "../../ports/store.ts";
import { overlayDiffs, readTarEntries } from "../overlay-diffs/index.ts";
import { listDirectory } from "./list-directory.ts";
import { openPrivateTree, openPrivateVolume, type StorePlaces } from "./private-mounts.ts";

/** Trees of the images of a local store: layers from their tars, merged trees by overlayfs, volumes by erofs. */
export function localImageTrees(store: Store): ImageTrees {
  const places: StorePlaces = {
    diffs: store.path("diffs"),
    blobs: store.path("oci", "blobs", "sha256"),
    diffName: (diff) => store.diffs.name(diff),
  };
  return {
    layer: (diff, options) => listLayer(blobPath(store, diff), options),
    volume: async (blob, options) => {
      blobPath(store, blob);
      const tree = await openPrivateVolume(places, blob);
      try {
        return listDirectory(tree.hostPath, options);
      } finally {
        await tree.close();
      }
    },
    readFile: (diffs, path) => readMergedFile(store, diffs, path),
    open: (source, options) => openPrivateTree(places, source, options?.uncovered),
    ensureUnpacked: (diffs) => ensureUnpacked(store, diffs),
  };
}

function blobPath(store: Store, digest: Sha256): string {
  if (store.blobs.has(digest)) return store.blobs.path(digest);
  throw new BakehouseError("STORE_DAMAGED", `The blob ${shortDigest(digest)} is missing`, { hint: "bakehouse verify --repair" });
}

async function listLayer(tar: string, options: ListOptions = {}): Promise<readonly ListedEntry[]> {
  const entries: ListedEntry[] = [];
  for await (const entry of readTarEntries(tar, options)) entries.push(entry);
  return entries;
}

/** The highest diff that has the path decides; a whiteout there (a character device) says that the file is gone. */
async function readMergedFile(store: Store, diffs: readonly DiffId[], path: string): Promise<string | undefined> {
  for (const diff of [...diffs].reverse()) {
    const found = store.diffs.has(diff) ? fromFolder(store.diffs.folder(diff), path) : await fromTar(blobPath(store, diff), path);
    if (found !== undefined) return found.content;
  }
  return undefined;
}

function fromFolder(folder: string, path: string): { readonly content?: string } | undefined {
  let at = folder;
  for (const part of path.split("/").filter((name) => name !== "")) {
    at = join(at, part);
    const stats = lstatSync(at, { throwIfNoEntry: false });
    if (stats === undefined) return undefined;
    if (!stats.isDirectory()) return stats.isFile() ? { content: readFileSync(at, "utf8") } : {};
  }
  return {};
}

async function fromTar(tar: string, path: string): Promise<{ readonly content?: string } | undefined> {
  const wanted = path.replace(/^\//, "");
  for await (const entry of readTarEntries(tar, { wantsContent: (each) => each.path === wanted })) {
    if (entry.path === wanted && entry.content !== undefined) return { content: Buffer.from(entry.content).toString("utf8") };
  }
  return undefined;
}

async function ensureUnpacked(store: Store, diffs: readonly DiffId[]): Promise<readonly DiffId[]> {
  const missing = diffs.filter((diff) => !store.diffs.has(diff));
  if (missing.length === 0) return [];
  const id = `unpack-${process.pid}-${Date.now().toString(36)}`;
  const folder = store.workFolder(id);
  try {
    for (const diff of missing) await unpackInto(store, diff, join(folder, store.diffs.name(diff)));
  } finally {
    store.releaseWorkFolder(id);
  }
  return missing;
}

/** Unpacks a diff from its blob beside its place and moves it there. */
export async function unpackInto(store: Store, diff: DiffId, folder: string): Promise<void> {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder);
  await overlayDiffs().unpack(blobPath(store, diff), folder, diff);
  store.diffs.adopt(folder, diff);
}
