import { z } from "zod";
import {
  imageSchema,
  layerFields,
  parameterSchema,
  recipeFields,
  repositorySchema,
  secretSchema,
  stepSettingFields,
} from "../../src/core/recipe/schema.ts";
import { fieldTable } from "./schema-text.ts";

/** docs/reference/recipe.md: every key of bakehouse.yaml but the steps' own options. */
export function recipePage(): string {
  return [
    "# The recipe, `bakehouse.yaml`",
    "",
    "The options of the steps are in [steps](steps.md). `bakehouse schema` prints the JSON Schema, which editors use to complete and check.",
    "",
    "## The recipe itself",
    "",
    fieldTable(z.strictObject(recipeFields), {
      types: {
        parameters: "[parameters](#parameters) by name",
        repositories: "[repositories](#repositories) by name",
        secrets: "[secrets](#secrets) by name",
        layers: "[layers](#layers) by name",
      },
    }),
    "## Layers",
    "",
    "Below `layers.<name>`:",
    "",
    fieldTable(z.strictObject(layerFields), { types: { steps: "list of [steps](#steps)", image: "[image settings](#image)" } }),
    "## Steps",
    "",
    "An item of `steps` is a mapping with the step's id and its options, `apt: { install: [curl] }`, and beside it:",
    "",
    fieldTable(z.strictObject(stepSettingFields)),
    "## Image",
    "",
    "Below `layers.<name>.image`:",
    "",
    fieldTable(imageSchema),
    "## Parameters",
    "",
    "Below `parameters.<name>`; a plain value is short for its default:",
    "",
    fieldTable(parameterSchema),
    "## Repositories",
    "",
    "Below `repositories.<name>`:",
    "",
    fieldTable(repositorySchema),
    "## Secrets",
    "",
    "Below `secrets.<name>`, one of the two:",
    "",
    fieldTable(secretSchema),
  ].join("\n");
}
