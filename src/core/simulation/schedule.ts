import { Heap } from "../heap.ts";

interface Entry {
  readonly atMs: number;
  readonly order: number;
  readonly run: () => void;
}

/** What is going to happen, by virtual time. At the same time: in the order in which it was planned. */
export class Schedule {
  private readonly entries = new Heap<Entry>((a, b) => a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order));
  private planned = 0;
  nowMs = 0;

  at(atMs: number, run: () => void): void {
    this.entries.push({ atMs: Math.max(atMs, this.nowMs), order: this.planned++, run });
  }

  /** Does the next thing that is due until then. @returns false when nothing is */
  step(untilMs: number): boolean {
    const { first } = this.entries;
    if (first === undefined || first.atMs > untilMs) return false;
    this.entries.pop();
    this.nowMs = first.atMs;
    first.run();
    return true;
  }
}
