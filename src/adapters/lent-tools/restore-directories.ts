import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import type { ImageRoot } from "../../ports/image-root.ts";

/**
 * Makes the directories that dpkg would have made had they not been there already, in the lent tree beneath: a package
 * that was installed meanwhile lists them, and the image (now seen without lent tools) lacks them.
 *
 * @returns their paths
 */
export function restoreLentDirectories(root: ImageRoot, lentFolder: string): readonly string[] {
  const missing = new Set(directoriesIn(lentFolder).filter((path) => root.lstat(path) === undefined));
  if (missing.size === 0) return [];
  const listed = new Set<string>();
  for (const name of root.list(INFO)) {
    if (!name.endsWith(".list")) continue;
    for (const line of (root.readText(`${INFO}/${name}`) ?? "").split("\n")) if (missing.has(line)) listed.add(line);
  }
  const made = [...listed].sort(); // parents first
  for (const path of made) {
    const { mode, uid, gid } = statSync(join(lentFolder, path));
    root.makeDirectory(path, { mode: mode & 0o7777, uid, gid });
  }
  return made;
}

const INFO = "/var/lib/dpkg/info";

function directoriesIn(folder: string, prefix = ""): readonly string[] {
  return readdirSync(join(folder, prefix), { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .flatMap((entry) => [`${prefix}/${entry.name}`, ...directoriesIn(folder, `${prefix}/${entry.name}`)]);
}
