import { lstatSync, readdirSync, readlinkSync, type Stats } from "node:fs";
import type { DiffId } from "../../core/digest.ts";
import type { ListedEntry } from "../../core/layer/merge-layers.ts";
import { joinRaw, textOfRaw, type RawPath } from "../../core/layer/raw-path.ts";
import { whiteoutOf } from "../../core/layer/whiteout.ts";
import { belongsToContent, OPAQUE_MARK } from "../../core/layer/xattrs.ts";
import type { Xattrs } from "../../core/layer/model.ts";
import type { Store } from "../../ports/store.ts";
import { hashFile } from "../image-trees/index.ts";
import { readTarEntries } from "../overlay-diffs/index.ts";
import { readAttributes } from "../overlay-diffs/extended-attributes.ts";
import { deviceNumber } from "../overlay-diffs/write-tree.ts";

/** One damaged folder can differ in every file; nobody reads more. */
const LIMIT = 20;

export interface CompareOptions {
  readonly deep: boolean;
  readonly signal: AbortSignal;
}

/** Compares an unpacked diff with its tar; one line for each difference, at most 20. */
export async function compareDiff(store: Store, diff: DiffId, options: CompareOptions): Promise<readonly string[]> {
  const comparison = new Comparison(store.diffs.folder(diff), options);
  const entries: ListedEntry[] = [];
  for await (const entry of readTarEntries(store.blobs.path(diff), { hash: options.deep, signal: options.signal })) entries.push(entry);
  return comparison.run(entries);
}

class Comparison {
  private readonly base: string;
  private readonly options: CompareOptions;
  private readonly directory: string;
  private readonly found: string[] = [];

  constructor(directory: string, options: CompareOptions) {
    this.directory = directory;
    this.base = Buffer.from(directory).toString("latin1");
    this.options = options;
  }

  async run(entries: readonly ListedEntry[]): Promise<readonly string[]> {
    const expected = lastOfEach(entries);
    const attributes = this.options.deep ? await readAttributes(this.directory, this.options.signal) : undefined;
    const opaque = new Set(entries.flatMap(({ path }) => (whiteoutOf(path)?.kind === "opaque" ? [whiteoutOf(path)?.path ?? ""] : [])));
    for (const [path, entry] of expected) {
      if (this.found.length >= LIMIT) break;
      this.options.signal.throwIfAborted();
      this.compare(path, entry, expected);
      if (attributes !== undefined) this.compareAttributes(path, entry, attributes.get(path), opaque.has(path), expected);
    }
    this.findStrangers("", expected);
    return this.found.slice(0, LIMIT);
  }

  private compare(path: RawPath, entry: ListedEntry | "removed", expected: ReadonlyMap<RawPath, ListedEntry | "removed">): void {
    const stats = lstatSync(this.hostPath(path), { throwIfNoEntry: false });
    if (stats === undefined) return this.say(path, "is missing");
    if (entry === "removed") {
      if (!isWhiteout(stats)) this.say(path, "is no whiteout");
      return;
    }
    const target = entry.kind === "hardlink" ? expected.get(entry.linkTarget ?? "") : entry;
    if (target === undefined || target === "removed") return;
    const difference = differenceOf(target, stats) ?? this.linkDifference(path, entry, stats);
    if (difference !== undefined) this.say(path, difference);
    else if (this.options.deep && target.sha256 !== undefined && hashFile(this.hostPath(path)) !== target.sha256)
      this.say(path, "has other content");
  }

  private linkDifference(path: RawPath, entry: ListedEntry, stats: Stats): string | undefined {
    if (entry.kind === "symlink" && readlinkSync(this.hostPath(path), { encoding: "latin1" }) !== entry.linkTarget)
      return "leads elsewhere";
    if (entry.kind !== "hardlink") return undefined;
    const other = lstatSync(this.hostPath(entry.linkTarget ?? ""), { throwIfNoEntry: false });
    return other?.ino === stats.ino ? undefined : `is no hard link to ${textOfRaw(entry.linkTarget ?? "")}`;
  }

