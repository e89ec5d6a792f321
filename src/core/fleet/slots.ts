import type { Fleet } from "./model.ts";

/** A place in a fleet, taken by one instance after another. */
export interface FleetSlot {
  readonly slot: string;
  readonly zone: string;
}

/** `web-1` … `web-6`, spread over the zones in turn, so that the first zones take what is left. */
export const slotsOf = ({ name, zones }: Pick<Fleet, "name" | "zones">, size: number): readonly FleetSlot[] =>
  Array.from({ length: size }, (_, index) => ({ slot: `${name}-${index + 1}`, zone: zones[index % zones.length] ?? "" }));
