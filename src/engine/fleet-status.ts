import type { ImageDigest } from "../core/digest.ts";
import { isConflict, type InstanceReport } from "../core/fleet/instance.ts";
import { slotsOf } from "../core/fleet/slots.ts";
import { fleetKey, type Denied, type KnownFleet, type LineStop, type RolloutSummary } from "../ports/fleet-records.ts";
import type { Owner } from "../ports/store.ts";
import { newerImage } from "./converge-fleet.ts";
import type { FleetParts } from "./fleet-parts.ts";
import { isHeld } from "./line-stops.ts";

/** How a fleet stands, measured now. */
export interface FleetStatus {
  readonly key: string;
  readonly fleet: KnownFleet;
  readonly instances: readonly (InstanceReport & { readonly conflict: boolean })[];
  /** Slots without an instance. */
  readonly empty: readonly string[];
  readonly healthy: number;
  readonly serving: number;
  /** How many run which image, measured; `undefined` as a text: those that do not say. */
  readonly running: Readonly<Record<string, number>>;
  /** What it follows by now, if that is not what it is declared to run. */
  readonly newer?: ImageDigest;
  readonly rollout?: RolloutSummary;
  readonly denied: readonly Denied[];
  readonly stops: readonly LineStop[];
  /** Who looks after it at this moment. */
  readonly carrier?: Owner;
}

/** Looks at every instance of a fleet. */
export async function fleetStatus(parts: FleetParts, fleet: KnownFleet): Promise<FleetStatus> {
  const key = fleetKey(fleet);
  const reports = await parts.provider(fleet).observe();
  const now = parts.clock.now();
  const rollout = parts.records.openRollout(key);
  const carrier = parts.records.carrier(key);
  const newer = newerImage(parts, fleet);
  return {
    key,
    fleet,
    instances: reports.map((report) => ({ ...report, conflict: isConflict(report) })),
    empty: slotsOf(fleet.fleet, fleet.size).flatMap(({ slot }) => (reports.some((report) => report.slot === slot) ? [] : [slot])),
    healthy: reports.filter(({ health }) => health === "healthy").length,
    serving: reports.filter(({ serving }) => serving).length,
    running: counted(reports.map(({ running }) => running ?? "unknown")),
    ...(newer === undefined ? {} : { newer }),
    ...(rollout === undefined ? {} : { rollout }),
    denied: parts.records.denied(key),
    stops: parts.records.stops().filter((stop) => isHeld(stop, now) && (stop.fleet === undefined || stop.fleet === key)),
    ...(carrier === undefined ? {} : { carrier }),
  };
}

function counted(keys: readonly string[]): Readonly<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (const key of keys) counts[key] = (counts[key] ?? 0) + 1;
  return counts;
}
