import { substitute } from "../expression/substitute.ts";
import type { Substituted, ValuePath } from "../expression/substitute.ts";
import type { JsonValue } from "../json.ts";
import type { StepDefinition } from "../step.ts";
import { didYouMean, shortList, suggestion } from "../text/did-you-mean.ts";
import { describeValue, oneOf, quote } from "./describe-value.ts";
import { parseDuration } from "./duration.ts";
import { check, expectsText, keysOf, valueAt } from "./explain-issues.ts";
import type { Checked, Finding } from "./explain-issues.ts";
import { isMapping, readFields } from "./inspect.ts";
import type { Inspection, Mapping } from "./inspect.ts";
import type { NetworkPolicy, RecipeStep } from "./model.ts";
import type { ReadParameters } from "./parameters.ts";
import { DEFAULT_TIMEOUT_MS, STEP_SETTINGS, stepSettingFields } from "./schema.ts";

/** Every step that recipes may use, by id. */
export type StepRegistry = ReadonlyMap<string, StepDefinition>;

/** What steps are checked against. */
export interface StepSurroundings {
  readonly inspection: Inspection;
  readonly registry: StepRegistry;
  readonly parameters: ReadParameters;
  readonly secretNames: readonly string[];
  /** Grows: names that some part of the recipe uses. */
  readonly usedParameters: Set<string>;
  readonly usedSecrets: Set<string>;
}

/** A step that was recognised; `step` is absent when something in it is wrong. */
export interface ReadStep {
  readonly definition: StepDefinition;
  readonly path: ValuePath;
  readonly step?: RecipeStep;
}

interface Recognised {
  readonly definition: StepDefinition;
  readonly path: ValuePath;
  readonly item: Mapping;
  readonly givenName?: string;
}

/**
 * Checks the steps of a layer.
 *
 * @returns one entry per step of the recipe; `undefined` where not even its kind could be made out
 */
export function readSteps(around: StepSurroundings, layer: string, items: readonly unknown[]): readonly (ReadStep | undefined)[] {
  const recognised = items.map((item, index) => recognise(around, item, ["layers", layer, "steps", index]));
  const names = nameSteps(around.inspection, recognised);
  return recognised.map((one, index) => (one === undefined ? undefined : readStep(around, layer, one, names[index] ?? one.definition.id)));
}

/** Finds out which step an entry is. */
function recognise(around: StepSurroundings, item: unknown, path: ValuePath): Recognised | undefined {
  const { inspection, registry } = around;
  if (typeof item === "string" && registry.has(item))
    return complain(inspection, path, `expected a mapping such as \`${item}: …\`, found ${quote(item)}`);
  if (!isMapping(item))
    return complain(inspection, path, `expected a step such as \`run: …\`, found ${describeValue(item)}`, stepList(registry));
  const keys = Object.keys(item);
  const kinds = keys.filter((key) => registry.has(key));
  if (kinds.length > 1) {
    return complain(
      inspection,
      [...path, kinds[1] ?? ""],
      `${oneOf(kinds.map(quote)).replace(" or ", " and ")} stand in one step`,
      "start each step with a `-` of its own",
      "key",
    );
  }
  const definition = registry.get(kinds[0] ?? "");
  refuseOtherKeys(inspection, registry, path, keys, definition);
  if (definition === undefined) return undefined;
  const given = item["name"];
  return { definition, path, item, ...(typeof given === "string" ? { givenName: given } : {}) };
}

function complain(inspection: Inspection, path: ValuePath, message: string, hint?: string, at: "key" | "value" = "value"): undefined {
  inspection.error(path, message, hint, at);
}

const stepList = (registry: StepRegistry): string => `steps: ${shortList([...registry.keys()].toSorted())}`;

/** Keys that are neither the step nor a setting; without a step they are most likely a misspelt one. */
function refuseOtherKeys(
  inspection: Inspection,
  registry: StepRegistry,
  path: ValuePath,
  keys: readonly string[],
  definition: StepDefinition | undefined,
): void {
  const unknown = keys.filter((key) => !registry.has(key) && !STEP_SETTINGS.includes(key));
  const options = definition === undefined ? [] : keysOf(definition.options);
  for (const key of unknown) {
    const finding: Finding = { path: [...path, key], at: "key", ...explainKey(registry, key, definition, options) };
    inspection.findings([finding], []);
  }
  if (definition === undefined && unknown.length === 0) inspection.error(path, "this entry names no step", stepList(registry));
}

function explainKey(
  registry: StepRegistry,
  key: string,
  definition: StepDefinition | undefined,
  options: readonly string[],
): { message: string; hint?: string } {
  if (definition === undefined) {
    const hint = suggestion(key, [...registry.keys(), ...STEP_SETTINGS], "steps");
    return { message: `unknown step ${quote(key)}`, hint: hint?.startsWith("did") === true ? hint : stepList(registry) };
  }
  if (options.includes(key))
    return { message: `${quote(key)} is an option of "${definition.id}"`, hint: `indent it below "${definition.id}:"` };
  const hint = suggestion(key, STEP_SETTINGS, "beside the step");
  return { message: `unknown key ${quote(key)} beside "${definition.id}"`, ...(hint === undefined ? {} : { hint }) };
}

/** A given name stands; the others are called by their id and counted up past names that are taken. */
function nameSteps(inspection: Inspection, steps: readonly (Recognised | undefined)[]): readonly string[] {
  const taken = new Map<string, ValuePath>();
  for (const one of steps) {
    if (one?.givenName === undefined) continue;
    const path = [...one.path, "name"];
    const first = taken.get(one.givenName);
    if (first === undefined) taken.set(one.givenName, path);
    else
      inspection.error(
        path,
        `another step of the layer is called ${quote(one.givenName)}`,
        `the first is in line ${inspection.yaml.positionOf(first).line}`,
      );
  }
  return steps.map((one) => {
    if (one === undefined) return "";
    if (one.givenName !== undefined) return one.givenName;
    let name = one.definition.id;
    for (let count = 2; taken.has(name); count++) name = `${one.definition.id}-${count}`;
    taken.set(name, one.path);
    return name;
  });
}

