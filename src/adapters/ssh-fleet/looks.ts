import { setTimeout as sleep } from "node:timers/promises";
import type { InstanceHealth } from "../../core/fleet/instance.ts";
import type { FleetHealth } from "../../core/fleet/model.ts";

/** What one look at an instance gave; `why` when it was bad. */
export type Look = { readonly good: true } | { readonly good: false; readonly why: string };

export interface Verdict {
  readonly health: InstanceHealth;
  readonly why?: string;
}

export interface Looks {
  /**
   * Looks again if the last look is old enough, and says what the looks so far come to. Before they come to anything, it looks a
   * few times in a row, as long as it has `patienceMs`.
   *
   * @param of    what is looked at; when it changes, earlier looks do not count
   */
  at(of: string, look: () => Promise<Look>, patienceMs: number): Promise<Verdict>;
  forget(): void;
}

/** Of a verdict nobody looked at again for so long, nothing is known any more; a guess. */
const STALE_MS = 60_000;

/** Counts looks in a row at one instance, as a load balancer does. */
export function looksOf({ intervalMs, healthyAfter, unhealthyAfter }: FleetHealth): Looks {
  let of = "";
  let health: InstanceHealth = "unknown";
  let inRow = 0;
  let last: Look | undefined;
  let lastAt = -Infinity;
  const forget = (): void => {
    [health, inRow, last, lastAt] = ["unknown", 0, undefined, -Infinity];
  };
  const take = (look: Look): void => {
    inRow = look.good === last?.good ? inRow + 1 : 1;
    last = look;
    lastAt = performance.now();
    if (inRow >= (look.good ? healthyAfter : unhealthyAfter)) health = look.good ? "healthy" : "unhealthy";
  };
  const verdict = (): Verdict => {
    if (health === "healthy" || last === undefined) return { health };
    const needed = last.good ? healthyAfter : unhealthyAfter;
    const said = last.good ? "it answers" : last.why;
    return { health, why: inRow < needed ? `${said} (${inRow} of ${needed} looks)` : said };
  };
  return {
    at: async (now, look, patienceMs) => {
      if (now !== of || performance.now() - lastAt > Math.max(STALE_MS, 10 * intervalMs)) forget();
      of = now;
      const end = performance.now() + patienceMs;
      if (performance.now() - lastAt >= intervalMs) take(await look());
      while (health === "unknown" && performance.now() + intervalMs < end) {
        await sleep(Math.max(0, lastAt + intervalMs - performance.now()));
        take(await look());
      }
      return verdict();
    },
    forget,
  };
}
