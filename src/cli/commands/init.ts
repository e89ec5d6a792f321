import { basename, relative, resolve } from "node:path";
import { TEMPLATE_NAMES } from "../../core/recipe/template-names.ts";
import { defineCommand } from "../command.ts";

export const command = defineCommand({
  name: "init",
  summary: "Write a first recipe that bakes",
  description: `Writes a commented bakehouse.yaml with the files that it needs, and the schema for editors. Files that are there already are never
touched: then nothing is written.`,
  arguments: { folder: { summary: "Where to write", required: false, default: ".", completes: "directory" } },
  options: {
    template: { value: "name", choices: TEMPLATE_NAMES, default: "web", summary: "What to start from" },
    name: { value: "name", summary: "Name of the recipe; default the folder's" },
  },
  examples: [
    { line: "init", does: "A web server, in this folder" },
    { line: "init machines --template ansible", does: "A base made by a playbook, in machines/" },
  ],
  run: async ({ args, options, folder }) => {
    const { TEMPLATES, nameFromFolder, nameRecipe, RECIPE_FILE } = await import("../../core/recipe/templates.ts");
    const { readTemplateFile, writeProject } = await import("../../adapters/local-host/templates.ts");
    const { generateSchema } = await import("../../core/recipe/json-schema.ts");
    const { nameSchema, NAME_RULE } = await import("../../core/recipe/schema.ts");
    const { BakehouseError } = await import("../../core/errors.ts");
    const { steps } = await import("../../steps/registry.ts");
    const { checks } = await import("../../checks/registry.ts");
    const target = resolve(folder, args.folder);
    const name = options.name ?? nameFromFolder(basename(target));
    if (!nameSchema.safeParse(name).success)
      throw new BakehouseError("USAGE", `${JSON.stringify(name)} cannot name a recipe: ${NAME_RULE}`, {
        hint: `for example --name ${nameFromFolder(name)}`,
      });
    const template = TEMPLATES.find((candidate) => candidate.name === options.template);
    if (template === undefined) throw new Error(`no template ${options.template}`);
    const files = Object.fromEntries(template.files.map((path) => [path, readTemplateFile(template.name, path)]));
    const recipe = nameRecipe(files[RECIPE_FILE] ?? "", name);
    writeProject(target, { ...files, [RECIPE_FILE]: recipe, "bakehouse.schema.json": generateSchema(steps, checks) });
    const shown = relative(folder, target);
    return { folder: target, shown, template: template.name, files: [...Object.keys(files), "bakehouse.schema.json"], next: template.next };
  },
  render: ({ shown, files, next }, { terminal }) => {
    const { bold, dim } = terminal.colors;
    const where = shown === "" ? "" : ` ${shown}`;
    const lines = files.map((path) => `  ${shown === "" ? "" : `${shown}/`}${path}`);
    return `${bold("Wrote")}\n${lines.join("\n")}\n${dim("Next:")} ${next.join(", ")}; then  bakehouse bake${where} --update-lock\n`;
  },
});
