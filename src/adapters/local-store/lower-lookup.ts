import { lstatSync, readdirSync, readFileSync, rmSync, type Stats } from "node:fs";
import { join } from "node:path";

/**
 * Looks a path up in a stack of unpacked diffs as overlayfs would: the highest diff that says something about it, or
 * about one of its parents, decides. `folders`: the lowest first.
 */
export function lowerLookup(folders: readonly string[]): (path: string) => { readonly exists: boolean; readonly directory: boolean } {
  const highestFirst = [...folders].reverse();
  return (path) => {
    const parts = path.split("/").filter((part) => part !== "");
    for (const folder of highestFirst) {
      const found = lookIn(folder, parts);
      if (found === "hidden") return { exists: false, directory: false };
      if (found !== undefined) return { exists: true, directory: found.isDirectory() };
    }
    return { exists: false, directory: false };
  };
}

/** Reads a regular file of a stack of unpacked diffs; undefined when there is none at this path. Follows no link. */
export function lowerReader(folders: readonly string[]): (path: string) => string | undefined {
  const parts = (path: string): readonly string[] => path.split("/").filter((part) => part !== "");
  return (path) => {
    for (const folder of [...folders].reverse()) {
      const found = lookIn(folder, parts(path));
      if (found === "hidden") return undefined;
      if (found !== undefined) return found.isFile() ? readFileSync(join(folder, path), "utf8") : undefined;
    }
    return undefined;
  };
}

/** Opaque directories need no look of their own: what they hide below was asked for by the diff that lies above. */
function lookIn(folder: string, parts: readonly string[]): Stats | "hidden" | undefined {
  let at = folder;
  let found: Stats | undefined = lstatSync(at, { throwIfNoEntry: false });
  for (const part of parts) {
    if (found !== undefined && !found.isDirectory()) return "hidden"; // a file or link where a directory would be
    at = join(at, part);
    found = lstatSync(at, { throwIfNoEntry: false });
    if (found === undefined) return undefined;
    if (isWhiteout(found)) return "hidden";
  }
  return found;
}

/** Removes whiteouts of paths that nothing below has. */
export function dropIdleWhiteouts(directory: string, lowerHas: (path: string) => boolean): void {
  const visit = (path: string): void => {
    for (const entry of readdirSync(join(directory, path), { withFileTypes: true })) {
      const here = `${path}/${entry.name}`;
      if (entry.isDirectory()) visit(here);
      else if (entry.isCharacterDevice() && isWhiteout(lstatSync(join(directory, here))) && !lowerHas(here)) rmSync(join(directory, here));
    }
  };
  visit("");
}

const isWhiteout = (stats: Stats): boolean => stats.isCharacterDevice() && stats.rdev === 0;

/** Paths in a diff's directory that are neither below `subtree` nor a directory that leads to it; at most `limit`. */
export function pathsOutside(directory: string, subtree: string, limit: number): readonly string[] {
  const outside: string[] = [];
  const visit = (path: string): void => {
    for (const entry of readdirSync(join(directory, path), { withFileTypes: true })) {
      const here = `${path}/${entry.name}`;
      if (outside.length >= limit) continue;
      if (here === subtree) {
        if (!entry.isDirectory()) outside.push(`${here} (which is no directory)`); // a link would lead to the host
        continue;
      }
      if (entry.isDirectory() && subtree.startsWith(`${here}/`)) visit(here);
      else if (!isEmptyDirectory(directory, here, entry.isDirectory())) outside.push(here);
    }
  };
  visit("");
  return outside;
}

/** A directory whose times alone changed is copied up by overlayfs and says nothing. */
function isEmptyDirectory(root: string, path: string, directory: boolean): boolean {
  return (
    directory &&
    readdirSync(join(root, path), { withFileTypes: true }).every((entry) =>
      isEmptyDirectory(root, `${path}/${entry.name}`, entry.isDirectory()),
    )
  );
}
