import type { ImageDigest } from "../core/digest.ts";
import { fleetKey, type FleetRecords } from "../ports/fleet-records.ts";

/** Images that fleets need, and why: what they run, what they would go back to, and both ends of a rollout under way. */
export function fleetPins(records: Pick<FleetRecords, "fleets" | "rollouts" | "queued">): ReadonlyMap<ImageDigest, string> {
  const pins = new Map<ImageDigest, string>();
  const pin = (digest: ImageDigest | undefined, why: string): void => {
    if (digest !== undefined && !pins.has(digest)) pins.set(digest, why);
  };
  for (const fleet of records.fleets()) pin(fleet.declared, `fleet ${fleetKey(fleet)} runs it`);
  for (const { id, target, back, endedAt } of records.rollouts()) {
    if (endedAt !== undefined) continue;
    pin(target, `rollout ${id} brings it`);
    pin(back, `rollout ${id} may go back to it`);
  }
  for (const fleet of records.fleets())
    for (const { rollout, image } of records.queued(fleetKey(fleet))) pin(image, `rollout ${rollout} waits to bring it`);
  for (const fleet of records.fleets()) pin(fleet.previous, `fleet ${fleetKey(fleet)} can go back to it`);
  return pins;
}
