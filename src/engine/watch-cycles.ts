import type { Turn } from "./cycle-turn.ts";

export interface WatchCyclesOptions {
  readonly signal: AbortSignal;
  now(): Date;
  /** Resolves after so many milliseconds, or when the signal aborts. */
  sleep(ms: number, signal: AbortSignal): Promise<void>;
  /** One turn of every cycle that is watched; a cycle that is broken for now is told of and left out. */
  turns(): Promise<readonly Turn[]>;
  /** Told when it goes to sleep. */
  idle(until: Date | undefined): void;
}

/**
 * How long it sleeps at most. Sleeping counts time of its own, which stands still while a machine is suspended and knows nothing of
 * a clock that is set: after a minute the clock is looked at again. A turn with nothing to do costs some milliseconds.
 */
const LONGEST_SLEEP_MS = 60_000;
/** So that a moment that is just being reached is not asked about a thousand times. */
const SHORTEST_SLEEP_MS = 50;

/** Takes turns until the signal aborts. What is at work then stops at its next safe point and goes on with the next start. */
export async function watchCycles(options: WatchCyclesOptions): Promise<void> {
  const { signal, now, sleep, turns, idle } = options;
  let told: number | undefined;
  while (!signal.aborted) {
    const until = earliest((await turns()).flatMap((turn) => (turn.until === undefined ? [] : [turn.until])));
    if (signal.aborted) return;
    if (told !== (until?.getTime() ?? 0)) idle(until);
    told = until?.getTime() ?? 0;
    const leftMs = until === undefined ? LONGEST_SLEEP_MS : until.getTime() - now().getTime();
    await sleep(Math.min(Math.max(leftMs, SHORTEST_SLEEP_MS), LONGEST_SLEEP_MS), signal);
  }
}

const earliest = (moments: readonly Date[]): Date | undefined => moments.toSorted((a, b) => a.getTime() - b.getTime())[0];
