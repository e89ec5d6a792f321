import type { TreeEntry } from "../layer/merge-layers.ts";
import { rawFromText } from "../layer/raw-path.ts";

export interface PackageFiles {
  readonly name: string;
  readonly architecture: string;
  /** Text of dpkg's list: one path a line, as the package's archive has it. */
  readonly list: string;
}

/** dpkg's own notes about a package, which came and go with it: `/var/lib/dpkg/info/<name>[:<architecture>].<what>`. */
const NOTE = /^var\/lib\/dpkg\/info\/([^/:]+?)(?::([a-z0-9-]+))?\.[a-z0-9-]+$/;

/**
 * Where the files of each package lie in the image. dpkg's lists say where the archive puts them: through links (`/bin/ls` lies
 * in `/usr/bin` where `/bin` is a link), or aside when another package diverts them (deb-diversions).
 * What dpkg notes about a package counts as its own.
 *
 * @returns paths in the tree for each package, in the order given; what is not there any more is left out
 */
export function fileOwners(
  tree: readonly TreeEntry[],
  packages: readonly PackageFiles[],
  diversions: string,
): readonly (readonly string[])[] {
  const kinds = new Map(tree.map((entry) => [entry.path, entry]));
  const diverted = diversionsOf(diversions);
  const folders = new Map<string, string>([["", ""]]);

  /** The real place of a folder, links followed. */
  const folderOf = (path: string, depth = 0): string => {
    const known = folders.get(path);
    if (known !== undefined || depth > 16) return known ?? path;
    const slash = path.lastIndexOf("/");
    const parent = folderOf(path.slice(0, Math.max(0, slash)), depth);
    const name = path.slice(slash + 1);
    const at = parent === "" ? name : `${parent}/${name}`;
    const entry = kinds.get(at);
    const real = entry?.kind === "symlink" ? folderOf(linked(parent, entry.linkTarget ?? ""), depth + 1) : at;
    folders.set(path, real);
    return real;
  };

  const notes = notesOf(tree);
  return packages.map(({ name, architecture, list }) => {
    const found = new Set<string>([...(notes.get(name) ?? []), ...(notes.get(`${name}:${architecture}`) ?? [])]);
    for (const line of list.split("\n")) {
      if (!line.startsWith("/") || line === "/.") continue;
      const diversion = diverted.get(line);
      const path = rawFromText((diversion !== undefined && diversion.by !== name ? diversion.to : line).slice(1));
      const slash = path.lastIndexOf("/");
      const folder = slash < 0 ? "" : folderOf(path.slice(0, slash));
      const real = folder === "" ? path.slice(slash + 1) : `${folder}/${path.slice(slash + 1)}`;
      if (kinds.has(real)) found.add(real);
    }
    return [...found];
  });
}

/** By what stands before the dot: `name` or `name:architecture`. */
function notesOf(tree: readonly TreeEntry[]): ReadonlyMap<string, readonly string[]> {
  const notes = new Map<string, string[]>();
  for (const { path } of tree) {
    const [, name, architecture] = NOTE.exec(path) ?? [];
    if (name === undefined) continue;
    const key = architecture === undefined ? name : `${name}:${architecture}`;
    const known = notes.get(key);
    if (known === undefined) notes.set(key, [path]);
    else known.push(path);
  }
  return notes;
}

function linked(folder: string, target: string): string {
  const parts = target.startsWith("/") || folder === "" ? [] : folder.split("/");
  for (const part of target.split("/"))
    if (part === "..") parts.pop();
    else if (part !== "" && part !== ".") parts.push(part);
  return parts.join("/");
}

/** `/var/lib/dpkg/diversions`: three lines each: from, to, the package that diverts (`:` for the administrator). */
function diversionsOf(text: string): ReadonlyMap<string, { readonly to: string; readonly by: string }> {
  const lines = text.split("\n");
  const found = new Map<string, { readonly to: string; readonly by: string }>();
  for (let at = 0; at + 2 < lines.length; at += 3) found.set(lines[at] ?? "", { to: lines[at + 1] ?? "", by: lines[at + 2] ?? "" });
  return found;
}
