import { createHash } from "node:crypto";
import type { Sha256 } from "../../core/digest.ts";
import { problemsError } from "../../core/errors.ts";
import type { Problem } from "../../core/errors.ts";
import type { FileRequest } from "../../core/step.ts";
import type { StatCache } from "./stat-cache.ts";
import { normalisePath, openFolder, walk } from "./walk.ts";
import type { WalkedEntry } from "./walk.ts";

/** One input as the cache key sees it. `path` is relative to the recipe's folder. */
export type ManifestEntry =
  | { readonly path: string; readonly kind: "file"; readonly executable: boolean; readonly sha256: Sha256 }
  | { readonly path: string; readonly kind: "directory" }
  | { readonly path: string; readonly kind: "symlink"; readonly target: string };

export interface InputManifest {
  /** Of all entries, in order of their paths. */
  readonly digest: Sha256;
  readonly entries: readonly ManifestEntry[];
}

/**
 * Names, kinds, executable bits and contents of everything that the requests stand for; neither times, owners nor other
 * mode bits, since those come from the host. A step that runs long should be hashed again afterwards: if the digest
 * moved, somebody changed an input while it was read, and the result must not be kept under the first digest.
 *
 * @throws BakehouseError INPUT_INVALID with every problem of every request
 */
export function hashInputs(folder: string, requests: readonly FileRequest[], cache: StatCache): InputManifest {
  const opened = openFolder(folder);
  const problems: Problem[] = [...opened.problems];
  const found = new Map<string, ManifestEntry>();
  for (const request of requests) {
    const walked = walk(opened, request);
    problems.push(...walked.problems);
    const base = normalisePath(request.path);
    for (const entry of walked.entries) {
      const path = joinPath(base, entry.path);
      if (!found.has(path)) found.set(path, manifestEntry(path, entry, cache));
    }
  }
  if (problems.length > 0) throw problemsError("INPUT_INVALID", problems);
  const entries = [...found.values()].sort((a, b) => (a.path < b.path ? -1 : 1));
  return { digest: digestOf(entries), entries };
}

const joinPath = (base: string, path: string): string => (base === "" || path === "" ? base + path : `${base}/${path}`);

function manifestEntry(path: string, entry: WalkedEntry, cache: StatCache): ManifestEntry {
  if (entry.kind === "directory") return { path, kind: "directory" };
  if (entry.kind === "symlink") return { path, kind: "symlink", target: entry.linkTarget ?? "" };
  return { path, kind: "file", executable: isExecutable(entry), sha256: cache.digestOf(entry.hostPath, entry.stats) };
}

export const isExecutable = (entry: WalkedEntry): boolean => (entry.stats.mode & 0o100) !== 0;

/** One line an entry; paths as JSON, so that no name can look like two lines. */
function digestOf(entries: readonly ManifestEntry[]): Sha256 {
  const lines = entries.map((entry) => {
    const path = JSON.stringify(entry.path);
    if (entry.kind === "directory") return `d ${path}\n`;
    if (entry.kind === "symlink") return `l ${path} ${JSON.stringify(entry.target)}\n`;
    return `${entry.executable ? "x" : "f"} ${path} ${entry.sha256}\n`;
  });
  return `sha256:${createHash("sha256").update(lines.join("")).digest("hex")}`;
}
