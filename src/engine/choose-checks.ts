import type { CheckDefinition, CheckRegistry } from "../core/checks/check.ts";
import type { DeclaredCheck } from "../core/checks/declared-check.ts";
import { BakehouseError } from "../core/errors.ts";
import { suggestion } from "../core/text/did-you-mean.ts";
import { bindCheck, type BoundCheck } from "./run-check.ts";

/** A declared check that this Bakehouse cannot run, and why. */
export interface UnknownCheck {
  readonly declared: DeclaredCheck;
  readonly problem: string;
}

export interface ChosenChecks {
  readonly bound: readonly BoundCheck[];
  readonly unknown: readonly UnknownCheck[];
}

/**
 * The checks to run: all that are declared, or those that are asked for by name or by type. A type that the image does not
 * declare is run as it stands when it can do without options.
 *
 * @throws USAGE for a name that is neither
 */
export function chooseChecks(
  declared: readonly DeclaredCheck[],
  registry: CheckRegistry,
  only: readonly string[],
  layer: string,
): ChosenChecks {
  const wanted = only.length === 0 ? declared : only.flatMap((name) => named(declared, registry, name, layer));
  const unique = wanted.filter((check, index) => wanted.findIndex(({ name }) => name === check.name) === index);
  const bound: BoundCheck[] = [];
  const unknown: UnknownCheck[] = [];
  for (const check of unique) {
    const definition = registry.get(check.check);
    const problem = definition === undefined ? `this Bakehouse knows no check of type ${check.check}` : problemOf(definition, check);
    if (definition === undefined || problem !== undefined) unknown.push({ declared: check, problem: problem ?? "" });
    else bound.push(bindCheck(check, definition));
  }
  return { bound, unknown };
}

/** An image may have been declared by another version. */
function problemOf(definition: CheckDefinition, check: DeclaredCheck): string | undefined {
  const result = definition.options.safeParse(check.options);
  return result.success
    ? undefined
    : `its options are not those of this Bakehouse's ${check.check}: ${result.error.issues[0]?.message ?? ""}`;
}

function named(declared: readonly DeclaredCheck[], registry: CheckRegistry, name: string, layer: string): readonly DeclaredCheck[] {
  const byName = declared.filter((check) => check.name === name);
  if (byName.length > 0) return byName;
  const byType = declared.filter((check) => check.check === name);
  if (byType.length > 0) return byType;
  const definition = registry.get(name);
  const plain = definition?.options.safeParse({});
  if (plain?.success === true) return [{ check: name, name, layer, options: {} }];
  const names = [...new Set([...declared.map((check) => check.name), ...declared.map(({ check }) => check)])];
  throw new BakehouseError(
    "USAGE",
    definition === undefined
      ? `The image declares no check ${JSON.stringify(name)}`
      : `The image declares no check of type ${name}, and ${name} needs options to be run by itself`,
    {
      hint:
        suggestion(name, [...new Set([...names, ...(definition === undefined ? registry.keys() : [])])], "checks of the image") ??
        "declare it under `checks:` in the recipe",
    },
  );
}
