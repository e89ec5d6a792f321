import { Heap } from "../heap.ts";

interface Alarm {
  readonly dueMs: number;
  readonly index: number;
  readonly mark: number;
}

/** Alarms for instances, the soonest first. */
export class Timers {
  private readonly alarms = new Heap<Alarm>((a, b) => a.dueMs < b.dueMs);

  /** @param mark  what tells whether the alarm still means anything when it goes off */
  set(index: number, mark: number, dueMs: number): void {
    this.alarms.push({ dueMs, index, mark });
  }

  /** When the next goes off; undefined: none is set. */
  get nextMs(): number | undefined {
    return this.alarms.first?.dueMs;
  }

  /** Takes those that are due, the soonest first. */
  *due(nowMs: number): Iterable<Alarm> {
    for (let { first } = this.alarms; first !== undefined && first.dueMs <= nowMs; { first } = this.alarms) {
      this.alarms.pop();
      yield first;
    }
  }
}
