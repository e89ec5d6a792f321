import { chmodSync, copyFileSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

export interface FileToWrite {
  readonly name: string;
  readonly mode: number;
  /** A text, or the file to copy. */
  readonly content: string | { readonly file: string };
}

/** Writes files into a folder, which is made if it is not there. @returns their paths, in the order given */
export function writeLaunchFiles(folder: string, files: readonly FileToWrite[]): readonly string[] {
  mkdirSync(folder, { recursive: true });
  return files.map(({ name, content, mode }) => {
    const path = join(folder, name);
    if (typeof content === "string") writeFileSync(path, content, { mode });
    else copyFileSync(content.file, path);
    chmodSync(path, mode); // whatever the umask, and also when the file was there
    return path;
  });
}
