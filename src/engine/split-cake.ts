import { launchHook } from "../core/launch/launch-hook.ts";
import { launchedLayers } from "../core/launch/launched-layers.ts";
import type { Recipe, RecipeLayer, RecipeStep } from "../core/recipe/model.ts";
import { layerChain, type BoundStep } from "./bound-recipe.ts";

/** What a machine does at its first start, in place of a layer that is not baked. */
export interface Launch {
  /** The top layer, which gives it its name. */
  readonly layer: RecipeLayer;
  /** The layer whose image the machine starts from. */
  readonly root: RecipeLayer;
  /** Everything above the root, in order. */
  readonly steps: readonly BoundStep[];
}

export interface SplitCake {
  /** The recipe of what is baked. */
  readonly recipe: Recipe;
  readonly steps: readonly BoundStep[];
  readonly launches: readonly Launch[];
}

/**
 * Takes apart what is baked and what happens at launch. For `software` the images that launches start from get one step
 * more: the unit that carries the launch out. For `boot` they stay as they are, since cloud-init does it.
 */
export function splitCake(recipe: Recipe, steps: readonly BoundStep[]): SplitCake {
  const launched = launchedLayers(recipe.cake, recipe.layers);
  if (launched.size === 0) return { recipe, steps, launches: [] };
  const launches = launchesOf(recipe, steps, launched);
  const hooked = recipe.cake === "software" ? new Set(launches.map(({ root }) => root.name)) : new Set<string>();
  const entries = [...new Set(launches.flatMap(({ layer }) => layer.image.entry ?? []))].sort();
  const layers = recipe.layers
    .filter(({ name }) => !launched.has(name))
    .map((layer) => (hooked.has(layer.name) ? { ...layer, steps: [...layer.steps, hookStep(layer, entries)] } : layer));
  return { recipe: { ...recipe, layers }, steps: layers.flatMap((layer) => bakedSteps(layer, steps, entries)), launches };
}

function launchesOf(recipe: Recipe, steps: readonly BoundStep[], launched: ReadonlySet<string>): readonly Launch[] {
  const parents = new Set(recipe.layers.map(({ from }) => (from !== undefined && "layer" in from ? from.layer : undefined)));
  const tops = recipe.layers.filter(({ name }) => launched.has(name) && !parents.has(name));
  return tops.map((layer) => {
    const chain = layerChain(recipe, layer);
    const root = chain.findLast(({ name }) => !launched.has(name));
    if (root === undefined) throw new Error(`Launched layer ${layer.name} stands on nothing that is baked`);
    const above = chain.filter(({ name }) => launched.has(name)).map(({ name }) => name);
    return { layer, root, steps: above.flatMap((name) => steps.filter((bound) => bound.layer.name === name)) };
  });
}

/** Layers are compared by identity further on, so every step has to point to the one of the new recipe. */
const bakedSteps = (layer: RecipeLayer, steps: readonly BoundStep[], entries: readonly string[]): readonly BoundStep[] =>
  layer.steps.map((step): BoundStep => {
    const bound = steps.find((one) => one.step === step);
    return bound === undefined
      ? { step, layer, definition: launchHook, options: { before: entries }, requirements: {} }
      : { ...bound, layer };
  });

const hookStep = (layer: RecipeLayer, entries: readonly string[]): RecipeStep => ({
  id: launchHook.id,
  name: launchHook.id,
  address: `${layer.name}/${launchHook.id}`,
  options: { before: entries },
  timeoutMs: 60_000,
  network: "none",
  secrets: [],
  position: layer.position,
});
