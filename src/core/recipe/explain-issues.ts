import type { z } from "zod";
import { didYouMean, suggestion } from "../text/did-you-mean.ts";
import { describeValue, oneOf, quote } from "./describe-value.ts";
import type { ValuePath } from "../expression/substitute.ts";

/** One mistake in a value, before it has a line and a column. */
export interface Finding {
  readonly path: ValuePath;
  /** Whether the key at the path is wrong, or its value. */
  readonly at: "key" | "value";
  readonly message: string;
  readonly hint?: string;
  /** The key that is missing, so that a misspelt one beside it is not told twice. */
  readonly missing?: string;
  /** A rule about the whole value, which cannot hold while a key in it is misspelt. */
  readonly rule?: true;
}

type Issue = z.core.$ZodIssue;

/** Stands where a schema gave no sentence of its own, so that ours is used. */
const OWN_WORDS = "\0";

/** Result of {@link check}: the schema's output, or what is wrong, all of it. */
export type Checked<Output> =
  | { readonly ok: true; readonly value: Output }
  | { readonly ok: false; readonly findings: readonly Finding[]; readonly issues: readonly Issue[] };

/**
 * Checks a value and says what is wrong in words: what was expected, what was found, and what was probably meant.
 * A mismatch of a union is told for the alternative that comes nearest. Sentences that a schema brings itself are kept.
 */
export function check<Schema extends z.ZodType>(schema: Schema, value: unknown): Checked<z.output<Schema>> {
  // Each schema is used a few times and then the program ends: compiling it first takes longer than it saves.
  const result = schema.safeParse(value, { error: () => OWN_WORDS, jitless: true });
  if (result.success) return { ok: true, value: result.data };
  const issues = result.error.issues;
  return { ok: false, issues, findings: dropEchoes(issues.flatMap((issue) => explain(issue, [schema], value, []))) };
}

/** A key that is missing because it is misspelt beside is one mistake, not two; so is a rule that it was meant to fulfil. */
function dropEchoes(findings: readonly Finding[]): readonly Finding[] {
  const unknown = findings.filter((finding) => finding.at === "key" && finding.missing === undefined);
  const misspelt = new Set(unknown.map((finding) => `${parentOf(finding.path)}|${finding.hint ?? ""}`));
  const incomplete = new Set(unknown.map((finding) => parentOf(finding.path)));
  return findings.filter((finding) => {
    const path = finding.path.join("\0");
    if (finding.rule === true) return !incomplete.has(path);
    return finding.missing === undefined || !misspelt.has(`${path}|did you mean "${finding.missing}"?`);
  });
}

const parentOf = (path: ValuePath): string => path.slice(0, -1).join("\0");

/**
 * @param schemas  what stands at the root that the issue's path starts from (several when it is a union)
 * @param base     path from the checked value to that root
 */
function explain(issue: Issue, schemas: readonly AnySchema[], root: unknown, base: ValuePath): readonly Finding[] {
  const inner = toPath(issue.path);
  const path = [...base, ...inner];
  const value = valueAt(root, inner);
  const own = issue.message === OWN_WORDS || issue.message === "" ? undefined : issue.message;
  if (issue.code === "unrecognized_keys") return issue.keys.map((key) => unknownKey(key, path, keysAt(schemas, inner)));
  if (value === undefined && isAbsence(issue)) return [missing(path, own, schemasAt(schemas, inner))];
  if (own !== undefined) return [{ path, at: "value", message: own, ...(issue.code === "custom" ? { rule: true } : {}) }];
  if (issue.code === "invalid_union") return explainUnion(issue, schemasAt(schemas, inner), value, path);
  if (issue.code === "invalid_key")
    return issue.issues.map((part) => ({
      path,
      at: "key",
      message: `key ${quote(String(inner.at(-1)))}: ${part.message === OWN_WORDS ? sentence(part, inner.at(-1)).message : part.message}`,
    }));
  if (issue.code === "invalid_element") return issue.issues.flatMap((part) => explain(part, [], value, path));
  return [{ path, at: "value", ...sentence(issue, value) }];
}

