import { BakehouseError } from "../core/errors.ts";
import { fleetKey } from "../ports/fleet-records.ts";
import { findFleet } from "./find-fleet.ts";
import type { FleetParts } from "./fleet-parts.ts";
import { recordDeed } from "./record-deed.ts";

/** Sets how many instances a fleet has; undefined: as its recipe says. @throws FLEET_NOT_FOUND, INPUT_INVALID (its machines are given) */
export async function scaleFleet(
  parts: FleetParts,
  name: string,
  size: number | undefined,
): Promise<{ readonly key: string; readonly before: number; readonly size: number }> {
  const fleet = findFleet(parts.records, name);
  const key = fleetKey(fleet);
  if (size !== undefined && !parts.provider(fleet).can.replace)
    throw new BakehouseError("INPUT_INVALID", `${key} has the machines that its recipe names, and no others can be made`, {
      hint: "add or remove hosts in the recipe",
    });
  parts.records.setSize(key, size);
  const after = findFleet(parts.records, key).size;
  if (after !== fleet.size) await recordDeed(parts, "fleet-scaled", key, { what: `${fleet.size} → ${after}` });
  return { key, before: fleet.size, size: after };
}
