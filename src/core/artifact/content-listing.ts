import type { ListedEntry, TreeEntry } from "../layer/merge-layers.ts";
import type { Xattrs } from "../layer/model.ts";
import { rawFromBytes, rawFromText, textOfRaw, type RawPath } from "../layer/raw-path.ts";

/**
 * The content of an image as a text, the same for every format that it is exported in; its SHA-256 is the content digest. One line
 * for each entry, parents first and bytewise by name, fields parted by one space:
 *
 *     bakehouse-content 1
 *     d <mode> <uid>:<gid> <mtime> <path>
 *     f <mode> <uid>:<gid> <mtime> <path> <size> <SHA-256>
 *     l <mode> <uid>:<gid> <mtime> <path> <what the link says>
 *     c <mode> <uid>:<gid> <mtime> <path> <major>,<minor>         b: block device
 *     p <mode> <uid>:<gid> <mtime> <path>                         fifo
 *     h <path> <path of the name that has the content>            a further name of a file, device or fifo
 *
 * Extended attributes follow as `<name>=<base64>`, sorted. Mode is octal (777 for links), times are whole seconds since 1970, paths
 * start with `/`, and in names every byte outside of `!`…`~`, and `%`, is `%` with two hexadecimal digits.
 */
const CONTENT_HEADING = "bakehouse-content 1";

const LETTERS = {
  file: "f",
  directory: "d",
  symlink: "l",
  "character-device": "c",
  "block-device": "b",
  fifo: "p",
  hardlink: "h",
} as const;

/** @param entries  as `canonicalLinks` gives them; files with their SHA-256 */
export const contentListing = (entries: readonly ListedEntry[]): string => `${[CONTENT_HEADING, ...entries.map(lineOf)].join("\n")}\n`;

function lineOf(entry: ListedEntry): string {
  const path = quoted(`/${entry.path}`);
  if (entry.kind === "hardlink") return `h ${path} ${quoted(`/${entry.linkTarget ?? ""}`)}`;
  const mode = entry.kind === "symlink" ? 0o777 : entry.mode;
  const fields = [LETTERS[entry.kind], mode.toString(8), `${entry.uid}:${entry.gid}`, String(entry.mtimeSeconds), path];
  if (entry.kind === "file") fields.push(String(entry.sizeBytes), entry.sha256 ?? "?");
  if (entry.kind === "symlink") fields.push(quoted(entry.linkTarget ?? ""));
  if (entry.kind.endsWith("-device")) fields.push(`${entry.device?.major ?? 0},${entry.device?.minor ?? 0}`);
  return [...fields, ...attributesOf(entry.xattrs)].join(" ");
}

const attributesOf = (xattrs: Xattrs | undefined): readonly string[] =>
  [...(xattrs ?? [])].map(([name, value]) => `${quoted(rawFromText(name))}=${btoa(rawFromBytes(value))}`).sort();

const quoted = (raw: RawPath): string => raw.replace(/[^!-$&-~]/g, (byte) => `%${byte.charCodeAt(0).toString(16).padStart(2, "0")}`);

const unquoted = (text: string): string =>
  textOfRaw(text.replace(/%([0-9a-f]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16))));

/**
 * Of a file with several names the first in order has the content and the others are links to it, whichever way the archive had it,
 * and whichever of them a layer above has replaced.
 */
export function canonicalLinks(tree: readonly TreeEntry[]): readonly ListedEntry[] {
  const firstNames = new Map<string, RawPath>();
  const linked = new Set(tree.filter(({ kind }) => kind === "hardlink").map(groupOf));
  return tree.map((entry): ListedEntry => {
    if (entry.kind === "directory" || !linked.has(groupOf(entry))) return entry;
    const first = firstNames.get(groupOf(entry));
    if (first !== undefined) return { ...entry, kind: "hardlink", linkTarget: first };
    firstNames.set(groupOf(entry), entry.path);
    return entry.kind === "hardlink" ? { ...entry, kind: "file" } : entry;
  });
}

const groupOf = (entry: TreeEntry): string => `${entry.layer} ${entry.kind === "hardlink" ? (entry.linkTarget ?? "") : entry.path}`;

const ACCESS_LIST = / system\.posix_acl_\w+=\S+/g;

/** Paths with POSIX access lists. A squashfs cannot hold those (Linux reads `user.`, `trusted.` and `security.` attributes of it only). */
export const accessListsIn = (listing: string): readonly string[] =>
  listing
    .split("\n")
    .filter((line) => line.search(ACCESS_LIST) >= 0)
    .map((line) => unquoted(line.split(" ", 5)[4] ?? ""));

export const withoutAccessLists = (listing: string): string => listing.replace(ACCESS_LIST, "");

export interface ContentDifference {
  readonly path: string;
  readonly change: "missing" | "added" | "changed";
  /** What of it differs, such as `content, mode`. */
  readonly what?: string;
}

const NAMES: Readonly<Record<string, readonly string[]>> = {
  f: ["mode", "owner", "time", "", "size", "content"],
  d: ["mode", "owner", "time"],
  l: ["mode", "owner", "time", "", "link"],
  c: ["mode", "owner", "time", "", "device"],
  b: ["mode", "owner", "time", "", "device"],
  p: ["mode", "owner", "time"],
  h: ["", "link"],
};

/** What differs between two listings, in the order of the paths. */
export function compareListings(expected: string, found: string): readonly ContentDifference[] {
  const [before, after] = [linesByPath(expected), linesByPath(found)];
  const differences: ContentDifference[] = [];
  for (const [path, line] of before) {
    const now = after.get(path);
    if (now === undefined) differences.push({ path: unquoted(path), change: "missing" });
    else if (now !== line) differences.push({ path: unquoted(path), change: "changed", what: aspectsOf(line.split(" "), now.split(" ")) });
  }
  for (const path of after.keys()) if (!before.has(path)) differences.push({ path: unquoted(path), change: "added" });
  return differences.sort((a, b) => (a.path < b.path ? -1 : a.path > b.path ? 1 : 0));
}

function linesByPath(listing: string): ReadonlyMap<string, string> {
  const lines = listing.split("\n").slice(1, -1);
  return new Map(lines.map((line) => [line.split(" ", 5)[line.startsWith("h ") ? 1 : 4] ?? "", line]));
}

function aspectsOf(before: readonly string[], after: readonly string[]): string {
  const [kind = ""] = before;
  if (kind !== after[0]) return "kind";
  const names = NAMES[kind] ?? [];
  const aspects = names.filter((name, index) => name !== "" && before[index + 1] !== after[index + 1]);
  const attributes = (fields: readonly string[]): string => fields.slice(names.length + (kind === "d" || kind === "p" ? 2 : 1)).join(" ");
  if (attributes(before) !== attributes(after)) aspects.push("attributes");
  return aspects.join(", ");
}
