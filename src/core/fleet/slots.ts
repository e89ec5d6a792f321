import type { Fleet } from "./model.ts";

/** A place in a fleet, taken by one instance after another. */
export interface FleetSlot {
  readonly slot: string;
  readonly zone: string;
}

/** The hosts that are given; else `web-1` … `web-6`, spread over the zones in turn, so that the first zones take what is left. */
export function slotsOf(fleet: Fleet, size: number): readonly FleetSlot[] {
  if (fleet.provider === "ssh") return fleet.hosts.map(({ name, zone }) => ({ slot: name, zone }));
  const { name, zones } = fleet;
  return Array.from({ length: size }, (_, index) => ({ slot: `${name}-${index + 1}`, zone: zones[index % zones.length] ?? "" }));
}
