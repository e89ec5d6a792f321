import { readFileSync } from "node:fs";
import type { MachineClock } from "../../core/audit/record.ts";

/** The kernel's own clock, which nobody sets: time since boot, sleep counted in (proc(5), `uptime`), and which boot it was. */
export function machineClock(): MachineClock | undefined {
  try {
    const [uptime = ""] = readFileSync("/proc/uptime", "utf8").split(" ");
    const bootId = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
    return { bootId, uptimeMs: Math.round(Number(uptime) * 1000) };
  } catch {
    return undefined;
  }
}