function readStep(around: StepSurroundings, layer: string, recognised: Recognised, name: string): ReadStep {
  const { inspection } = around;
  const { definition, path, item } = recognised;
  const settings = Object.fromEntries(Object.entries(item).filter(([key]) => STEP_SETTINGS.includes(key)));
  const before = inspection.problems.length;
  const read = readFields(inspection, settings, path, stepSettingFields);
  const secrets = readSecrets(around, read?.secrets ?? [], path);
  const options = readOptions(around, recognised);
  if (options === undefined || inspection.problems.length > before) return { definition, path };
  const step: RecipeStep = {
    id: definition.id,
    name,
    address: `${layer}/${name}`,
    options,
    timeoutMs: read?.timeout === undefined ? DEFAULT_TIMEOUT_MS : parseDuration(read.timeout),
    network: policyOf(read?.network),
    secrets,
    position: inspection.yaml.positionOf(path),
  };
  return { definition, path, step };
}

function policyOf(written: "none" | "recorded" | boolean | undefined): NetworkPolicy {
  if (written === true) return "open";
  return written === "recorded" ? "recorded" : "none";
}

function readSecrets(around: StepSurroundings, names: readonly string[], path: ValuePath): readonly string[] {
  for (const [index, name] of names.entries()) {
    around.usedSecrets.add(name);
    if (around.secretNames.includes(name)) continue;
    const hint = suggestion(name, around.secretNames, "secrets") ?? "name it under `secrets:` at the top";
    around.inspection.error([...path, "secrets", index], `unknown secret ${quote(name)}`, hint);
  }
  return [...new Set(names)];
}

/** Fills in parameters and checks the options with the step's own schema. */
function readOptions(around: StepSurroundings, { definition, item, path: step }: Recognised): JsonValue | undefined {
  const path = [...step, definition.id];
  const { value, whole, unclear } = fillIn(around, item[definition.id], path);
  const checked = checkOptions(definition, value, whole);
  if (checked.ok) return checked.value as JsonValue;
  const findings = checked.findings.filter((finding) => {
    // An option that stands beside the step instead of in it was told as that.
    const misplaced =
      finding.missing !== undefined &&
      finding.path.length === 0 &&
      finding.missing !== definition.id &&
      Object.hasOwn(item, finding.missing);
    return !misplaced && !unclear.some((place) => isWithin(place, finding.path));
  });
  around.inspection.findings(findings, path);
  // Whatever was left out above was told elsewhere; should that ever be wrong, the recipe is refused all the same.
  if (!around.inspection.failed) around.inspection.findings(checked.findings, path);
  return undefined;
}

/** A value with its parameters filled in; `unclear` are places whose parameter is unknown or has no value. */
export interface Filled {
  readonly value: JsonValue;
  readonly whole: readonly ValuePath[];
  readonly unclear: readonly ValuePath[];
}

/** Fills in parameters, notes which are used, and tells those that do not exist. */
export function fillIn(
  around: Pick<StepSurroundings, "inspection" | "parameters" | "usedParameters">,
  written: unknown,
  path: ValuePath,
): Filled {
  const { parameters, inspection, usedParameters } = around;
  const filled: Substituted = substitute(written as JsonValue, parameters.values);
  for (const name of filled.used) usedParameters.add(name);
  for (const { name, path: place } of filled.unknown) {
    usedParameters.add(name);
    if (parameters.declared.includes(name)) continue;
    const guess = didYouMean(name, parameters.declared);
    const hint = guess === undefined ? `for the text itself write {{!${name}}}` : `did you mean {{${guess}}}?`;
    inspection.errorInside([...path, ...place], new RegExp(`\\{\\{\\s*${name}\\s*\\}\\}`), `unknown parameter {{${name}}}`, hint);
  }
  return { value: filled.value, whole: filled.whole, unclear: filled.unknown.map((one) => one.path) };
}

const isWithin = (place: ValuePath, path: ValuePath): boolean => place.every((part, index) => index >= path.length || path[index] === part);

function checkOptions(definition: StepDefinition, value: JsonValue, whole: readonly ValuePath[]): Checked<unknown> {
  if (value === null) return checkNothing(definition);
  const first = check(definition.options, value);
  if (first.ok || whole.length === 0) return first;
  // `"{{port}}"` where the step wants text: a number parameter is welcome there too.
  const wanted = new Set(first.issues.flatMap(expectsText).map((path) => path.join("\0")));
  const asText = whole.filter((path) => wanted.has(path.join("\0")));
  return asText.length === 0 ? first : check(definition.options, withText(value, asText));
}

/** `system:` without anything behind it means no options, if the step can do without. */
function checkNothing(definition: StepDefinition): Checked<unknown> {
  const withoutOptions = check(definition.options, {});
  return withoutOptions.ok || keysOf(definition.options).length > 0 ? withoutOptions : check(definition.options, null);
}

function withText(value: JsonValue, paths: readonly ValuePath[]): JsonValue {
  const copy = structuredClone(value);
  for (const path of paths) {
    const last = path.at(-1);
    if (last === undefined) return String(copy);
    const parent = valueAt(copy, path.slice(0, -1));
    if (typeof parent === "object" && parent !== null) Reflect.set(parent, last, String(Reflect.get(parent, last)));
  }
  return copy;
}
