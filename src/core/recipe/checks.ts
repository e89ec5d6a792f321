import type { CheckDefinition } from "../checks/check.ts";
import { checksOf } from "../checks/declared-check.ts";
import type { ValuePath } from "../expression/substitute.ts";
import { suggestion } from "../text/did-you-mean.ts";
import { quote } from "./describe-value.ts";
import { parseDuration } from "./duration.ts";
import type { Inspection } from "./inspect.ts";
import { readFields } from "./inspect.ts";
import { nameItems, readOptions, recognise, type ItemKinds, type Recognised } from "./items.ts";
import type { RecipeCheck, RecipeLayer } from "./model.ts";
import { CHECK_SETTINGS, checkSettingFields } from "./schema.ts";
import type { StepSurroundings } from "./steps.ts";

/** Checks the `checks:` of a layer: what fits. */
export function readChecks(around: StepSurroundings, layer: string, items: readonly unknown[]): readonly RecipeCheck[] {
  const kinds: ItemKinds<CheckDefinition> = {
    word: "check",
    example: "http: …",
    definitions: around.checks,
    settings: CHECK_SETTINGS,
  };
  const recognised = items.map((item, index) => recognise(around.inspection, kinds, item, ["layers", layer, "checks", index]));
  nameItems(around.inspection, "check", recognised);
  return recognised.flatMap((one) => (one === undefined ? [] : (readCheck(around, one) ?? [])));
}

function readCheck(around: StepSurroundings, recognised: Recognised<CheckDefinition>): RecipeCheck | undefined {
  const { inspection } = around;
  const { definition, path, item } = recognised;
  const settings = Object.fromEntries(Object.entries(item).filter(([key]) => CHECK_SETTINGS.includes(key)));
  const before = inspection.problems.length;
  const read = readFields(inspection, settings, path, checkSettingFields);
  const options = readOptions(around, recognised);
  if (options === undefined || inspection.problems.length > before) return undefined;
  return {
    id: definition.id,
    ...(read?.name === undefined ? {} : { givenName: read.name }),
    ...(read?.replaces === undefined ? {} : { replaces: read.replaces }),
    options,
    files: definition.files?.(options) ?? [],
    ...(read?.retries === undefined ? {} : { retries: read.retries }),
    ...(read?.interval === undefined ? {} : { intervalMs: parseDuration(read.interval) }),
    ...(read?.timeout === undefined ? {} : { timeoutMs: parseDuration(read.timeout) }),
    path,
    position: inspection.yaml.positionOf(path),
  };
}

/**
 * What a check of a lower layer asks for still holds above: the same name again, or a replacement of what is not there, is
 * most likely a mistake, and never a way to drop a check by accident.
 */
export function checkInheritance(inspection: Inspection, layers: readonly RecipeLayer[]): void {
  const byName = new Map(layers.map((layer) => [layer.name, layer]));
  for (const layer of layers) {
    const below = chainBelow(byName, layer);
    const foreign = [layer, ...below].some(({ from }) => from !== undefined && "image" in from);
    const inherited = checksOf(below);
    for (const check of layer.checks) {
      if (check.replaces !== undefined) checkReplacement(inspection, { ...check, replaces: check.replaces }, inherited, foreign);
      const same = inherited.find((each) => each.name === check.givenName && each.name !== check.replaces);
      if (same !== undefined)
        inspection.error(
          [...check.path, "name"],
          `layer ${quote(same.layer)} has a check ${quote(same.name)} already, and it holds here, too`,
          `choose another name, or say \`replaces: ${same.name}\``,
        );
    }
  }
}

function checkReplacement(
  inspection: Inspection,
  check: { readonly id: string; readonly replaces: string; readonly path: ValuePath },
  inherited: ReturnType<typeof checksOf>,
  foreign: boolean,
): void {
  const path = [...check.path, "replaces"];
  const old = inherited.find((each) => each.name === check.replaces);
  if (old === undefined) {
    if (foreign) return; // it may come with the image; the bake looks
    const names = inherited.map((each) => each.name);
    inspection.error(path, `no layer below has a check ${quote(check.replaces)}`, suggestion(check.replaces, names, "checks below"));
  } else if (old.check !== check.id)
    inspection.error(
      path,
      `${quote(old.name)} of layer ${quote(old.layer)} is of type ${old.check}`,
      `only another ${old.check} can replace it`,
    );
}

/** The layers below one, the lowest first. */
function chainBelow(byName: ReadonlyMap<string, RecipeLayer>, layer: RecipeLayer): readonly RecipeLayer[] {
  const below: RecipeLayer[] = [];
  let { from } = layer;
  while (from !== undefined && "layer" in from) {
    const parent = byName.get(from.layer);
    if (parent === undefined || below.includes(parent)) break;
    below.unshift(parent);
    from = parent.from;
  }
  return below;
}
