import { lstatSync, readdirSync } from "node:fs";
import { join } from "node:path";

/** Bytes that a file or tree takes on disk; files with several names count once. 0 for what is not there or goes away meanwhile. */
export function sizeOfTree(path: string, seen: Set<string> = new Set()): number {
  try {
    const stats = lstatSync(path);
    if (stats.nlink > 1 && !stats.isDirectory()) {
      const inode = `${stats.dev}:${stats.ino}`;
      if (seen.has(inode)) return 0;
      seen.add(inode);
    }
    const own = stats.blocks * 512;
    return stats.isDirectory() ? readdirSync(path).reduce((sum, name) => sum + sizeOfTree(join(path, name), seen), own) : own;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return 0;
    throw error;
  }
}
