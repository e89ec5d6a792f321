import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

const ROOT = "/sys/fs/cgroup";

/**
 * Every cell has a cgroup of its own in each hierarchy that systemd looks at; otherwise the systemd of every cell would use the
 * host's, and kill each other's services. With cgroup v2 alone there is one hierarchy, else several (hybrid).
 */
const hierarchies = (): readonly string[] =>
  existsSync(join(ROOT, "cgroup.controllers"))
    ? [ROOT]
    : ["systemd", "unified", "memory", "pids", "cpuacct"]
        .map((name) => join(ROOT, name))
        .filter((path) => existsSync(join(path, "cgroup.procs")));

const PREFIX = "bakehouse-cell-";

export const makeCgroups = (id: string): readonly string[] =>
  hierarchies().map((hierarchy) => {
    const group = join(hierarchy, `${PREFIX}${id}`);
    mkdirSync(group);
    return group;
  });

/** Cells of this host that have a cgroup, whichever store they belong to. */
export const cellsWithCgroups = (): readonly string[] =>
  hierarchies()
    .slice(0, 1)
    .flatMap((hierarchy) => readdirSync(hierarchy).filter((name) => name.startsWith(PREFIX)))
    .map((name) => name.slice(PREFIX.length));

/** Younger ones may be of a cell that is just being started; it has its first process after 0.1 s. */
const IDLE_AFTER_MS = 60_000;

/** Cells of which only cgroups are left, such as those of a store that was removed with everything in it. */
export const cellsWithIdleCgroups = (): readonly string[] =>
  cellsWithCgroups().filter((id) => {
    const groups = hierarchies().map((hierarchy) => join(hierarchy, `${PREFIX}${id}`));
    return groups.every((group) => isIdle(group));
  });

function isIdle(group: string): boolean {
  try {
    if (Date.now() - statSync(group).ctimeMs < IDLE_AFTER_MS) return false;
    if (readFileSync(join(group, "cgroup.procs"), "utf8") !== "") return false;
    return readdirSync(group, { withFileTypes: true }).every((entry) => !entry.isDirectory() || isIdle(join(group, entry.name)));
  } catch {
    return !existsSync(group);
  }
}

/** Its processes are dead; the kernel lets go of them a moment later. @returns whether there were any */
export async function removeCgroups(id: string): Promise<boolean> {
  const groups = hierarchies()
    .map((hierarchy) => join(hierarchy, `${PREFIX}${id}`))
    .filter((group) => existsSync(group));
  for (const group of groups) for (let tries = 0; !isRemoved(group) && tries < TRIES; tries++) await sleep(PAUSE_MS);
  return groups.length > 0;
}

/** 5 s: a guess, for a machine with every processor busy. Seen: 10 ms. */
const TRIES = 500;
const PAUSE_MS = 10;

function isRemoved(group: string): boolean {
  try {
    for (const entry of readdirSync(group, { withFileTypes: true }))
      if (entry.isDirectory() && !isRemoved(join(group, entry.name))) return false;
    rmdirSync(group);
    return true;
  } catch {
    return !existsSync(group);
  }
}
