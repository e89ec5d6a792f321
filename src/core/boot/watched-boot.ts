/** What a machine must do to count as started. With several, all of them. */
export interface Expected {
  readonly http?: { readonly port: number; readonly path: string; readonly status: number };
  /** Units that must be active; only a machine that was given a readiness unit tells. */
  readonly units: readonly string[];
  /** How long it must stay so, in milliseconds; 0: once is enough. */
  readonly stayMs: number;
}

/**
 * `ready`: everything that was expected. `ended`: the machine switched itself off or was reset. `hopeless`: its console says
 * that it will not come up. `wrong`: it came up, and something of it is not as expected. `left`: it was ready and did not stay so.
 * `timeout`: none of that in time.
 */
export type BootOutcome = "ready" | "ended" | "hopeless" | "wrong" | "left" | "timeout";

export interface WatchedBoot {
  readonly outcome: BootOutcome;
  /** What explains it, for people. */
  readonly detail: string;
  /** The last answer over HTTP. */
  readonly answer?: { readonly status: number; readonly body: string };
  readonly failedUnits: readonly string[];
  /** From the call until the outcome. */
  readonly elapsedMs: number;
  readonly cpuSeconds: number;
}
