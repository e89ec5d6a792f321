import { z } from "zod";
import { BakehouseError, problemsError } from "../errors.ts";
import { describeValue } from "./describe-value.ts";
import { readFleets } from "./fleets-section.ts";
import { Inspection, isMapping, readFields } from "./inspect.ts";
import type { Recipe } from "./model.ts";
import { limitProblems } from "./problems.ts";
import { readYaml } from "./read-yaml.ts";
import { nameSchema } from "./schema.ts";
import { readSecretSources } from "./secret-sources.ts";

/** What a fleet document says; where its secrets lie is meant from its own folder. */
export type FleetDocument = Pick<Recipe, "name" | "secrets"> & { readonly fleets: NonNullable<Recipe["fleets"]> };

/** What the store knows of the recipe that a document is about. */
export interface KnownRecipe {
  readonly layers: readonly string[];
  readonly channels: readonly string[];
}

const documentFields = {
  recipe: nameSchema.describe("Name of the recipe whose images the fleets run"),
  secrets: z.record(z.string(), z.unknown()).default({}).describe("Secrets by name, and where their values come from"),
  fleets: z.record(z.string(), z.unknown()).describe("The fleets by name, as in a recipe"),
};

/** Whether a text is a document of fleets alone, and no recipe: `fleets:` and no `layers:`. */
export function isFleetDocument(text: string): boolean {
  const { value } = readYaml(text, "");
  return isMapping(value) && Object.hasOwn(value, "fleets") && !Object.hasOwn(value, "layers");
}

/**
 * Reads fleets that stand in a file of their own, for whoever runs machines and does not bake the images.
 *
 * @param known  what the store has of a recipe of that name
 * @throws RECIPE_INVALID with every mistake and its place
 */
export function readFleetDocument(text: string, shownAs: string, known: (recipe: string) => KnownRecipe): FleetDocument {
  const yaml = readYaml(text, shownAs);
  const inspection = new Inspection(yaml, shownAs);
  inspection.problems.push(...yaml.problems);
  const { value } = yaml;
  const fields = isMapping(value) ? readFields(inspection, value, [], documentFields, "x-") : undefined;
  if (!isMapping(value)) inspection.error([], `a fleet document is a mapping with recipe and fleets, this is ${describeValue(value)}`);
  const secrets = readSecretSources(inspection, fields?.secrets ?? {});
  const name = fields?.recipe ?? "";
  const fleets = readFleets(inspection, fields?.fleets ?? {}, { ...known(name), secrets: Object.keys(fields?.secrets ?? {}) });
  const problems = limitProblems(inspection.problems, shownAs);
  if (inspection.failed) throw problemsError("RECIPE_INVALID", problems, "docs/guide/fleets.md, for what a fleet may say");
  if (name === "") throw new BakehouseError("RECIPE_INVALID", `${shownAs} names no recipe`, { hint: "recipe: shop" });
  return { name, secrets, fleets };
}