const isAbsence = (issue: Issue): boolean =>
  issue.code === "invalid_type" || issue.code === "invalid_value" || issue.code === "invalid_union" || issue.code === "custom";

function missing(path: ValuePath, own: string | undefined, schemas: readonly AnySchema[]): Finding {
  const name = path.at(-1);
  if (typeof name !== "string") return { path, at: "value", message: own ?? "is missing" };
  const description = schemas.map(descriptionOf).find((text) => text !== undefined);
  const hint = own ?? description;
  return { path: path.slice(0, -1), at: "key", message: `"${name}" is missing`, missing: name, ...(hint === undefined ? {} : { hint }) };
}

function unknownKey(key: string, path: ValuePath, known: readonly string[]): Finding {
  const hint = suggestion(key, known, "keys here");
  return { path: [...path, key], at: "key", message: `unknown key ${quote(key)}`, ...(hint === undefined ? {} : { hint }) };
}

/** What is wrong with one value, for the issues that need no schema. */
function sentence(issue: Issue, value: unknown): { readonly message: string; readonly hint?: string } {
  const found = describeValue(value);
  switch (issue.code) {
    case "invalid_type": {
      return { message: `expected ${typeName(issue.expected)}, found ${found}`, ...typeHint(issue.expected, value) };
    }
    case "invalid_value": {
      const values = issue.values.map((one) => (typeof one === "string" ? quote(one) : String(one)));
      const guess =
        typeof value === "string"
          ? didYouMean(
              value,
              issue.values.filter((one) => typeof one === "string"),
            )
          : undefined;
      return { message: `expected ${oneOf(values)}, found ${found}`, ...(guess === undefined ? {} : { hint: `did you mean "${guess}"?` }) };
    }
    case "too_small":
      return { message: tooSmall(issue.origin, Number(issue.minimum), issue.inclusive ?? true, value) };
    case "too_big":
      return { message: tooBig(issue.origin, Number(issue.maximum), issue.inclusive ?? true, value) };
    case "not_multiple_of":
      return { message: `expected a multiple of ${issue.divisor}, found ${found}` };
    case "invalid_format":
      return {
        message:
          issue.format === "regex" ? `${found} does not match ${issue.pattern ?? "its pattern"}` : `${found} is no valid ${issue.format}`,
      };
    default:
      return { message: issue.message === OWN_WORDS ? `${found} is not possible here` : issue.message };
  }
}

function tooSmall(origin: string, minimum: number, inclusive: boolean, value: unknown): string {
  if (origin === "string")
    return minimum <= 1
      ? "must not be empty"
      : `must have at least ${minimum} characters, ${describeValue(value)} has ${String(value).length}`;
  if (origin === "array" || origin === "set" || origin === "object" || origin === "map")
    return minimum <= 1 ? "must not be empty" : `must have at least ${minimum} entries`;
  return `must be ${inclusive ? "at least" : "more than"} ${minimum}, found ${String(value)}`;
}

function tooBig(origin: string, maximum: number, inclusive: boolean, value: unknown): string {
  if (origin === "string") return `must have at most ${maximum} characters, this has ${String(value).length}`;
  if (origin === "array" || origin === "set" || origin === "object" || origin === "map")
    return `must have at most ${maximum} ${maximum === 1 ? "entry" : "entries"}`;
  return `must be ${inclusive ? "at most" : "less than"} ${maximum}, found ${String(value)}`;
}

const TYPE_NAMES: Readonly<Record<string, string>> = {
  string: "text",
  number: "a number",
  int: "a whole number",
  boolean: "true or false",
  array: "a list",
  tuple: "a list",
  object: "a mapping",
  record: "a mapping",
  null: "nothing",
  undefined: "nothing",
  never: "nothing",
};

const typeName = (expected: string): string => TYPE_NAMES[expected] ?? expected;

