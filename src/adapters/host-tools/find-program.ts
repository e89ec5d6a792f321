import { accessSync, constants, statSync } from "node:fs";
import { join } from "node:path";

const SYSTEM_FOLDERS = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/** A PATH that also has the folders of system programs: `su` without `-` leaves `/usr/sbin` out. */
export function pathWithSystemFolders(path: string | undefined): string {
  const given = (path ?? "").split(":").filter((folder) => folder !== "");
  return [...given, ...SYSTEM_FOLDERS.filter((folder) => !given.includes(folder))].join(":");
}

/** The file that a program's name stands for, or an absolute path itself if it is there. Starts no process. */
export function findProgram(name: string, path: string): string | undefined {
  if (name.startsWith("/")) return isThere(name, constants.R_OK) ? name : undefined;
  for (const folder of path.split(":")) {
    const candidate = join(folder, name);
    if (folder !== "" && isThere(candidate, constants.X_OK)) return candidate;
  }
  return undefined;
}

/** A folder of PATH that this user may not enter (root's, after `su` without `-`) has nothing to offer. */
function isThere(file: string, mode: number): boolean {
  try {
    if (statSync(file, { throwIfNoEntry: false })?.isFile() !== true) return false;
    accessSync(file, mode);
    return true;
  } catch {
    return false;
  }
}
