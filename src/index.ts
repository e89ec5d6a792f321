/**
 * Bakehouse as a library: the same calls that the command line makes.
 *
 * @example
 * import { createBakehouse, recipe } from "bakehouse";
 *
 * const shop = recipe("shop")
 *   .layer("foundation", (layer) => layer.debian({ suite: "bookworm" }))
 *   .layer("base", (layer) => layer.from("foundation").apt(["curl", "ca-certificates"]));
 * const bakehouse = createBakehouse({ store: "/var/lib/bakehouse" });
 * const loaded = bakehouse.define(shop, { folder: "." });
 * await bakehouse.lock(loaded);
 * const { images } = await bakehouse.bake(loaded, { onEvent: (event) => console.log(event.type) });
 * await bakehouse.close();
 *
 * @packageDocumentation
 */
import { recipeBuilder } from "./core/recipe/builder.ts";
import { stepsById } from "./steps/registry.ts";

export { createBakehouse } from "./presets/create-bakehouse.ts";
export type {
  Bakehouse,
  CheckRunOptions,
  DefineOptions,
  LoadedRecipe,
  LoadOptions,
  LockOutcome,
  LockRunOptions,
  RunOptions,
} from "./presets/create-bakehouse.ts";
export type { EmbeddedOptions } from "./presets/embedded.ts";
export type { BakeResult } from "./engine/bake-input.ts";
export type { BakedImage } from "./engine/assemble-image.ts";
export type { CheckOutcome } from "./engine/check-image.ts";
export type { SelfTestOutcome } from "./engine/self-test.ts";
export type { CheckPlatform, CheckResult, CheckRun, SelfTest, TestedCheck, Verdict } from "./core/checks/verdict.ts";
export type { Declaration, DeclaredCheck } from "./core/checks/declared-check.ts";
export type { BakePlan, PlannedStep } from "./engine/plan-bake.ts";
export type { PlaybookCheck } from "./engine/check-playbooks.ts";

/** Starts a recipe in TypeScript: every step is a method that knows its options. */
export const recipe = recipeBuilder(stepsById);
export { defineRecipe, recipeToYaml } from "./core/recipe/builder.ts";
export type { LayerBuilder, RecipeBuilder } from "./core/recipe/builder.ts";
export type { RecipeSource } from "./core/recipe/source.ts";
export type { Recipe, RecipeLayer, RecipeStep } from "./core/recipe/model.ts";
export type { Lock, LockedPackage, LockedStep } from "./core/lock/model.ts";

export { BakehouseError, ERROR_CODES } from "./core/errors.ts";
export type { ErrorCode, Help, Problem } from "./core/errors.ts";
export type { BakehouseEvent, InputChange, MissReason } from "./core/events.ts";
export type { DiffId, ImageDigest, Sha256 } from "./core/digest.ts";
export { VERSION } from "./core/version.ts";