  private compareAttributes(
    path: RawPath,
    entry: ListedEntry | "removed",
    found: Xattrs | undefined,
    opaque: boolean,
    expected: ReadonlyMap<RawPath, ListedEntry | "removed">,
  ): void {
    if (entry === "removed") return;
    const source = entry.kind === "hardlink" ? expected.get(entry.linkTarget ?? "") : entry;
    const wanted = source === undefined || source === "removed" ? undefined : source.xattrs;
    const content = [...(found ?? [])].filter(([name]) => belongsToContent(name));
    const same =
      content.length === (wanted?.size ?? 0) &&
      content.every(([name, value]) => Buffer.from(value).equals(Buffer.from(wanted?.get(name) ?? [])));
    if (!same) this.say(path, "has other extended attributes");
    if (opaque !== (found?.get(OPAQUE_MARK)?.[0] === 0x79))
      this.say(path, opaque ? "lacks its opaque mark" : "hides what is below, which its tar does not");
  }

  /** What the folder has and the tar has not. Directories that the tar only implies are no strangers. */
  private findStrangers(path: RawPath, expected: ReadonlyMap<RawPath, unknown>): void {
    for (const name of readdirSync(this.hostPath(path), { encoding: "latin1" })) {
      if (this.found.length >= LIMIT) return;
      const child = joinRaw(path, name);
      const stats = lstatSync(this.hostPath(child), { throwIfNoEntry: false });
      if (stats?.isDirectory() === true) this.findStrangers(child, expected);
      else if (!expected.has(child)) this.say(child, "is not in the tar");
    }
  }

  private say(path: RawPath, what: string): void {
    this.found.push(`/${textOfRaw(path)} ${what}`);
  }

  private hostPath(path: RawPath): Buffer {
    return Buffer.from(path === "" ? this.base : `${this.base}/${path}`, "latin1");
  }
}

/** A later entry of a name replaces an earlier one; whiteouts stand under the name that they take away. */
function lastOfEach(entries: readonly ListedEntry[]): ReadonlyMap<RawPath, ListedEntry | "removed"> {
  const expected = new Map<RawPath, ListedEntry | "removed">();
  for (const entry of entries) {
    const whiteout = whiteoutOf(entry.path);
    if (whiteout === undefined) expected.set(entry.path, entry);
    else if (whiteout.kind === "removed") expected.set(whiteout.path, "removed");
  }
  return expected;
}

const isWhiteout = (stats: Stats): boolean => stats.isCharacterDevice() && stats.rdev === 0;

function differenceOf(entry: ListedEntry, stats: Stats): string | undefined {
  if (!hasKind(entry, stats)) return `is no ${entry.kind}`;
  if (entry.kind === "file" && stats.size !== entry.sizeBytes) return `has ${stats.size} bytes, not ${entry.sizeBytes}`;
  const mode = stats.mode & 0o7777;
  if (entry.kind !== "symlink" && mode !== entry.mode) return `has mode ${mode.toString(8)}, not ${entry.mode.toString(8)}`;
  if (stats.uid !== entry.uid || stats.gid !== entry.gid) return `belongs to ${stats.uid}:${stats.gid}, not ${entry.uid}:${entry.gid}`;
  if (Math.floor(stats.mtimeMs / 1000) !== entry.mtimeSeconds) return "has another time";
  if (entry.device === undefined) return undefined;
  const { major, minor } = deviceNumber(stats.rdev);
  return major === entry.device.major && minor === entry.device.minor ? undefined : "is another device";
}

function hasKind(entry: ListedEntry, stats: Stats): boolean {
  switch (entry.kind) {
    case "file":
    case "hardlink":
      return stats.isFile();
    case "directory":
      return stats.isDirectory();
    case "symlink":
      return stats.isSymbolicLink();
    case "character-device":
      return stats.isCharacterDevice();
    case "block-device":
      return stats.isBlockDevice();
    case "fifo":
      return stats.isFIFO();
  }
}
