import type { FleetParts } from "../../engine/fleet-parts.ts";
import { declareFleets } from "../../engine/declare-fleets.ts";
import { withImages } from "../images/with-images.ts";
import { loadRecipe, recipeAtHand, type RecipeContext } from "../recipe/recipe-at-hand.ts";

export const RECIPE_OPTION = {
  value: "recipe",
  summary: "Read the fleets of this recipe or fleet document first; default the one in the current folder, else as they were declared last",
  completes: "file",
} as const;

export const FLEET_ARGUMENT = {
  required: false,
  summary: "Name of a fleet, such as web or shop/web; default the only one",
  completes: "none",
} as const;

export const ROLLOUT_ARGUMENT = {
  required: false,
  summary: "Id of a rollout, or a fleet for its newest; default the newest of all",
  completes: "none",
} as const;

/** Opens the store for one command about fleets, after what the recipe or fleet document at hand says about them was written down. */
export async function withFleets<T>(
  context: RecipeContext,
  recipe: string | undefined,
  work: (parts: FleetParts) => Promise<T>,
): Promise<T> {
  const path = recipeAtHand(context, recipe);
  const { readRecipeFile } = await import("../../adapters/local-host/recipe-files.ts");
  const { isFleetDocument } = await import("../../core/recipe/fleet-document.ts");
  const file = path === undefined ? undefined : readRecipeFile(path, context.folder);
  const document = file !== undefined && isFleetDocument(file.text) ? file : undefined;
  const loaded = path === undefined || document !== undefined ? undefined : await loadRecipe(context, path);
  const { fleetParts } = await import("../../presets/fleets.ts");
  return withImages(context, async (images) => {
    const parts = await fleetParts(images, context.env);
    try {
      if (loaded !== undefined) declareFleets(parts.records, loaded.recipe, loaded.recipe.file);
      if (document !== undefined) await declareDocument(parts, document);
      return await work(parts);
    } finally {
      parts.close();
    }
  });
}

async function declareDocument(
  parts: FleetParts,
  { text, file, shownAs }: { readonly text: string; readonly file: string; readonly shownAs: string },
) {
  const { readFleetDocument } = await import("../../core/recipe/fleet-document.ts");
  const { knownRecipes } = await import("../../engine/known-recipes.ts");
  const { name, secrets, fleets } = readFleetDocument(text, shownAs, await knownRecipes(parts));
  declareFleets(parts.records, { name, secrets, fleets }, file);
}