function typeHint(expected: string, value: unknown): { readonly hint?: string } {
  if (expected === "boolean" && typeof value === "string") {
    if (/^(y|yes|on)$/i.test(value)) return { hint: "write true" };
    if (/^(n|no|off)$/i.test(value)) return { hint: "write false" };
  }
  if (expected === "string" && (typeof value === "number" || typeof value === "boolean")) return { hint: "put it in quotes" };
  if ((expected === "number" || expected === "int") && typeof value === "string" && value.trim() !== "" && Number.isFinite(Number(value)))
    return { hint: "leave the quotes out" };
  if (expected === "array" && typeof value === "string") return { hint: `write it as a list: [${value}]` };
  return {};
}

/** Tells the alternative that fits best; if none even has the right kind of value, what kinds there are. */
function explainUnion(
  issue: Issue & { readonly code: "invalid_union" },
  schemas: readonly AnySchema[],
  value: unknown,
  path: ValuePath,
): readonly Finding[] {
  if (issue.errors.length === 0) return [noAlternative(issue, value, path)];
  const options = schemas.flatMap(optionsOf);
  const branches = issue.errors.map((issues, index) => ({
    issues,
    schema: options.length === issue.errors.length ? options[index] : undefined,
  }));
  const fitting = branches.filter((branch) => !branch.issues.some(isWrongKind));
  if (fitting.length === 0) return [{ path, at: "value", ...wrongKind(issue, value) }];
  const told = fitting.map((branch) =>
    dropEchoes(branch.issues.flatMap((part) => explain(part, branch.schema === undefined ? [] : [branch.schema], value, path))),
  );
  // keys that an alternative does not have say most clearly that it was not meant
  return told.reduce((best, next) => ((strangers(next) - strangers(best) || next.length - best.length) < 0 ? next : best));
}

const strangers = (findings: readonly Finding[]): number =>
  findings.filter(({ at, missing: absent }) => at === "key" && absent === undefined).length;

/** A discriminated union without a match for its key. */
function noAlternative(issue: Issue & { readonly code: "invalid_union" }, value: unknown, path: ValuePath): Finding {
  const options = "options" in issue && Array.isArray(issue.options) ? issue.options.map(String) : [];
  const guess = typeof value === "string" ? didYouMean(value, options) : undefined;
  const expected = options.length === 0 ? "another value" : oneOf(options.map(quote));
  return {
    path,
    at: "value",
    message: `expected ${expected}, found ${describeValue(value)}`,
    ...(guess === undefined ? {} : { hint: `did you mean "${guess}"?` }),
  };
}

/** The alternative is about another kind of value altogether, such as a list where a text stands. */
function isWrongKind(issue: Issue): boolean {
  if (issue.path.length > 0) return false;
  if (issue.code === "invalid_type" || issue.code === "invalid_value") return true;
  return issue.code === "invalid_union" && issue.errors.every((issues) => issues.some(isWrongKind));
}

function wrongKind(issue: Issue, value: unknown): { readonly message: string; readonly hint?: string } {
  const leaves = kindIssues(issue);
  const words = leaves.flatMap((leaf) =>
    leaf.code === "invalid_type"
      ? leaf.expected === "boolean"
        ? ["true", "false"]
        : [typeName(leaf.expected)]
      : leaf.code === "invalid_value"
        ? leaf.values.map((one) => (typeof one === "string" ? quote(one) : String(one)))
        : [],
  );
  const strings = leaves.flatMap((leaf) => (leaf.code === "invalid_value" ? leaf.values.filter((one) => typeof one === "string") : []));
  const guess = typeof value === "string" ? didYouMean(value, strings) : undefined;
  const hints = leaves.map((leaf) => (leaf.code === "invalid_type" ? typeHint(leaf.expected, value).hint : undefined));
  const hint = guess === undefined ? hints.find((one) => one !== undefined) : `did you mean "${guess}"?`;
  return { message: `expected ${oneOf([...new Set(words)])}, found ${describeValue(value)}`, ...(hint === undefined ? {} : { hint }) };
}

