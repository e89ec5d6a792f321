import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { Ajv2020 } from "ajv/dist/2020.js";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { formatProblem } from "../src/core/errors.ts";
import { recipeToYaml } from "../src/core/recipe/builder.ts";
import { generateSchema, recipeJsonSchema } from "../src/core/recipe/json-schema.ts";
import { parseRecipe } from "../src/core/recipe/parse-recipe.ts";
import { readYaml } from "../src/core/recipe/read-yaml.ts";
import { nameFromFolder, nameRecipe, RECIPE_FILE, TEMPLATES } from "../src/core/recipe/templates.ts";
import { checks } from "../src/checks/registry.ts";
import { steps } from "../src/steps/registry.ts";

const root = resolve(import.meta.dirname, "..");
const read = (path: string): string => readFileSync(join(root, path), "utf8");
const accepts = new Ajv2020({ strict: true, strictTypes: false, strictRequired: false, allErrors: true }).compile(
  recipeJsonSchema(steps, checks),
);

function expectRight(text: string, file: string): void {
  const { recipe, problems } = parseRecipe({
    text,
    file: join(root, file),
    folder: dirname(join(root, file)),
    shownAs: file,
    steps,
    checks,
  });
  expect(problems.map(formatProblem)).toEqual([]);
  accepts(readYaml(text, file).value);
  expect(accepts.errors ?? []).toEqual([]);
  if (recipe === undefined) return;
  for (const step of recipe.layers.flatMap((layer) => layer.steps)) {
    const files = steps.get(step.id)?.requires?.(step.options).files ?? [];
    const missing = files.filter(({ path }) => !existsSync(join(recipe.folder, path)));
    expect({ step: step.address, missing }).toEqual({ step: step.address, missing: [] });
  }
}

describe("the published schema", () => {
  it("is what the code gives, else `npm run reference` writes it", () => {
    expect(read("schema/bakehouse.schema.json")).toBe(generateSchema(steps, checks));
  });
});

describe("templates", () => {
  it("are the folders in templates/", () => {
    expect(TEMPLATES.map(({ name }) => name).toSorted()).toEqual(readdirSync(join(root, "templates")).toSorted());
  });

  it.each(TEMPLATES)("$name lists its files", ({ name, files }) => {
    const folder = join(root, "templates", name);
    const found = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
    expect(found.map((entry) => relative(folder, join(entry.parentPath, entry.name))).toSorted()).toEqual(files.toSorted());
  });

  it.each(TEMPLATES)("$name is right, for the parser and for the schema", ({ name }) => {
    const file = `templates/${name}/${RECIPE_FILE}`;
    expectRight(read(file), file);
  });

  it("get the name of the new project", () => {
    const text = nameRecipe(read("templates/web/bakehouse.yaml"), "shop-$&");
    expect(text).toContain("\nname: shop-$&\n");
    expect(text.match(/shop-/g)).toHaveLength(1);
  });

  it.each([
    ["My Shop (2)", "my-shop-2"],
    ["Café", "cafe"],
    ["2024-site", "site"],
    ["---", "image"],
    ["日本", "image"],
    ["a".repeat(100), "a".repeat(64)],
  ])("name a recipe in the folder %s %s", (folder, name) => {
    expect(nameFromFolder(folder)).toBe(name);
  });
});

describe("examples", () => {
  const recipes = readdirSync(join(root, "examples"), { recursive: true, encoding: "utf8" }).filter(
    (path) => path.endsWith(`/${RECIPE_FILE}`) && !path.includes("node_modules"),
  );
  it.each(recipes.map((path) => [path]))("%s is right, for the parser and for the schema", (path) => {
    expectRight(read(join("examples", path)), join("examples", path));
  });
});

describe("every step", () => {
  const shownAs = "r";
  const value = fc.jsonValue({ maxDepth: 3 });

  it("takes any options without an exception", () => {
    fc.assert(
      fc.property(fc.constantFrom(...steps.keys()), value, (id, options) => {
        const text = recipeToYaml({ name: "a", layers: { b: { from: "image:c", steps: [{ [id]: options }] } } });
        const { recipe, problems } = parseRecipe({ text, file: "/r", folder: "/", shownAs, steps, checks });
        expect(recipe === undefined).toBe(problems.some(({ severity }) => severity === "error"));
      }),
      { numRuns: 600 },
    );
  });

  it.each(
    [...steps.values()].flatMap((step) => step.examples.map((example, index) => [`${step.id} ${index + 1}`, step, example] as const)),
  )("is right in its example: %s", (_name, step, example) => {
    const head = step.role === "foundation" ? "" : "    from: image:c\n";
    const parameters = [...new Set([...example.matchAll(/\{\{\s*([a-zA-Z][\w-]*)\s*\}\}/g)].map(([, name = ""]) => name))];
    const secrets = [...new Set([...example.matchAll(/secrets: \[(.*?)\]/g)].flatMap(([, names = ""]) => names.split(/,\s*/)))];
    const text = [
      "name: a",
      ...(parameters.length === 0 ? [] : ["parameters:", ...parameters.map((name) => `  ${name}: "1"`)]),
      ...(secrets.length === 0 ? [] : ["secrets:", ...secrets.map((name) => `  ${name}: { env: A }`)]),
      `layers:\n  b:\n${head}    steps:\n${example.replace(/^(?=.)/gm, "      ")}\n`,
    ].join("\n");
    const { problems } = parseRecipe({ text, file: "/r", folder: "/", shownAs, steps, checks });
    expect(problems.map(formatProblem)).toEqual([]);
    accepts(readYaml(text, "r").value);
    expect(accepts.errors ?? []).toEqual([]);
  });
});

describe("docs/guide/recipe.md", () => {
  const snippets = [...read("docs/guide/recipe.md").matchAll(/^```yaml\n(.*?)^```$/gms)].map(
    ([, text = ""]) => [/^name: (.*)$/m.exec(text)?.[1] ?? text, text] as const,
  );
  it.each(snippets)("the recipe %s is right", (_name, text) => {
    const { problems } = parseRecipe({ text, file: "/docs/bakehouse.yaml", folder: "/docs", shownAs: "recipe.md", steps, checks });
    expect(problems.map(formatProblem)).toEqual([]);
    accepts(readYaml(text, "recipe.md").value);
    expect(accepts.errors ?? []).toEqual([]);
  });

  it("has snippets", () => {
    expect(snippets.length).toBeGreaterThanOrEqual(7);
  });
});
