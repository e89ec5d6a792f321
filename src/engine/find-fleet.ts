import { BakehouseError } from "../core/errors.ts";
import { didYouMean } from "../core/text/did-you-mean.ts";
import { fleetKey, type FleetRecords, type KnownFleet, type RolloutSummary } from "../ports/fleet-records.ts";

/**
 * A fleet by its name, or by recipe and name (`shop/web`); with no name, the only one that there is.
 *
 * @throws FLEET_NOT_FOUND with the nearest, REFERENCE_AMBIGUOUS with those that match
 */
export function findFleet(records: Pick<FleetRecords, "fleets">, name: string | undefined): KnownFleet {
  const fleets = records.fleets();
  const found = name === undefined ? fleets : fleets.filter((fleet) => fleet.fleet.name === name || fleetKey(fleet) === name);
  const [only, second] = found;
  if (only !== undefined && second === undefined) return only;
  const keys = fleets.map(fleetKey);
  if (only !== undefined)
    throw new BakehouseError(
      "REFERENCE_AMBIGUOUS",
      `${name === undefined ? "No fleet is named, and there are" : `${JSON.stringify(name)} stands for`} ${found.map(fleetKey).join(", ")}`,
      {
        hint: "name one of them",
        details: found.map(fleetKey),
      },
    );
  const near = name === undefined ? undefined : didYouMean(name, [...keys, ...fleets.map(({ fleet }) => fleet.name)]);
  throw new BakehouseError(
    "FLEET_NOT_FOUND",
    name === undefined ? "This store knows no fleets" : `No fleet is called ${JSON.stringify(name)}`,
    {
      hint:
        near !== undefined
          ? `did you mean ${near}?`
          : keys.length > 0
            ? `the fleets: ${keys.join(", ")}`
            : "declare one under `fleets:` in a recipe, and run the command in its folder or with --recipe",
    },
  );
}

/**
 * A rollout by its id or the beginning of one; by a fleet, its newest; with no name, the newest of all.
 *
 * @throws ROLLOUT_NOT_FOUND, REFERENCE_AMBIGUOUS
 */
export function findRollout(records: Pick<FleetRecords, "rollouts" | "fleets">, reference: string | undefined): RolloutSummary {
  const rollouts = records.rollouts();
  const [newest] = rollouts;
  if (reference === undefined) {
    if (newest !== undefined) return newest;
    throw new BakehouseError("ROLLOUT_NOT_FOUND", "There are no rollouts yet", { hint: "bakehouse rollout plan" });
  }
  const exact =
    rollouts.find(({ id }) => id === reference) ?? rollouts.find(({ fleet }) => fleet === reference || fleet.split("/")[1] === reference);
  if (exact !== undefined) return exact;
  const begin = rollouts.filter(({ id }) => reference.length >= 2 && id.startsWith(reference));
  const [only] = begin;
  if (only !== undefined && begin.length === 1) return only;
  if (only !== undefined)
    throw new BakehouseError("REFERENCE_AMBIGUOUS", `${JSON.stringify(reference)} stands for ${begin.map(({ id }) => id).join(", ")}`, {
      hint: "use more of it",
    });
  const near = didYouMean(
    reference,
    rollouts.flatMap(({ id, fleet }) => [id, fleet]),
  );
  throw new BakehouseError("ROLLOUT_NOT_FOUND", `No rollout is called ${JSON.stringify(reference)}`, {
    hint: near === undefined ? "bakehouse rollout list" : `did you mean ${near}?`,
  });
}
