import type { Recipe, RecipeLayer, RecipeStep } from "../core/recipe/model.ts";
import type { StepDefinition, StepRequirements } from "../core/step.ts";

/** A step of a recipe together with the code that carries it out. */
export interface BoundStep {
  readonly step: RecipeStep;
  readonly layer: RecipeLayer;
  readonly definition: StepDefinition;
  /** As the definition's schema gives them, with defaults. */
  readonly options: unknown;
  readonly requirements: StepRequirements;
}

export type StepRegistry = ReadonlyMap<string, StepDefinition>;

/** Finds the code of each step. The recipe was validated against the same registry, so nothing can be missing. */
export function bindSteps(recipe: Recipe, registry: StepRegistry): readonly BoundStep[] {
  return recipe.layers.flatMap((layer) =>
    layer.steps.map((step): BoundStep => {
      const definition = registry.get(step.id);
      if (definition === undefined) throw new Error(`Step ${step.id} of a validated recipe is not registered`);
      const { options } = step; // the recipe's parser has put them through the schema already
      return { step, layer, definition, options, requirements: definition.requires?.(options) ?? {} };
    }),
  );
}

/** The layers asked for and everything below them; all layers when none is named. */
export function wantedLayers(recipe: Recipe, names: readonly string[]): readonly RecipeLayer[] {
  if (names.length === 0) return recipe.layers;
  const byName = new Map(recipe.layers.map((layer) => [layer.name, layer]));
  const wanted = new Set<string>();
  const add = (name: string): void => {
    const layer = byName.get(name);
    if (layer === undefined || wanted.has(name)) return;
    wanted.add(name);
    if (layer.from !== undefined && "layer" in layer.from) add(layer.from.layer);
  };
  for (const name of names) add(name);
  return recipe.layers.filter((layer) => wanted.has(layer.name));
}

/** The layers that a layer stands on within the recipe, the lowest first, itself last. */
export function layerChain(recipe: Recipe, layer: RecipeLayer): readonly RecipeLayer[] {
  const { from } = layer;
  const parent = from !== undefined && "layer" in from ? recipe.layers.find((candidate) => candidate.name === from.layer) : undefined;
  return parent === undefined ? [layer] : [...layerChain(recipe, parent), layer];
}
