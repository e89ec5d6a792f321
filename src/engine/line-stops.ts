import type { Calendar } from "../core/rollout/freeze.ts";
import { fleetKey, type FleetRecords, type KnownFleet, type LineStop } from "../ports/fleet-records.ts";

/** Whether a stop holds at a moment. */
export const isHeld = ({ from, until, lifted }: LineStop, now: Date): boolean =>
  lifted === undefined && Date.parse(from) <= now.getTime() && (until === undefined || now.getTime() < Date.parse(until));

/** When something new may start on a fleet: its own freezes and windows, and where somebody stopped the line. */
export function calendarOf(records: Pick<FleetRecords, "stops">, known: KnownFleet): Calendar {
  const stops = records.stops().filter(({ fleet, lifted }) => lifted === undefined && (fleet === undefined || fleet === fleetKey(known)));
  return {
    freezes: known.fleet.freeze,
    windows: known.fleet.windows,
    stops: stops.map(({ owner, reason, from, until, except }) => ({
      owner,
      reason,
      from: new Date(from),
      ...(until === undefined ? {} : { expires: new Date(until) }),
      exempt: except,
    })),
  };
}
