import type { InstancePhase } from "./model.ts";
import type { PlannedInstance } from "./plan.ts";

/** What a rollout knows of one instance. Only the roster changes it, so that its sums are right. */
export interface Slot {
  readonly index: number;
  readonly id: string;
  readonly zone: string;
  readonly phase: InstancePhase;
  /** How often it was moved or returned. */
  readonly attempt: number;
  readonly running: string | undefined;
  readonly healthy: boolean;
  /** Whether the move under way takes it out of service. */
  readonly out: boolean;
  /** Whether the move under way adds a machine. */
  readonly surge: boolean;
  readonly sequence: number;
  readonly lastSeenMs: number;
  /** Counts every change of health: what an alarm about health is about. */
  readonly healthMark: number;
  /** How often it became unhealthy since it was moved. */
  readonly flaps: number;
  /** Whether it was heard of since the move under way began. */
  readonly heard: boolean;
}

type Change = Partial<Omit<Slot, "index" | "id" | "zone">>;

/** The sums that decisions are made from. Each is kept up as slots change, and never counted again. */
export interface Sums {
  /** Instances of the fleet. */
  size: number;
  /** Those that serve nobody at this moment: unhealthy, or taken out. */
  down: number;
  moving: number;
  surging: number;
  failed: number;
  unreachable: number;
  /** Moved ones that are unhealthy. */
  sick: number;
  /** Healthy on the new image. */
  ready: number;
  returning: number;
  stuck: number;
}

export class Roster {
  readonly sums: Sums = { size: 0, down: 0, moving: 0, surging: 0, failed: 0, unreachable: 0, sick: 0, ready: 0, returning: 0, stuck: 0 };
  private readonly slots: { -readonly [Key in keyof Slot]: Slot[Key] }[] = [];
  private readonly byId = new Map<string, number>();

  add({ id, zone, running, healthy }: PlannedInstance, phase: InstancePhase, nowMs: number): Slot {
    const slot = {
      ...{ index: this.slots.length, id, zone, phase, running, healthy },
      ...{ attempt: 0, flaps: 0, out: false, surge: false, sequence: -1, lastSeenMs: nowMs, healthMark: 0, heard: false },
    };
    this.slots.push(slot);
    this.byId.set(id, slot.index);
    this.count(slot, 1);
    return slot;
  }

  get length(): number {
    return this.slots.length;
  }

  at(index: number): Slot {
    const slot = this.slots[index];
    if (slot === undefined) throw new Error(`No instance has the number ${index}`);
    return slot;
  }

  find(id: string): Slot | undefined {
    const index = this.byId.get(id);
    return index === undefined ? undefined : this.slots[index];
  }

  change({ index }: Slot, change: Change): void {
    const slot = this.slots[index];
    if (slot === undefined) return;
    this.count(slot, -1);
    Object.assign(slot, change);
    this.count(slot, 1);
  }

  *[Symbol.iterator](): Iterator<Slot> {
    yield* this.slots;
  }

  private count({ phase, healthy, out, surge }: Slot, by: 1 | -1): void {
    const { sums } = this;
    if (phase === "left") return;
    sums.size += by;
    if (!healthy || out) sums.down += by;
    if (surge) sums.surging += by;
    if (phase === "moving") sums.moving += by;
    if (phase === "failed") sums.failed += by;
    if (phase === "unreachable") sums.unreachable += by;
    if (phase === "moved" && !healthy) sums.sick += by;
    if (healthy && (phase === "moved" || phase === "settled")) sums.ready += by;
    if (phase === "returning") sums.returning += by;
    if (phase === "stuck") sums.stuck += by;
  }
}
