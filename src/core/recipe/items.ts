import { substitute } from "../expression/substitute.ts";
import type { Substituted, ValuePath } from "../expression/substitute.ts";
import type { z } from "zod";
import type { JsonValue } from "../json.ts";
import { didYouMean, shortList, suggestion } from "../text/did-you-mean.ts";
import { describeValue, oneOf, quote } from "./describe-value.ts";
import { check, expectsText, keysOf, valueAt } from "./explain-issues.ts";
import type { Checked, Finding } from "./explain-issues.ts";
import { isMapping } from "./inspect.ts";
import type { Inspection, Mapping } from "./inspect.ts";
import type { ReadParameters } from "./parameters.ts";

/** What the items of a list may be, steps or checks: each is a mapping with its kind and options, and settings beside. */
export interface ItemKinds<Definition extends ItemDefinition> {
  readonly word: "step" | "check";
  /** `run: …`, for messages. */
  readonly example: string;
  readonly definitions: ReadonlyMap<string, Definition>;
  /** Keys that may stand beside the kind. */
  readonly settings: readonly string[];
}

export interface ItemDefinition {
  readonly id: string;
  readonly options: z.ZodType;
}

/** What items are checked against. */
export interface ItemSurroundings {
  readonly inspection: Inspection;
  readonly parameters: ReadParameters;
  /** Grows: names that some part of the recipe uses. */
  readonly usedParameters: Set<string>;
}

export interface Recognised<Definition extends ItemDefinition> {
  readonly definition: Definition;
  readonly path: ValuePath;
  readonly item: Mapping;
  readonly givenName?: string;
}

/** Finds out what an entry is. */
export function recognise<Definition extends ItemDefinition>(
  inspection: Inspection,
  kinds: ItemKinds<Definition>,
  item: unknown,
  path: ValuePath,
): Recognised<Definition> | undefined {
  const { definitions, word } = kinds;
  if (typeof item === "string" && definitions.has(item))
    return complain(inspection, path, `expected a mapping such as \`${item}: …\`, found ${quote(item)}`);
  if (!isMapping(item))
    return complain(inspection, path, `expected a ${word} such as \`${kinds.example}\`, found ${describeValue(item)}`, kindList(kinds));
  const keys = Object.keys(item);
  const found = keys.filter((key) => definitions.has(key));
  if (found.length > 1) {
    return complain(
      inspection,
      [...path, found[1] ?? ""],
      `${oneOf(found.map(quote)).replace(" or ", " and ")} stand in one ${word}`,
      `start each ${word} with a \`-\` of its own`,
      "key",
    );
  }
  const definition = definitions.get(found[0] ?? "");
  refuseOtherKeys(inspection, kinds, path, keys, definition);
  if (definition === undefined) return undefined;
  const given = item["name"];
  return { definition, path, item, ...(typeof given === "string" ? { givenName: given } : {}) };
}

function complain(inspection: Inspection, path: ValuePath, message: string, hint?: string, at: "key" | "value" = "value"): undefined {
  inspection.error(path, message, hint, at);
}

const kindList = ({ word, definitions }: ItemKinds<ItemDefinition>): string => `${word}s: ${shortList([...definitions.keys()].toSorted())}`;

/** Keys that are neither the kind nor a setting; without a kind they are most likely a misspelt one. */
function refuseOtherKeys(
  inspection: Inspection,
  kinds: ItemKinds<ItemDefinition>,
  path: ValuePath,
  keys: readonly string[],
  definition: ItemDefinition | undefined,
): void {
  const unknown = keys.filter((key) => !kinds.definitions.has(key) && !kinds.settings.includes(key));
  const options = definition === undefined ? [] : keysOf(definition.options);
  for (const key of unknown) {
    const finding: Finding = { path: [...path, key], at: "key", ...explainKey(kinds, key, definition, options) };
    inspection.findings([finding], []);
  }
  if (definition === undefined && unknown.length === 0) inspection.error(path, `this entry names no ${kinds.word}`, kindList(kinds));
}

function explainKey(
  kinds: ItemKinds<ItemDefinition>,
  key: string,
  definition: ItemDefinition | undefined,
  options: readonly string[],
): { message: string; hint?: string } {
  const { word, definitions, settings } = kinds;
  if (definition === undefined) {
    const hint = suggestion(key, [...definitions.keys(), ...settings], `${word}s`);
    return { message: `unknown ${word} ${quote(key)}`, hint: hint?.startsWith("did") === true ? hint : kindList(kinds) };
  }
  if (options.includes(key))
    return { message: `${quote(key)} is an option of "${definition.id}"`, hint: `indent it below "${definition.id}:"` };
  const hint = suggestion(key, settings, `beside the ${word}`);
  return { message: `unknown key ${quote(key)} beside "${definition.id}"`, ...(hint === undefined ? {} : { hint }) };
}

/** A given name stands; the others are called by their id and counted up past names that are taken. */
export function nameItems(
  inspection: Inspection,
  word: string,
  items: readonly (Recognised<ItemDefinition> | undefined)[],
): readonly string[] {
  const taken = new Map<string, ValuePath>();
  for (const one of items) {
    if (one?.givenName === undefined) continue;
    const path = [...one.path, "name"];
    const first = taken.get(one.givenName);
    if (first === undefined) taken.set(one.givenName, path);
    else
      inspection.error(
        path,
        `another ${word} of the layer is called ${quote(one.givenName)}`,
        `the first is in line ${inspection.yaml.positionOf(first).line}`,
      );
  }
  return items.map((one) => {
    if (one === undefined) return "";
    if (one.givenName !== undefined) return one.givenName;
    let name = one.definition.id;
    for (let count = 2; taken.has(name); count++) name = `${one.definition.id}-${count}`;
    taken.set(name, one.path);
    return name;
  });
}

/** Fills in parameters and checks the options with its own schema. */
export function readOptions(
  around: ItemSurroundings,
  { definition, item, path: entry }: Recognised<ItemDefinition>,
): JsonValue | undefined {
  const path = [...entry, definition.id];
  const { value, whole, unclear } = fillIn(around, item[definition.id], path);
  const checked = checkOptions(definition, value, whole);
  if (checked.ok) return checked.value as JsonValue;
  const findings = checked.findings.filter((finding) => {
    // An option that stands beside the kind instead of in it was told as that.
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
export function fillIn(around: ItemSurroundings, written: unknown, path: ValuePath): Filled {
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

function checkOptions(definition: ItemDefinition, value: JsonValue, whole: readonly ValuePath[]): Checked<unknown> {
  if (value === null) return checkNothing(definition);
  const first = check(definition.options, value);
  if (first.ok || whole.length === 0) return first;
  // `"{{port}}"` where text is wanted: a number parameter is welcome there too.
  const wanted = new Set(first.issues.flatMap(expectsText).map((path) => path.join("\0")));
  const asText = whole.filter((path) => wanted.has(path.join("\0")));
  return asText.length === 0 ? first : check(definition.options, withText(value, asText));
}

/** `system:` without anything behind it means no options, if it can do without. */
function checkNothing(definition: ItemDefinition): Checked<unknown> {
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
