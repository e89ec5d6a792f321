import { readdirSync, rmdirSync } from "node:fs";
import { join } from "node:path";

const HIERARCHIES = "/sys/fs/cgroup";
/** Parent of every cgroup that a bake makes. */
export const CGROUP_PARENT = "bakehouse";

/** The cgroup of a step's workspace, by its folder: the next run finds what a killed one left. */
export const cgroupName = (stepFolder: string): string => stepFolder.replaceAll("/", "-").slice(-60);

/** Removes the cgroups of every step of a bake that was killed. Its work folder has one folder a step; it goes afterwards. */
export function removeCgroupsOfSteps(workFolder: string): void {
  for (const step of namesIn(workFolder)) removeCgroups(cgroupName(join(workFolder, step)));
}

/** Removes the (empty) cgroups that runc made for a workspace, in every hierarchy, and their parent when it is the last. */
export function removeCgroups(name: string): void {
  for (const hierarchy of namesIn(HIERARCHIES)) {
    const parent = join(HIERARCHIES, hierarchy, CGROUP_PARENT);
    removeEmpty(join(parent, name), DYING_MS);
    removeEmpty(parent);
  }
  removeEmpty(join(HIERARCHIES, CGROUP_PARENT, name), DYING_MS);
  removeEmpty(join(HIERARCHIES, CGROUP_PARENT));
}

const namesIn = (folder: string): readonly string[] => {
  try {
    return readdirSync(folder);
  } catch {
    return []; // a host without cgroups, a bake without steps: nothing to remove
  }
};

/** A process that was killed stays in its cgroup until the kernel is done with it (seen: a few ms). */
const DYING_MS = 2000;
const POLL_MS = 5;

/** A missing cgroup, a read-only hierarchy, one that somebody uses: none of them is ours to remove. */
function removeEmpty(path: string, waitMs = 0): void {
  for (const end = performance.now() + waitMs; ; pause(POLL_MS)) {
    try {
      return rmdirSync(path);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EBUSY" || performance.now() > end) return;
    }
  }
}

const pause = (milliseconds: number): void => void Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds);
