import type { ValuePath } from "../expression/substitute.ts";
import { suggestion } from "../text/did-you-mean.ts";
import { LONGEST_MATCHED, matchesWhole, readPattern } from "../text/pattern.ts";
import { describeValue, oneOf, quote } from "./describe-value.ts";
import { isMapping, readFields } from "./inspect.ts";
import type { Inspection, Mapping } from "./inspect.ts";
import type { Parameter, ParameterValue } from "./model.ts";
import { parameterFields, parameterNameSchema } from "./schema.ts";

/** Values given from outside (`--set name=value`): text from a command line, or typed from the library. */
export type ParameterOverrides = Readonly<Record<string, ParameterValue>>;

export interface ReadParameters {
  /** Those that have a value, in the order of the recipe. */
  readonly parameters: readonly Parameter[];
  readonly values: ReadonlyMap<string, ParameterValue>;
  /** Every name that the recipe declares, also of those that are wrong. */
  readonly declared: readonly string[];
}

/** Checks the parameters and takes over the values that were given from outside. */
export function readParameters(inspection: Inspection, section: unknown, overrides: ParameterOverrides): ReadParameters {
  const declarations = isMapping(section) ? section : {};
  const declared = Object.keys(declarations);
  refuseUnknownOverrides(inspection, overrides, declared);
  const parameters = declared.flatMap((name) => {
    const given = Object.hasOwn(overrides, name) ? overrides[name] : undefined;
    const parameter = readParameter(inspection, name, declarations[name], given);
    return parameter === undefined ? [] : [parameter];
  });
  return { parameters, values: new Map(parameters.map(({ name, value }) => [name, value])), declared };
}

function refuseUnknownOverrides(inspection: Inspection, overrides: ParameterOverrides, declared: readonly string[]): void {
  for (const name of Object.keys(overrides)) {
    if (declared.includes(name)) continue;
    const hint = suggestion(name, declared, "parameters") ?? "the recipe has no parameters";
    reportOverride(inspection, `unknown parameter ${quote(name)}`, hint);
  }
}

function reportOverride(inspection: Inspection, message: string, hint?: string): void {
  inspection.problems.push({ severity: "error", file: "--set", message, ...(hint === undefined ? {} : { hint }) });
}

function readParameter(
  inspection: Inspection,
  name: string,
  declaration: unknown,
  given: ParameterValue | undefined,
): Parameter | undefined {
  const path = ["parameters", name];
  const before = inspection.problems.length;
  const rightName = inspection.check(parameterNameSchema, name, path);
  const declared = writtenOut(inspection, declaration, path);
  if (declared === undefined) return undefined;
  const fields = readFields(inspection, declared, path, parameterFields);
  if (rightName === undefined || fields?.type === undefined || inspection.problems.length > before) return undefined;
  refuseEnvironment(inspection, name, fields.enum ?? []);
  const rules: Rules = { ...fields, type: fields.type };
  if (!rulesMakeSense(inspection, name, rules, declared)) return undefined;
  const byDefault = fields.default;
  if (byDefault !== undefined && !defaultFits(inspection, name, byDefault, rules)) return undefined;
  const value = given === undefined ? byDefault : takeOverride(inspection, name, given, rules);
  if (value === undefined) {
    if (given === undefined) inspection.error(path, "has no default and no value was given", `--set ${name}=…`, "key");
    return undefined;
  }
  return { name, type: rules.type, ...(fields.description === undefined ? {} : { description: fields.description }), value };
}

/** A plain value is short for its type and default; a number must be written as it is read, since `1.10` would become 1.1. */
function writtenOut(inspection: Inspection, declaration: unknown, path: ValuePath): Mapping | undefined {
  if (isMapping(declaration)) return declaration;
  const type = typeof declaration;
  if (type !== "string" && type !== "number" && type !== "boolean") {
    inspection.error(
      path,
      `expected a value or a mapping, found ${describeValue(declaration)}`,
      'for example { type: string, default: "1.0.0" }',
    );
    return undefined;
  }
  const written = inspection.yaml.writtenAs(path);
  if (type === "number" && written !== undefined && written !== String(declaration)) {
    inspection.error(path, `${written} is read as ${describeValue(declaration)}`, `for text put it in quotes: "${written}"`);
    return undefined;
  }
  return { type, default: declaration };
}

interface Rules {
  readonly type: Parameter["type"];
  readonly enum?: readonly ParameterValue[] | undefined;
  readonly pattern?: string | undefined;
  readonly min?: number | undefined;
  readonly max?: number | undefined;
}

const NAMES_OF_TYPES = { string: "text", number: "a number", boolean: "true or false" } as const;

