import { randomBytes } from "node:crypto";
import { hostname, userInfo } from "node:os";
import type { Clock } from "../../ports/host.ts";

export const systemClock: Clock = { now: () => new Date(), elapsedMs: () => performance.now() };

/** `20261122-110438-x3k9q2`: sortable by time, told apart by chance. */
export function newBakeId(now: Date): string {
  const [day = "", time = ""] = now.toISOString().split("T");
  return `${day.replaceAll("-", "")}-${time.slice(0, 8).replaceAll(":", "")}-${randomBytes(3).toString("hex")}`;
}

/** `user@host`, for lineage. A user without a name on this host is shown by number. */
export function currentBaker(): string {
  const user = ((): string => {
    try {
      return userInfo().username;
    } catch {
      return String(process.getuid?.() ?? "?");
    }
  })();
  return `${user}@${hostname()}`;
}

/** Resolves after the time, or at once when the signal aborts. */
export const sleep = (ms: number, signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const stop = (): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", stop);
      resolve();
    };
    const timer = setTimeout(stop, ms);
    signal.addEventListener("abort", stop, { once: true });
  });
