import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** Writes files into a folder, which is made if it is not there. @returns their paths, in the order given */
export function writeLaunchFiles(
  folder: string,
  files: readonly { readonly name: string; readonly content: string | Uint8Array; readonly mode: number }[],
): readonly string[] {
  mkdirSync(folder, { recursive: true });
  return files.map(({ name, content, mode }) => {
    const path = join(folder, name);
    writeFileSync(path, content, { mode });
    chmodSync(path, mode); // whatever the umask, and when the file was there
    return path;
  });
}
