// Writes docs/reference/*.md and the JSON Schema of recipes from the code, so that they are never wrong. `--check` writes
// nothing: it says which file is stale and the command that refreshes it.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { checksPage } from "./reference/checks-page.ts";
import { cliPage } from "./reference/cli-page.ts";
import { errorsPage } from "./reference/errors-page.ts";
import { eventsPage } from "./reference/events-page.ts";
import { recipePage } from "./reference/recipe-page.ts";
import { scenariosPage } from "./reference/scenarios-page.ts";
import { stepsPage } from "./reference/steps-page.ts";
import { generateSchema } from "../src/core/recipe/json-schema.ts";
import { scenarioJsonSchema } from "../src/core/simulation/scenario-schema.ts";
import { checks } from "../src/checks/registry.ts";
import { steps } from "../src/steps/registry.ts";

const root = dirname(import.meta.dirname);
const HEAD = "<!-- Generated from the code by `npm run reference`. Change the code, not this file. -->\n\n";

const pages = {
  "docs/reference/checks.md": HEAD + checksPage([...checks.values()]),
  "docs/reference/cli.md": HEAD + (await cliPage()),
  "docs/reference/errors.md": HEAD + errorsPage(),
  "docs/reference/events.md": HEAD + eventsPage(),
  "docs/reference/recipe.md": HEAD + recipePage(),
  "docs/reference/scenarios.md": HEAD + scenariosPage(join(root, "docs/scenarios")),
  "docs/reference/steps.md": HEAD + stepsPage([...steps.values()]),
  "schema/bakehouse.schema.json": generateSchema(steps, checks),
  "schema/scenario.schema.json": `${JSON.stringify(scenarioJsonSchema(), null, 2)}\n`,
};

const stale = Object.entries(pages).filter(
  ([file, text]) => !existsSync(join(root, file)) || readFileSync(join(root, file), "utf8") !== text,
);
if (process.argv.includes("--check")) {
  for (const [file] of stale) console.log(`${file} is not what the code says: npm run reference`);
  process.exitCode = stale.length === 0 ? 0 : 1;
} else {
  for (const [file, text] of stale) {
    mkdirSync(dirname(join(root, file)), { recursive: true });
    writeFileSync(join(root, file), text);
    console.log(`wrote ${file}`);
  }
}
