import { readdirSync, rmdirSync } from "node:fs";
import { join } from "node:path";

const HIERARCHIES = "/sys/fs/cgroup";
/** Parent of every cgroup that a bake makes. */
export const CGROUP_PARENT = "bakehouse";

/** Removes the (empty) cgroups that runc made for a workspace, in every hierarchy, and their parent when it is the last. */
export function removeCgroups(name: string): void {
  for (const hierarchy of namesIn(HIERARCHIES)) {
    const parent = join(HIERARCHIES, hierarchy, CGROUP_PARENT);
    removeEmpty(join(parent, name));
    removeEmpty(parent);
  }
  removeEmpty(join(HIERARCHIES, CGROUP_PARENT, name));
  removeEmpty(join(HIERARCHIES, CGROUP_PARENT));
}

const namesIn = (folder: string): readonly string[] => {
  try {
    return readdirSync(folder);
  } catch {
    return []; // a host without cgroups has nothing to remove
  }
};

/** Somebody else's cgroup in use, a missing one, a read-only hierarchy: none of them is ours to remove. */
function removeEmpty(path: string): void {
  try {
    rmdirSync(path);
  } catch {
    return;
  }
}
