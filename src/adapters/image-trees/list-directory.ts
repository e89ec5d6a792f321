import { createHash } from "node:crypto";
import { closeSync, lstatSync, openSync, readdirSync, readFileSync, readlinkSync, readSync, type Stats } from "node:fs";
import type { ListedEntry } from "../../core/layer/merge-layers.ts";
import type { TarEntryKind } from "../../core/layer/model.ts";
import { joinRaw, type RawPath } from "../../core/layer/raw-path.ts";
import type { ListOptions } from "../../ports/image-trees.ts";
import { deviceNumber } from "../overlay-diffs/write-tree.ts";

/** The entries of a mounted tree, parents first, in the form that a layer's tar has. Hard links come out as files of their own. */
export function listDirectory(directory: string, options: ListOptions = {}): readonly ListedEntry[] {
  const base = Buffer.from(directory).toString("latin1");
  const hostPath = (path: RawPath): Buffer => Buffer.from(path === "" ? base : `${base}/${path}`, "latin1");
  const entries: ListedEntry[] = [];
  const visit = (path: RawPath): void => {
    options.signal?.throwIfAborted();
    const stats = lstatSync(hostPath(path));
    entries.push(entryOf(path, stats, hostPath(path), options));
    if (stats.isDirectory()) for (const name of readdirSync(hostPath(path), { encoding: "latin1" }).sort()) visit(joinRaw(path, name));
  };
  visit("");
  return entries;
}

function entryOf(path: RawPath, stats: Stats, hostPath: Buffer, options: ListOptions): ListedEntry {
  const kind = kindOf(stats);
  return {
    path,
    kind,
    mode: stats.mode & 0o7777,
    uid: stats.uid,
    gid: stats.gid,
    sizeBytes: kind === "file" ? stats.size : 0,
    mtimeSeconds: Math.floor(stats.mtimeMs / 1000),
    ...(kind === "symlink" ? { linkTarget: readlinkSync(hostPath, { encoding: "latin1" }) } : {}),
    ...(kind.endsWith("-device") ? { device: deviceNumber(stats.rdev) } : {}),
    ...(options.hash === true && kind === "file" ? { sha256: hashFile(hostPath) } : {}),
    ...(options.hash === true && options.sha1 === true && kind === "file" ? { sha1: hashFile(hostPath, "sha1") } : {}),
    ...(kind === "file" && options.wantsContent?.({ path }) === true ? { content: readFileSync(hostPath) } : {}),
  };
}

function kindOf(stats: Stats): TarEntryKind {
  if (stats.isDirectory()) return "directory";
  if (stats.isSymbolicLink()) return "symlink";
  if (stats.isCharacterDevice()) return "character-device";
  if (stats.isBlockDevice()) return "block-device";
  return stats.isFIFO() ? "fifo" : "file";
}

/** 256 KiB: beyond that, reading gets no faster. */
const buffer = Buffer.allocUnsafeSlow(256 * 1024);

/** Hex digest of a file's content. */
export function hashFile(path: string | Buffer, algorithm: "sha256" | "sha1" = "sha256"): string {
  const hash = createHash(algorithm);
  const descriptor = openSync(path, "r");
  try {
    for (let count = readSync(descriptor, buffer); count > 0; count = readSync(descriptor, buffer)) hash.update(buffer.subarray(0, count));
  } finally {
    closeSync(descriptor);
  }
  return hash.digest("hex");
}
