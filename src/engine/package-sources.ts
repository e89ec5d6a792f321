import type { Recipe } from "../core/recipe/model.ts";
import type { PackageRequest } from "../core/step.ts";
import { bindSteps, layerChain, type BoundStep, type StepRegistry } from "./bound-recipe.ts";

/** The Debian foundation that a step stands on, if it stands on one. */
export function foundationOf(recipe: Recipe, bound: BoundStep, registry: StepRegistry): PackageRequest["foundation"] {
  const below = layerChain(recipe, bound.layer).map((layer) => layer.name);
  return bindSteps(recipe, registry)
    .filter((candidate) => below.includes(candidate.layer.name))
    .map((candidate) => candidate.requirements.packages?.foundation)
    .find((foundation) => foundation !== undefined);
}
