import { BakehouseError } from "../core/errors.ts";
import { fleetKey } from "../ports/fleet-records.ts";
import { carrying } from "./converge-fleet.ts";
import { findFleet } from "./find-fleet.ts";
import type { FleetParts } from "./fleet-parts.ts";

/** @throws FLEET_NOT_FOUND; RESOURCE_BUSY (somebody carries it); ROLLOUT_REFUSED (a rollout is under way) */
export async function dissolveFleet(parts: FleetParts, name: string): Promise<{ readonly key: string; readonly ended: readonly string[] }> {
  const fleet = findFleet(parts.records, name);
  const key = fleetKey(fleet);
  return carrying(parts, key, `dissolves fleet ${key}`, async () => {
    const open = parts.records.openRollout(key);
    if (open !== undefined)
      throw new BakehouseError("ROLLOUT_REFUSED", `Rollout ${open.id} of ${key} is ${open.status}`, {
        hint: `bakehouse rollout abort ${open.id}, then bakehouse rollout watch ${open.id} --carry`,
      });
    const provider = parts.provider(fleet);
    const reports = await provider.observe();
    await Promise.all(reports.map(({ id }) => provider.terminate(id)));
    await provider.dissolve();
    parts.records.forget(key);
    return { key, ended: reports.map(({ id }) => id) };
  });
}
