import { compareVersions } from "../../core/debian/version.ts";

/** One alternative of a dependency field (Debian policy §7.1). */
export interface Relation {
  readonly name: string;
  readonly operator?: Operator;
  readonly version?: string;
}

type Operator = "<<" | "<=" | "=" | ">=" | ">>";

/** `a (>= 1) | b:any, c` becomes [[a, b], [c]]; architectures and build profiles are dropped. */
export function parseRelations(value: string | undefined): readonly (readonly Relation[])[] {
  if (value === undefined) return [];
  return value
    .split(",")
    .map((group) => group.split("|").flatMap(parseRelation))
    .filter((group) => group.length > 0);
}

function parseRelation(text: string): readonly Relation[] {
  const match = /^\s*([^\s(:[<]+)(?::[^\s(]+)?\s*(?:\(\s*(<<|<=|=|>=|>>|<|>)\s*([^\s)]+)\s*\))?/.exec(text);
  const [, name, operator, version] = match ?? [];
  if (name === undefined) return [];
  return [operator === undefined || version === undefined ? { name } : { name, operator: modern(operator), version }];
}

/** `<` and `>` are old spellings that mean "or equal". */
const modern = (operator: string): Operator => (operator === "<" ? "<=" : operator === ">" ? ">=" : (operator as Operator));

/** Whether this version of the package that the relation names is meant. */
export function includesVersion(relation: Relation, version: string): boolean {
  if (relation.operator === undefined || relation.version === undefined) return true;
  const order = compareVersions(version, relation.version);
  return { "<<": order < 0, "<=": order <= 0, "=": order === 0, ">=": order >= 0, ">>": order > 0 }[relation.operator];
}
