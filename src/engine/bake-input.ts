import type { Sha256 } from "../core/digest.ts";
import type { Lock } from "../core/lock/model.ts";
import type { Recipe } from "../core/recipe/model.ts";
import type { RunnerName } from "../ports/workspaces.ts";
import type { BakedImage } from "./assemble-image.ts";
import type { BoundStep } from "./bound-recipe.ts";
import type { Report } from "./parts.ts";
import type { Force } from "./plan-bake.ts";
import type { Launch } from "./split-cake.ts";
import type { BakeTexts } from "./standing-bake.ts";
import type { LookedInputs } from "./step-key.ts";

export interface BakeOptions {
  /** Layers to bake, with everything below them; all when empty. */
  readonly layers: readonly string[];
  readonly force: Force;
  readonly runner: RunnerName;
  readonly keepOnFailure: boolean;
  /** Layers baked at the same time, at most. */
  readonly parallel: number;
  /** What of the recipe's folder was looked at a moment ago. */
  readonly looked?: LookedInputs;
  readonly signal: AbortSignal;
  readonly report: Report;
}

export interface BakeInput {
  readonly recipe: Recipe;
  readonly steps: readonly BoundStep[];
  readonly lock: Lock | undefined;
  readonly recipeDigest: Sha256;
  readonly lockDigest?: Sha256;
  /** What machines do at launch in place of layers that are not baked. */
  readonly launches?: readonly Launch[];
  /** What recipe, steps and lock were read from, to see the next time that nothing changed without reading them. */
  readonly texts?: BakeTexts;
}

export interface BakeResult {
  /** Absent when nothing had to be done: then there is nothing to look at either. */
  readonly bake?: string;
  readonly images: readonly BakedImage[];
  readonly hits: number;
  readonly baked: number;
  readonly durationMs: number;
}
