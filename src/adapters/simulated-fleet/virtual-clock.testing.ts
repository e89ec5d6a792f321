import type { Clock } from "../../ports/host.ts";

interface Sleeper {
  readonly atMs: number;
  readonly number: number;
  wake(): void;
}

/**
 * A clock that stands still while anything is being done, and goes to the next moment that somebody waits for when nothing is: hours take
 * milliseconds, and the same happens each time.
 */
export class VirtualClock implements Clock {
  private nowMs = 0;
  private number = 0;
  private held = 0;
  private sleepers: Sleeper[] = [];
  private readonly startsAtMs: number;

  /** @param startsAt  wall time of its beginning */
  constructor(startsAt = "2026-11-02T08:00:00.000Z") {
    this.startsAtMs = Date.parse(startsAt);
  }

  now(): Date {
    return new Date(this.startsAtMs + this.nowMs);
  }

  elapsedMs(): number {
    return this.nowMs;
  }

  /** Resolves after the time, or at once when the signal aborts. */
  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      if (signal?.aborted === true) return resolve();
      const sleeper = { atMs: this.nowMs + Math.max(0, ms), number: this.number++, wake: () => (leave(), resolve()) };
      const leave = (): void => {
        this.sleepers = this.sleepers.filter((each) => each !== sleeper);
        signal?.removeEventListener("abort", sleeper.wake);
      };
      signal?.addEventListener("abort", sleeper.wake, { once: true });
      this.sleepers.push(sleeper);
    });
  }

  /** The clock stands still until it is done: for what takes real time, such as a file. */
  async hold<T>(work: Promise<T>): Promise<T> {
    this.held += 1;
    try {
      return await work;
    } finally {
      this.held -= 1;
    }
  }

  /** Lets time go by until the work is done. @throws when nothing is left that it could wait for, and after `limitMs` */
  async run<T>(work: Promise<T>, limitMs = 24 * 3_600_000): Promise<T> {
    let isDone = false;
    const done = (): void => void (isDone = true);
    work.then(done, done);
    const end = this.nowMs + limitMs;
    for (let idle = 0; ;) {
      await new Promise((resolve) => setImmediate(resolve));
      if (isDone) return work;
      if (this.held > 0) continue;
      const next = this.next();
      if (next === undefined) {
        idle += 1; // something real, such as a file, may still be on its way
        if (idle > IDLE_TURNS) throw new Error(`Nothing is left to wait for at ${this.nowMs} ms, and it is not done`);
        continue;
      }
      idle = 0;
      if (next.atMs > end) throw new Error(`It is not done after ${limitMs} ms`);
      this.nowMs = Math.max(this.nowMs, next.atMs);
      next.wake();
    }
  }

  /** Lets so much time go by. */
  pass(ms: number): Promise<void> {
    return this.run(this.sleep(ms));
  }

  private next(): Sleeper | undefined {
    let next: Sleeper | undefined;
    for (const sleeper of this.sleepers)
      if (next === undefined || sleeper.atMs < next.atMs || (sleeper.atMs === next.atMs && sleeper.number < next.number)) next = sleeper;
    return next;
  }
}

const IDLE_TURNS = 10_000;
