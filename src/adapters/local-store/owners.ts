import { readFileSync } from "node:fs";
import { hostname } from "node:os";
import type { Owner } from "../../ports/store.ts";

const bootId = (): string => readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();

/** Clock ticks after boot at which a process started; undefined when there is no such process. A zombie counts as gone. */
export function startTimeOf(pid: number): number | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" "); // the name before may hold spaces and parentheses
    return fields[0] === "Z" ? undefined : Number(fields[19]);
  } catch {
    return undefined;
  }
}

let self: Owner | undefined;

export const thisProcess = (what: string): Owner => {
  self ??= { pid: process.pid, startTime: startTimeOf(process.pid) ?? 0, bootId: bootId(), host: hostname(), what };
  return { ...self, what };
};

/** Another host's owner cannot be judged from here and counts as alive; another boot of this host is dead. */
export function isAlive(owner: Owner): boolean {
  const me = thisProcess("");
  if (owner.bootId !== me.bootId) return owner.host !== me.host;
  return startTimeOf(owner.pid) === owner.startTime;
}