function kindIssues(issue: Issue): readonly Issue[] {
  return issue.code === "invalid_union" ? issue.errors.flatMap((issues) => issues.filter(isWrongKind).flatMap(kindIssues)) : [issue];
}

/** Whether the schema would take text here: then a parameter that stands alone may become text. */
export function expectsText(issue: Issue): readonly ValuePath[] {
  const path = toPath(issue.path);
  if (issue.code === "invalid_type") return issue.expected === "string" ? [path] : [];
  if (issue.code === "invalid_value") return issue.values.some((one) => typeof one === "string") ? [path] : [];
  if (issue.code !== "invalid_union") return [];
  return issue.errors.flat().flatMap((inner) => expectsText(inner).map((rest) => [...path, ...rest]));
}

const toPath = (path: readonly PropertyKey[]): ValuePath => path.map((part) => (typeof part === "number" ? part : String(part)));

export function valueAt(root: unknown, path: ValuePath): unknown {
  let value = root;
  for (const part of path) {
    if (value === null || typeof value !== "object" || !Object.hasOwn(value, part)) return undefined;
    value = Reflect.get(value, part);
  }
  return value;
}

// ---- looking into schemas, for the keys and descriptions that issues do not carry ----

type AnySchema = z.core.$ZodType;

/** What stands behind optional, default, pipe and the like. */
function unwrap(schema: AnySchema): AnySchema {
  const def = (schema as z.core.$ZodTypes)._zod.def;
  switch (def.type) {
    case "optional":
    case "nullable":
    case "default":
    case "prefault":
    case "nonoptional":
    case "readonly":
    case "catch":
      return unwrap(def.innerType);
    case "pipe":
      return unwrap((def.in as z.core.$ZodTypes)._zod.def.type === "transform" ? def.out : def.in);
    case "lazy":
      return unwrap(def.getter());
    default:
      return schema;
  }
}

/** The alternatives of a union; the schema itself otherwise. */
function optionsOf(schema: AnySchema): readonly AnySchema[] {
  const inner = unwrap(schema);
  const def = (inner as z.core.$ZodTypes)._zod.def;
  return def.type === "union" ? def.options : [inner];
}

const flatOptions = (schema: AnySchema): readonly AnySchema[] => {
  const options = optionsOf(schema);
  return options.length === 1 ? options : options.flatMap(flatOptions);
};

function schemasAt(schemas: readonly AnySchema[], path: ValuePath): readonly AnySchema[] {
  let here = schemas;
  for (const part of path) here = here.flatMap(flatOptions).flatMap((schema) => inside(schema, part));
  return here;
}

function inside(schema: AnySchema, part: string | number): readonly AnySchema[] {
  const def = (schema as z.core.$ZodTypes)._zod.def;
  switch (def.type) {
    case "object": {
      const member = Object.hasOwn(def.shape, part) ? def.shape[part] : def.catchall;
      return member === undefined ? [] : [member];
    }
    case "array":
      return [def.element];
    case "record":
      return [def.valueType];
    case "tuple":
      return [typeof part === "number" ? (def.items[part] ?? def.rest) : undefined].filter((item) => item !== undefined && item !== null);
    case "intersection":
      return [def.left, def.right].flatMap((side) => flatOptions(side)).flatMap((side) => inside(side, part));
    default:
      return [];
  }
}

function keysAt(schemas: readonly AnySchema[], path: ValuePath): readonly string[] {
  return [...new Set(schemasAt(schemas, path).flatMap(flatOptions).flatMap(keysOf))];
}

/** The keys that a schema of a mapping knows. */
export function keysOf(schema: AnySchema): readonly string[] {
  return flatOptions(schema).flatMap((option) => {
    const def = (option as z.core.$ZodTypes)._zod.def;
    if (def.type === "intersection") return [...keysOf(def.left), ...keysOf(def.right)];
    return def.type === "object" ? Object.keys(def.shape) : [];
  });
}

function descriptionOf(schema: AnySchema): string | undefined {
  return "description" in schema && typeof schema.description === "string" ? schema.description : undefined;
}
