import type { BinaryPackage } from "./binary-package.ts";

/** Two packages that bring the same path. */
export interface FileConflict {
  readonly path: string;
  readonly first: BinaryPackage;
  readonly second: BinaryPackage;
}

/** Finds what only one package of a set may bring, in dpkg's sense: anything but directories. */
export function findFileConflicts(packages: readonly BinaryPackage[]): readonly FileConflict[] {
  const owners = new Map<string, BinaryPackage>();
  const conflicts: FileConflict[] = [];
  for (const pack of packages) {
    for (const entry of pack.entries) {
      if (entry.kind === "directory") continue;
      const path = mergedPath(entry.path);
      const first = owners.get(path);
      if (first === undefined) owners.set(path, pack);
      else if (first !== pack) conflicts.push({ path: entry.path, first, second: pack });
    }
  }
  return conflicts;
}

/** `/bin/x` and `/usr/bin/x` are one file where /usr is merged, which dpkg does not know and overwrites. */
const mergedPath = (path: string): string => path.replace(/^\/(bin|sbin|lib|lib32|lib64|libx32)\//, "/usr/$1/");

export const describeConflict = ({ path, first, second }: FileConflict): string =>
  `${second.name} (${second.version}) would overwrite ${path}, which is also in ${first.name} (${first.version})`;
