import type { ValuePath } from "../expression/substitute.ts";
import type { CheckRegistry } from "../checks/check.ts";
import type { StepDefinition } from "../step.ts";
import { suggestion } from "../text/did-you-mean.ts";
import { quote } from "./describe-value.ts";
import { parseDuration } from "./duration.ts";
import { readFields } from "./inspect.ts";
import { nameItems, readOptions, recognise, type ItemKinds, type ItemSurroundings, type Recognised } from "./items.ts";
import type { NetworkPolicy, RecipeStep } from "./model.ts";
import { DEFAULT_TIMEOUT_MS, STEP_SETTINGS, stepSettingFields } from "./schema.ts";

/** Every step that recipes may use, by id. */
export type StepRegistry = ReadonlyMap<string, StepDefinition>;

/** What steps are checked against. */
export interface StepSurroundings extends ItemSurroundings {
  readonly registry: StepRegistry;
  readonly checks: CheckRegistry;
  readonly secretNames: readonly string[];
  readonly usedSecrets: Set<string>;
}

/** A step that was recognised; `step` is absent when something in it is wrong. */
export interface ReadStep {
  readonly definition: StepDefinition;
  readonly path: ValuePath;
  readonly step?: RecipeStep;
}

/**
 * Checks the steps of a layer.
 *
 * @returns one entry per step of the recipe; `undefined` where not even its kind could be made out
 */
export function readSteps(around: StepSurroundings, layer: string, items: readonly unknown[]): readonly (ReadStep | undefined)[] {
  const kinds: ItemKinds<StepDefinition> = { word: "step", example: "run: …", definitions: around.registry, settings: STEP_SETTINGS };
  const recognised = items.map((item, index) => recognise(around.inspection, kinds, item, ["layers", layer, "steps", index]));
  const names = nameItems(around.inspection, "step", recognised);
  return recognised.map((one, index) => (one === undefined ? undefined : readStep(around, layer, one, names[index] ?? one.definition.id)));
}

function readStep(around: StepSurroundings, layer: string, recognised: Recognised<StepDefinition>, name: string): ReadStep {
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
