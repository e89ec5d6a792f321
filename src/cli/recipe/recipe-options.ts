import type { LoadedRecipe } from "../../presets/create-bakehouse.ts";
import { BakehouseError } from "../../core/errors.ts";
import { formatProblem } from "../../core/errors.ts";
import type { Terminal } from "../terminal.ts";

/** What bake, plan and lock have in common. */
export const RECIPE_ARGUMENT = {
  summary: "The recipe, or the folder that holds bakehouse.yaml",
  required: false,
  default: ".",
  completes: "file",
} as const;

export const RECIPE_OPTIONS = {
  set: { value: "name=value", many: true, summary: "Give a parameter another value than its default" },
} as const;

/** `["version=2", "debug=true"]` → `{ version: "2", debug: "true" }`. @throws USAGE with every wrong one */
export function parameterOverrides(given: readonly string[]): Readonly<Record<string, string>> {
  const wrong = given.filter((text) => !/^[^=]+=/.test(text));
  if (wrong.length > 0)
    throw new BakehouseError("USAGE", `--set takes name=value, not ${wrong.map((text) => JSON.stringify(text)).join(", ")}`, {
      hint: "for example --set version=2.0",
    });
  return Object.fromEntries(given.map((text) => [text.slice(0, text.indexOf("=")), text.slice(text.indexOf("=") + 1)]));
}

export function warn(loaded: LoadedRecipe, terminal: Terminal): void {
  for (const problem of loaded.warnings) terminal.err(`${terminal.errorColors.yellow("warning")} ${formatProblem(problem)}\n`);
}
