import { createHash, hash } from "node:crypto";
import { closeSync, lstatSync, openSync, readdirSync, readlinkSync, readSync, type Stats } from "node:fs";
import { setImmediate as nextTurn } from "node:timers/promises";
import { canonicalLinks, contentListing } from "../../core/artifact/content-listing.ts";
import type { Sha256 } from "../../core/digest.ts";
import type { TreeEntry } from "../../core/layer/merge-layers.ts";
import type { TarEntryKind, Xattrs } from "../../core/layer/model.ts";
import { joinRaw, type RawPath } from "../../core/layer/raw-path.ts";
import { belongsToContent } from "../../core/layer/xattrs.ts";
import { readAttributes, readAttributesIfAny } from "../overlay-diffs/extended-attributes.ts";
import { throwIfCancelled } from "../overlay-diffs/run-program.ts";
import { deviceNumber } from "../overlay-diffs/write-tree.ts";

/** As `lost+found` of an ext4: made by mkfs, empty, and no part of the image. */
const LOST_AND_FOUND = "lost+found";

export interface ListContentOptions {
  readonly signal: AbortSignal;
  readonly onBytes?: (doneBytes: number) => void;
  /** The tree is an ext4 of our own making. */
  readonly ignoreLostAndFound?: boolean;
  /** A squashfs is, or is part of, the tree. */
  readonly isSquashfs?: boolean;
}

export const digestOfListing = (listing: string): Sha256 => `sha256:${hash("sha256", listing, "hex")}`;

/** Reads a mounted tree, every byte of it, into a content listing. Sockets are left out. */
export const listContent = async (directory: string, options: ListContentOptions): Promise<string> =>
  contentListing(canonicalLinks(await listEntries(directory, options)));

/** The entries by themselves, parents first. */
export async function listEntries(directory: string, options: ListContentOptions): Promise<readonly TreeEntry[]> {
  const attributes = await (options.isSquashfs === true ? readAttributesIfAny : readAttributes)(directory, options.signal);
  const walk = new Walk(directory, attributes, options);
  await walk.visit("");
  return walk.entries;
}

/** How long the event loop may wait for us; see write-tree.ts. */
const TURN_MS = 40;
/** 1 MiB: most files are read by one call. */
const BUFFER_BYTES = 1024 * 1024;

class Walk {
  readonly entries: TreeEntry[] = [];
  readonly #base: string;
  readonly #attributes: ReadonlyMap<RawPath, Xattrs>;
  readonly #options: ListContentOptions;
  readonly #buffer = Buffer.allocUnsafeSlow(BUFFER_BYTES);
  readonly #firstNames = new Map<string, RawPath>();
  #turnStarted = performance.now();
  #doneBytes = 0;

  constructor(directory: string, attributes: ReadonlyMap<RawPath, Xattrs>, options: ListContentOptions) {
    this.#base = Buffer.from(directory).toString("latin1");
    this.#attributes = attributes;
    this.#options = options;
  }

  async visit(path: RawPath): Promise<void> {
    if (performance.now() - this.#turnStarted > TURN_MS) await this.#giveWay();
    const stats = lstatSync(this.#host(path));
    if (stats.isSocket()) return;
    if (stats.isDirectory() && path === LOST_AND_FOUND && this.#options.ignoreLostAndFound === true) return;
    this.entries.push(this.#linked(path, stats) ?? (await this.#entry(path, stats)));
    if (!stats.isDirectory()) return;
    for (const name of readdirSync(this.#host(path), { encoding: "latin1" }).sort()) await this.visit(joinRaw(path, name));
  }

  /** A further name of something that was read already. */
  #linked(path: RawPath, stats: Stats): TreeEntry | undefined {
    if (stats.isDirectory() || stats.nlink === 1) return undefined;
    const inode = `${stats.dev}:${stats.ino}`;
    const first = this.#firstNames.get(inode);
    if (first === undefined) {
      this.#firstNames.set(inode, path);
      return undefined;
    }
    return { ...this.#common(path, stats), xattrs: new Map(), kind: "hardlink", linkTarget: first };
  }

  async #entry(path: RawPath, stats: Stats): Promise<TreeEntry> {
    const kind = kindOf(stats);
    return {
      ...this.#common(path, stats),
      kind,
      ...(kind === "file" ? { sizeBytes: stats.size, sha256: await this.#hash(path, stats) } : {}),
      ...(kind === "symlink" ? { linkTarget: readlinkSync(this.#host(path), { encoding: "latin1" }) } : {}),
      ...(kind.endsWith("-device") ? { device: deviceNumber(stats.rdev) } : {}),
    };
  }

  #common(path: RawPath, stats: Stats): Omit<TreeEntry, "kind"> {
    const xattrs = [...(this.#attributes.get(path) ?? [])].filter(([name]) => belongsToContent(name));
    return {
      layer: "",
      path,
      mode: stats.mode & 0o7777,
      uid: stats.uid,
      gid: stats.gid,
      sizeBytes: 0,
      mtimeSeconds: Math.max(0, Math.floor(stats.mtimeMs / 1000)),
      xattrs: new Map(xattrs),
    };
  }

  async #hash(path: RawPath, stats: Stats): Promise<string> {
    if (stats.size === 0) return EMPTY;
    const descriptor = openSync(this.#host(path), "r");
    try {
      const first = readSync(descriptor, this.#buffer, 0, BUFFER_BYTES, null);
      if (first === stats.size) {
        this.#doneBytes += first;
        return hash("sha256", this.#buffer.subarray(0, first), "hex");
      }
      const sum = createHash("sha256");
      for (let count = first; count > 0; count = readSync(descriptor, this.#buffer, 0, BUFFER_BYTES, null)) {
        sum.update(this.#buffer.subarray(0, count));
        this.#doneBytes += count;
        if (performance.now() - this.#turnStarted > TURN_MS) await this.#giveWay();
      }
      return sum.digest("hex");
    } finally {
      closeSync(descriptor);
    }
  }

  async #giveWay(): Promise<void> {
    this.#options.onBytes?.(this.#doneBytes);
    await nextTurn();
    throwIfCancelled(this.#options.signal);
    this.#turnStarted = performance.now();
  }

  #host(path: RawPath): Buffer {
    return Buffer.from(path === "" ? this.#base : `${this.#base}/${path}`, "latin1");
  }
}

const EMPTY = hash("sha256", "", "hex");

function kindOf(stats: Stats): TarEntryKind {
  if (stats.isDirectory()) return "directory";
  if (stats.isSymbolicLink()) return "symlink";
  if (stats.isCharacterDevice()) return "character-device";
  if (stats.isBlockDevice()) return "block-device";
  return stats.isFIFO() ? "fifo" : "file";
}
