import type { TreeEntry } from "./merge-layers.ts";
import type { Xattrs } from "./model.ts";
import type { RawPath } from "./raw-path.ts";

/** What differs about an entry that both trees have. */
export type ChangedAspect = "kind" | "content" | "mode" | "owner" | "link" | "device" | "xattrs" | "time";

export type TreeChange =
  | { readonly change: "added"; readonly path: RawPath; readonly after: TreeEntry }
  | { readonly change: "removed"; readonly path: RawPath; readonly before: TreeEntry }
  | {
      readonly change: "changed";
      readonly path: RawPath;
      readonly before: TreeEntry;
      readonly after: TreeEntry;
      readonly aspects: readonly ChangedAspect[];
    };

export interface ChangeTotals {
  readonly added: number;
  readonly removed: number;
  readonly changed: number;
  /** Bytes of the files that are new, of those that are gone, and how much the changed ones grew (or shrank). */
  readonly addedBytes: number;
  readonly removedBytes: number;
  readonly grownBytes: number;
}

export interface CompareOptions {
  /** Report entries of which only the modification time differs. Default false: a directory's changes with everything in it. */
  readonly times?: boolean;
}

/**
 * Compares two merged trees. Contents count as equal when they come from the same layer, else by SHA-256 where both
 * were hashed, else by size and modification time.
 *
 * @param before  sorted by path as `mergeLayers` returns it, like `after`
 * @returns in the order of the paths
 */
export function compareTrees(
  before: readonly TreeEntry[],
  after: readonly TreeEntry[],
  options: CompareOptions = {},
): readonly TreeChange[] {
  const old = new Map(before.map((entry) => [entry.path, entry]));
  const present = new Set(after.map((entry) => entry.path));
  const changes: TreeChange[] = [];
  for (const entry of after) {
    const previous = old.get(entry.path);
    if (previous === undefined) changes.push({ change: "added", path: entry.path, after: entry });
    else {
      const aspects = aspectsOf(previous, entry, options.times ?? false);
      if (aspects.length > 0) changes.push({ change: "changed", path: entry.path, before: previous, after: entry, aspects });
    }
  }
  for (const entry of before) if (!present.has(entry.path)) changes.push({ change: "removed", path: entry.path, before: entry });
  return changes.sort((a, b) => (a.path < b.path ? -1 : a.path > b.path ? 1 : 0));
}

export function totalsOf(changes: readonly TreeChange[]): ChangeTotals {
  const totals = { added: 0, removed: 0, changed: 0, addedBytes: 0, removedBytes: 0, grownBytes: 0 };
  for (const change of changes) {
    totals[change.change] += 1;
    if (change.change === "added") totals.addedBytes += ownBytes(change.after);
    else if (change.change === "removed") totals.removedBytes += ownBytes(change.before);
    else totals.grownBytes += ownBytes(change.after) - ownBytes(change.before);
  }
  return totals;
}

/** A hard link takes no space of its own. */
const ownBytes = (entry: TreeEntry): number => (entry.kind === "file" ? entry.sizeBytes : 0);

function aspectsOf(before: TreeEntry, after: TreeEntry, times: boolean): readonly ChangedAspect[] {
  if (before === after) return [];
  if (shape(before) !== shape(after)) return ["kind"];
  const aspects: ChangedAspect[] = [];
  if (shape(after) === "file" && !sameContent(before, after)) aspects.push("content");
  if (before.mode !== after.mode && after.kind !== "symlink") aspects.push("mode");
  if (before.uid !== after.uid || before.gid !== after.gid) aspects.push("owner");
  if (after.kind === "symlink" && before.linkTarget !== after.linkTarget) aspects.push("link");
  if (before.device?.major !== after.device?.major || before.device?.minor !== after.device?.minor) aspects.push("device");
  if (!sameXattrs(before.xattrs, after.xattrs)) aspects.push("xattrs");
  if (times && before.mtimeSeconds !== after.mtimeSeconds) aspects.push("time");
  return aspects;
}

/** Which of several names of one file carries the content says nothing to people. */
const shape = (entry: TreeEntry): string => (entry.kind === "hardlink" ? "file" : entry.kind);

function sameContent(before: TreeEntry, after: TreeEntry): boolean {
  if (before.layer === after.layer) return true;
  if (before.sizeBytes !== after.sizeBytes) return false;
  if (before.sha256 !== undefined && after.sha256 !== undefined) return before.sha256 === after.sha256;
  return before.mtimeSeconds === after.mtimeSeconds;
}

function sameXattrs(before: Xattrs | undefined, after: Xattrs | undefined): boolean {
  if ((before?.size ?? 0) !== (after?.size ?? 0)) return false;
  return [...(before ?? [])].every(([name, value]) => {
    const other = after?.get(name);
    return other !== undefined && other.length === value.length && value.every((byte, at) => byte === other[at]);
  });
}
