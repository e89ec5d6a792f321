import { readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Owner } from "../../ports/store.ts";
import { startTimeOf } from "../local-store/owners.ts";
import { removeCgroups } from "./cgroups.ts";
import { restoreLimit } from "./inotify-limit.ts";
import { killQuietly } from "./keeper.ts";
import { keeperOf, type CellFolder } from "./records.ts";

/** Ends everything of a cell at once: machine, mounts, network, cgroups. Its folder stays. @returns whether there was anything */
export async function release({ folder, record }: CellFolder): Promise<boolean> {
  const keeper = keeperOf(folder);
  if (keeper !== undefined) {
    const parent = parentOf(keeper.pid);
    killQuietly(keeper.pid);
    await untilGone(keeper, GONE_MS);
    if (parent !== undefined) await untilGone(parent, GONE_MS);
  }
  const hadCgroups = await removeCgroups(record.id);
  const isLast = restoreLimit();
  return keeper !== undefined || hadCgroups || isLast;
}

type Process = Pick<Owner, "pid" | "startTime">;

/** `unshare`, which ends a moment after the keeper. Whoever wrote the file has not been that process, since it has a start time. */
function parentOf(pid: number): Process | undefined {
  try {
    const parent = Number(/^PPid:\s*(\d+)/m.exec(readFileSync(join("/proc", String(pid), "status"), "utf8"))?.[1]);
    const isUnshare = readFileSync(join("/proc", String(parent), "comm"), "utf8").trim() === "unshare";
    return isUnshare ? { pid: parent, startTime: startTimeOf(parent) ?? 0 } : undefined;
  } catch {
    return undefined;
  }
}

/** 10 s: a guess. Seen: 30 ms from the signal to the last process of a machine. */
const GONE_MS = 10_000;

/** @returns whether it is gone */
export async function untilGone(process: Process, timeoutMs: number): Promise<boolean> {
  const end = performance.now() + timeoutMs;
  while (startTimeOf(process.pid) === process.startTime) {
    if (performance.now() > end) return false;
    await sleep(5);
  }
  return true;
}
