import type { Recipe } from "../core/recipe/model.ts";
import type { FleetRecords, KnownFleet } from "../ports/fleet-records.ts";

/** Writes down the fleets of a recipe. One that it does not declare any more stays known until it is dissolved: its machines still run. */
export const declareFleets = (
  records: FleetRecords,
  recipe: Pick<Recipe, "name" | "secrets" | "fleets">,
  file: string,
): readonly KnownFleet[] => (recipe.fleets ?? []).map((fleet) => records.declare(recipe, file, fleet));
