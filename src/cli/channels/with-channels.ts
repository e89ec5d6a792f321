import type { RevokeParts } from "../../engine/revoke-image.ts";
import { withImages } from "../images/with-images.ts";
import { loadRecipe, recipeAtHand, type RecipeContext } from "../recipe/recipe-at-hand.ts";

export const RECIPE_OPTION = {
  value: "recipe",
  summary: "Take the channels from this recipe first; default the one in the current folder, else as they were declared last",
  completes: "file",
} as const;

/** Opens the store for one command about channels. */
export async function withChannels<T>(context: RecipeContext, work: (parts: RevokeParts) => Promise<T>): Promise<T> {
  const { channelParts } = await import("../../presets/channels.ts");
  return withImages(context, (parts) => work(channelParts(parts, context.env)));
}

/**
 * The same, after what the recipe at hand says about its channels was recorded: whoever changes a gate need not bake before it
 * holds.
 */
export async function withDeclaredChannels<T>(
  context: RecipeContext,
  recipe: string | undefined,
  work: (parts: RevokeParts) => Promise<T>,
): Promise<T> {
  const path = recipeAtHand(context, recipe);
  if (path === undefined) return withChannels(context, work);
  const loaded = await loadRecipe(context, path);
  const { declareChannels } = await import("../../engine/declare-channels.ts");
  return withChannels(context, async (parts) => {
    await declareChannels(parts, loaded.recipe);
    return work(parts);
  });
}
