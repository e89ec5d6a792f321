import { readFileSync } from "node:fs";
import { isAbsolute, join } from "node:path";
import { BakehouseError } from "../../core/errors.ts";
import type { Recipe } from "../../core/recipe/model.ts";
import type { SecretSource } from "../../ports/host.ts";

/** Where a recipe says that its secrets come from. */
type SecretPlaces = Pick<Recipe, "secrets" | "folder">;

/** Reads secrets from the environment or from files (relative to the recipe's folder), when a step asks and not before. */
export function hostSecrets(recipe: SecretPlaces, env: Readonly<Record<string, string | undefined>>): SecretSource {
  const read = (name: string): string | undefined => {
    const source = recipe.secrets[name];
    if (source === undefined) return undefined;
    if ("env" in source) return env[source.env];
    try {
      return readFileSync(isAbsolute(source.file) ? source.file : join(recipe.folder, source.file), "utf8");
    } catch {
      return undefined;
    }
  };
  return {
    resolve(names) {
      const values = new Map<string, string>();
      const missing: string[] = [];
      for (const name of names) {
        const value = read(name);
        if (value === undefined || value === "") missing.push(name);
        else values.set(name, value);
      }
      if (missing.length === 0) return values;
      throw new BakehouseError(
        "SECRET_MISSING",
        missing.map((name) => `Secret "${name}" is not given: ${where(recipe, name)}`).join("\n"),
        { hint: howToGive(recipe, missing), details: missing },
      );
    },
  };
}

function where(recipe: SecretPlaces, name: string): string {
  const source = recipe.secrets[name];
  if (source === undefined) return "the recipe does not declare it under `secrets:`";
  return "env" in source ? `the environment variable ${source.env} is not set` : `the file ${source.file} cannot be read or is empty`;
}

function howToGive(recipe: SecretPlaces, names: readonly string[]): string {
  const sources = names.map((name) => recipe.secrets[name]);
  const variables = sources.flatMap((source) => (source !== undefined && "env" in source ? [`${source.env}=…`] : []));
  return variables.length === names.length
    ? `${variables.join(" ")} bakehouse bake`
    : "`secrets:` in the recipe says where each value comes from";
}
