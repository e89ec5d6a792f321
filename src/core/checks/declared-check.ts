import type { JsonValue } from "../json.ts";
import type { Recipe, RecipeLayer } from "../recipe/model.ts";

/** A check that an image promises to pass, complete: it can be run without the recipe. */
export interface DeclaredCheck {
  /** Type of the check, such as `http`. */
  readonly check: string;
  /** Unique among the checks of the image. */
  readonly name: string;
  /** The layer that declares it; for one that came with a parent of another recipe, `<recipe>/<layer>`. */
  readonly layer: string;
  readonly options: JsonValue;
  readonly retries?: number;
  readonly intervalMs?: number;
  readonly timeoutMs?: number;
  /** Content of the recipe's files that it needs, by path. */
  readonly files?: Readonly<Record<string, string>>;
}

export interface DeclaredSecret {
  readonly name: string;
  /** One of both: the variable of the environment, or the file as the recipe names it, that holds its value. */
  readonly env?: string;
  readonly file?: string;
}

/** Everything that an image promises, and for whom: the predicate of a paper that `bake` writes. */
export interface Declaration {
  readonly recipe: string;
  readonly layer: string;
  readonly checks: readonly DeclaredCheck[];
  /** Secrets that its bake used, and where each comes from: `hygiene` looks for their values. */
  readonly secrets: readonly DeclaredSecret[];
}

/** A check of an image on the way to its declaration. */
export interface LayerCheck extends DeclaredCheck {
  readonly replaces?: string;
  /** Files of the recipe's folder that it takes along. */
  readonly paths: readonly string[];
}

/** A check as `plan` shows it. */
export interface PlannedCheck {
  readonly check: string;
  readonly name: string;
  readonly layer: string;
  readonly inherited: boolean;
  /** The inherited check in whose place it stands. */
  readonly replaces?: string;
}

/**
 * The checks of a layer: those that it inherits, the lowest first, then its own. One that says `replaces` stands in the place
 * of the inherited one; otherwise nothing that a lower layer asks for is ever dropped.
 *
 * @param inherited  of a parent that is not in the recipe
 */
export function checksOf(chain: readonly RecipeLayer[], inherited: readonly DeclaredCheck[] = []): readonly LayerCheck[] {
  let all: readonly LayerCheck[] = inherited.map((check) => ({ ...check, paths: [] }));
  for (const layer of chain) {
    for (const { id, givenName, replaces, options, files, retries, intervalMs, timeoutMs } of layer.checks) {
      const kept = all.filter((each) => each.name !== replaces);
      const check = {
        check: id,
        name: freeName(givenName ?? id, new Set(kept.map((each) => each.name))),
        layer: layer.name,
        options,
        paths: files,
        ...(retries === undefined ? {} : { retries }),
        ...(intervalMs === undefined ? {} : { intervalMs }),
        ...(timeoutMs === undefined ? {} : { timeoutMs }),
        ...(replaces === undefined ? {} : { replaces }),
      };
      all = [...kept, check];
    }
  }
  return all;
}

function freeName(wanted: string, taken: ReadonlySet<string>): string {
  let name = wanted;
  for (let count = 2; taken.has(name); count++) name = `${wanted}-${count}`;
  return name;
}

export const plannedChecks = (chain: readonly RecipeLayer[]): readonly PlannedCheck[] =>
  checksOf(chain).map(({ check, name, layer, replaces }) => ({
    check,
    name,
    layer,
    inherited: layer !== chain.at(-1)?.name,
    ...(replaces === undefined ? {} : { replaces }),
  }));

/** The secrets that the steps of some layers read. */
export const secretsOf = (recipe: Recipe, chain: readonly RecipeLayer[]): readonly DeclaredSecret[] =>
  [...new Set(chain.flatMap((layer) => layer.steps.flatMap((step) => step.secrets)))].toSorted().map((name) => {
    const source = recipe.secrets[name];
    return { name, ...source };
  });
