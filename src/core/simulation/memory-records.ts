import type { RolloutOrigin, RolloutRecords } from "../../ports/rollout-records.ts";
import { BakehouseError } from "../errors.ts";
import type { Moment } from "../rollout/decide.ts";

/** Records in memory, of a store that can be away. */
export class MemoryRecords implements RolloutRecords {
  readonly origin: RolloutOrigin;
  isAway = false;
  done = 0;
  private readonly told: Moment[] = [];
  private epoch = 0;

  constructor(origin: RolloutOrigin) {
    this.origin = origin;
  }

  takeLease(): number {
    this.epoch += 1;
    return this.epoch;
  }

  moments(): readonly Moment[] {
    return this.told;
  }

  append(epoch: number, moment: Moment): void {
    this.hold(epoch);
    this.told.push(moment);
  }

  markDone(epoch: number, count: number): void {
    this.hold(epoch);
    this.done = count;
  }

  private hold(epoch: number): void {
    if (this.isAway) throw new StoreAway();
    if (epoch !== this.epoch)
      throw new BakehouseError("LEASE_LOST", `The rollout was taken over: epoch ${epoch} is over, ${this.epoch} holds`);
  }
}

/** Nothing can be written at this moment. */
export class StoreAway extends Error {
  override readonly name = "StoreAway";
  constructor() {
    super("the store does not answer");
  }
}