function rulesMakeSense(inspection: Inspection, name: string, rules: Rules, declaration: Mapping): boolean {
  const before = inspection.problems.length;
  const path = (key: string): readonly string[] => ["parameters", name, key];
  const only = (key: "pattern" | "min" | "max", type: Parameter["type"]): void => {
    if (declaration[key] !== undefined && rules.type !== type)
      inspection.error(path(key), `is only for parameters of type ${type}`, undefined, "key");
  };
  only("pattern", "string");
  only("min", "number");
  only("max", "number");
  const pattern = rules.pattern === undefined ? undefined : readPattern(rules.pattern);
  if (typeof pattern === "string") inspection.error(path("pattern"), `${quote(rules.pattern ?? "")} ${pattern}`);
  if (rules.min !== undefined && rules.max !== undefined && rules.min > rules.max)
    inspection.error(path("min"), `is more than max (${rules.max})`);
  for (const [index, value] of (rules.enum ?? []).entries()) {
    if (typeof value !== rules.type)
      inspection.error([...path("enum"), index], `expected ${NAMES_OF_TYPES[rules.type]}, found ${describeValue(value)}`);
  }
  return inspection.problems.length === before;
}

function defaultFits(inspection: Inspection, name: string, value: ParameterValue, rules: Rules): boolean {
  const path = ["parameters", name, "default"];
  const wrong = brokenRule(value, rules);
  if (wrong === undefined) return true;
  const written = inspection.yaml.writtenAs(path);
  const unquoted = rules.type === "string" && typeof value !== "string" && written !== undefined;
  inspection.error(path, wrong, unquoted ? `put it in quotes: "${written}"` : undefined);
  return false;
}

/** What a value breaks, in words. */
function brokenRule(value: ParameterValue, rules: Rules): string | undefined {
  if (typeof value !== rules.type) return `expected ${NAMES_OF_TYPES[rules.type]}, found ${describeValue(value)}`;
  if (rules.enum !== undefined && !rules.enum.includes(value))
    return `expected ${oneOf(rules.enum.map((one) => JSON.stringify(one)))}, found ${describeValue(value)}`;
  const wrong = typeof value === "string" && rules.pattern !== undefined ? mismatch(value, rules.pattern) : undefined;
  if (wrong !== undefined) return wrong;
  if (typeof value === "number" && rules.min !== undefined && value < rules.min) return `must be at least ${rules.min}, found ${value}`;
  if (typeof value === "number" && rules.max !== undefined && value > rules.max) return `must be at most ${rules.max}, found ${value}`;
  return undefined;
}

/** A pattern that was refused as such has been told. */
function mismatch(value: string, source: string): string | undefined {
  const pattern = readPattern(source);
  if (typeof pattern === "string") return undefined;
  switch (matchesWhole(pattern, value)) {
    case true:
      return undefined;
    case false:
      return `${quote(value)} does not match ${source}`;
    case "too long":
      return `has more than ${LONGEST_MATCHED} characters, which is too long for a parameter with a pattern`;
    case "too many steps":
      return `takes too many steps to compare with ${source}: write the pattern with fewer repetitions inside of repetitions`;
  }
}

function takeOverride(inspection: Inspection, name: string, given: ParameterValue, rules: Rules): ParameterValue | undefined {
  const value = typeof given === "string" ? fromText(given, rules.type) : given;
  const wrong = brokenRule(value, rules);
  if (wrong === undefined) return value;
  reportOverride(inspection, `${name}: ${wrong}`);
  return undefined;
}

/** A value from a command line; stays text when it is not of the type. */
function fromText(text: string, type: Parameter["type"]): ParameterValue {
  if (type === "number" && /^[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?$/i.test(text) && Number.isFinite(Number(text))) return Number(text);
  if (type === "boolean" && (text === "true" || text === "false")) return text === "true";
  return text;
}

const ENVIRONMENT_NAME = /^(?:.*[-_])?(?:env|environment|stage)$/i;
const ENVIRONMENTS: ReadonlySet<string> = new Set([
  "dev",
  "develop",
  "development",
  "test",
  "testing",
  "qa",
  "int",
  "stage",
  "staging",
  "uat",
  "preprod",
  "prod",
  "production",
  "live",
]);

/** An image goes unchanged from dev to production; a parameter that tells them apart would make two images of one release. */
function refuseEnvironment(inspection: Inspection, name: string, values: readonly ParameterValue[]): void {
  const environments = values.filter((value) => typeof value === "string" && ENVIRONMENTS.has(value.toLowerCase()));
  if (!ENVIRONMENT_NAME.test(name) && environments.length < 2) return;
  inspection.error(
    ["parameters", name],
    "an image must not depend on the environment that it runs in",
    "the same bytes go from dev to production: name environments with channels, and pass settings at launch",
    "key",
  );
}
