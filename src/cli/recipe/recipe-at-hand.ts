import { existsSync } from "node:fs";
import { join } from "node:path";
import type { LoadedRecipe } from "../../presets/create-bakehouse.ts";
import type { StoreContext } from "../images/with-images.ts";

/** A command that reads the recipe of the folder that it was typed in. */
export interface RecipeContext extends StoreContext {
  readonly folder: string;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** The recipe that was named, else the one of the folder, if there is one. */
export const recipeAtHand = ({ folder }: RecipeContext, named: string | undefined): string | undefined =>
  named ?? (existsSync(join(folder, "bakehouse.yaml")) ? "." : undefined);

/** @throws RECIPE_NOT_FOUND, RECIPE_INVALID */
export async function loadRecipe({ global, env, folder }: RecipeContext, path: string): Promise<LoadedRecipe> {
  const { createBakehouse } = await import("../../presets/create-bakehouse.ts");
  const bakehouse = createBakehouse({ store: global.store, env });
  try {
    return bakehouse.load(path, { from: folder });
  } finally {
    await bakehouse.close();
  }
}
