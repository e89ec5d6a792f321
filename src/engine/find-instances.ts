import { BakehouseError } from "../core/errors.ts";
import { didYouMean } from "../core/text/did-you-mean.ts";
import type { FleetProvider } from "../ports/fleet-provider.ts";
import { findFleet } from "./find-fleet.ts";
import type { FleetParts } from "./fleet-parts.ts";

/**
 * Instances of a fleet that run: one by its id or slot (of several in a slot the one that serves), or all.
 *
 * @throws FLEET_NOT_FOUND, INSTANCE_NOT_FOUND with the nearest
 */
export async function findInstances(
  parts: FleetParts,
  fleetName: string,
  instance: string | undefined,
): Promise<{ readonly provider: FleetProvider; readonly instances: readonly string[] }> {
  const fleet = findFleet(parts.records, fleetName);
  const provider = parts.provider(fleet);
  const reports = (await provider.observe()).filter(({ bootedAt }) => bootedAt !== undefined);
  if (instance === undefined) return { provider, instances: reports.map(({ id }) => id) };
  const found =
    reports.find(({ id }) => id === instance) ??
    reports.filter(({ slot }) => slot === instance).toSorted((a, b) => Number(b.serving) - Number(a.serving))[0];
  if (found !== undefined) return { provider, instances: [found.id] };
  const near = didYouMean(
    instance,
    reports.flatMap(({ id, slot }) => [id, slot]),
  );
  throw new BakehouseError("INSTANCE_NOT_FOUND", `Fleet ${fleet.fleet.name} has no running instance ${JSON.stringify(instance)}`, {
    hint: near === undefined ? `bakehouse fleet ps ${fleetName}` : `did you mean ${near}?`,
  });
}
