import { defineCommand } from "../command.ts";

export const command = defineCommand({
  name: "schema",
  summary: "Print the JSON Schema of recipes, for editors",
  description:
    "Editors that know YAML complete and check a recipe with it: put `# yaml-language-server: $schema=bakehouse.schema.json` into its first line.",
  examples: [{ line: "schema > bakehouse.schema.json", does: "Beside the recipe, for the editor" }],
  run: async () => {
    const { recipeJsonSchema } = await import("../../core/recipe/json-schema.ts");
    const { steps } = await import("../../steps/registry.ts");
    const { checks } = await import("../../checks/registry.ts");
    return recipeJsonSchema(steps, checks);
  },
  printsDocument: true,
  render: (schema) => `${JSON.stringify(schema, null, 2)}\n`,
});
