import type { World } from "./world.ts";

interface Job {
  /** Those whose turn is still to come. */
  readonly ids: string[];
  readonly eachMs: number;
}

/**
 * What else is done to a fleet by the controller that rolls out: hosts that are broken are replaced, and others are taken away for a
 * while. It holds to the same disruption budget.
 */
export class Upkeep {
  private readonly jobs: Job[] = [];
  private readonly world: World;
  private readonly healAfterMs: number | undefined;

  constructor(world: World, healAfterMs: number | undefined) {
    this.world = world;
    this.healAfterMs = healAfterMs;
  }

  maintain(ids: readonly string[], eachMs: number): void {
    this.jobs.push({ ids: [...ids], eachMs });
  }

  /** Whether there is something to look for again. */
  get isWaiting(): boolean {
    return this.jobs.some(({ ids }) => ids.length > 0) || (this.healAfterMs !== undefined && this.world.hasSick);
  }

  /**
   * @param room     how many healthy hosts may be taken away
   * @param isFree   whether nobody else is at work on it
   * @param isMoved  whether a rollout that is under way moved it: whether it is well is what that rollout asks, and one that is replaced
   *                 in time would hide that its image fails
   */
  look(room: number, isFree: (id: string) => boolean, isMoved: (id: string) => boolean): void {
    if (this.healAfterMs !== undefined)
      for (const id of this.world.sickFor(this.healAfterMs)) if (isFree(id) && !isMoved(id)) this.world.takeAway(id); // it serves nobody: nothing is lost
    let left = room;
    for (const { ids, eachMs } of this.jobs) {
      for (let id = ids[0]; id !== undefined && left > 0 && isFree(id); id = ids[0]) {
        ids.shift();
        this.world.takeAway(id, eachMs);
        left -= 1;
      }
    }
  }
}
