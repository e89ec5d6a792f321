import { ANNOTATIONS } from "../core/image/oci.ts";
import type { KnownRecipe } from "../core/recipe/fleet-document.ts";
import type { FleetParts } from "./fleet-parts.ts";
import { nameOf } from "./find-image.ts";

/** Layers and channels of recipes, as the store has them, by the recipe's name. */
export async function knownRecipes({ store, catalog }: Pick<FleetParts, "store" | "catalog">): Promise<(recipe: string) => KnownRecipe> {
  const { ledger } = await catalog();
  const entries = store.images.entries();
  const names = new Set(entries.map(({ annotations }) => annotations[ANNOTATIONS.recipe] ?? ""));
  const channels = new Map(
    await Promise.all(
      [...names].map(async (name) => [name, (await ledger.policy(name))?.policy.channels.map((each) => each.name) ?? []] as const),
    ),
  );
  return (recipe) => ({
    layers: [...new Set(entries.map(nameOf).flatMap((name) => (name.startsWith(`${recipe}/`) ? [name.slice(recipe.length + 1)] : [])))],
    channels: channels.get(recipe) ?? [],
  });
}
