import type { ImageDigest } from "../core/digest.ts";
import { fleetKey, type FleetRecords, type KnownFleet, type LineStop } from "../ports/fleet-records.ts";

/** Whether a stop holds at a moment. */
export const isHeld = ({ from, until, lifted }: LineStop, now: Date): boolean =>
  lifted === undefined && Date.parse(from) <= now.getTime() && (until === undefined || now.getTime() < Date.parse(until));

/** Why nothing new may start on a fleet now for this image, in words; undefined: it may. */
export function lineStopFor(records: Pick<FleetRecords, "stops">, fleet: KnownFleet, target: ImageDigest, now: Date): string | undefined {
  const [stop] = records
    .stops()
    .filter((each) => isHeld(each, now) && (each.fleet === undefined || each.fleet === fleetKey(fleet)) && !each.except.includes(target));
  if (stop === undefined) return undefined;
  return `${stop.owner} stopped the line${stop.until === undefined ? "" : ` until ${stop.until}`}: ${stop.reason} (${stop.id})`;
}
