import { suggestion } from "../text/did-you-mean.ts";
import { describeValue, quote } from "./describe-value.ts";
import type { Inspection, Mapping } from "./inspect.ts";
import { hasOrMeans, isMapping, readFields } from "./inspect.ts";
import type { Cake, ImageSettings, RecipeLayer, RecipeStep } from "./model.ts";
import { checkCake } from "./cake.ts";
import { recipeArtifact } from "./artifacts-section.ts";
import { checkInheritance, readChecks } from "./checks.ts";
import { type imageSchema, layerFields, nameSchema, type releaseSchema } from "./schema.ts";
import { fillIn } from "./items.ts";
import { readSteps } from "./steps.ts";
import type { ReadStep, StepSurroundings } from "./steps.ts";

/** A layer as far as it could be made out; `layer` is absent when something in it is wrong. */
interface ReadLayer {
  readonly name: string;
  readonly from: RecipeLayer["from"];
  readonly steps: readonly (ReadStep | undefined)[];
  readonly written: Mapping;
  readonly layer: RecipeLayer | undefined;
}

/**
 * Checks the layers and how they stand on each other.
 *
 * @returns those without mistakes, parents before children, otherwise in the order of the recipe
 */
export function readLayers(around: StepSurroundings, section: unknown, cake: Cake = "baked"): readonly RecipeLayer[] {
  const { inspection } = around;
  if (!isMapping(section)) return [];
  const names = Object.keys(section);
  if (names.length === 0) inspection.error(["layers"], "has no layers", "a recipe needs at least one");
  const layers = names.flatMap((name) => readLayer(around, name, section[name]) ?? []);
  const ordered = orderLayers(inspection, layers, names);
  for (const layer of layers) checkFoundation(around, layer);
  checkVolumes(inspection, layers);
  checkCake(inspection, cake, layers);
  checkInheritance(
    inspection,
    ordered.flatMap((one) => one.layer ?? []),
  );
  warnAboutUnused(inspection, layers);
  return ordered.flatMap((one) => one.layer ?? []);
}

function readLayer(recipe: StepSurroundings, name: string, value: unknown): ReadLayer | undefined {
  const { inspection } = recipe;
  const around = { ...recipe, usedParameters: new Set<string>() };
  const path = ["layers", name];
  const before = inspection.problems.length;
  inspection.check(nameSchema, name, path);
  if (value === null) {
    inspection.error(path, "expected a mapping, found nothing", "for example { from: base, steps: […] }");
    return undefined;
  }
  if (!isMapping(value)) {
    inspection.error(path, `expected a mapping, found ${describeValue(value)}`, `keys here: ${Object.keys(layerFields).join(", ")}`);
    return undefined;
  }
  const fields = readFields(inspection, fillLayer(around, name, value), path, layerFields);
  const steps = readSteps(around, name, fields?.steps ?? []);
  if (fields?.steps !== undefined ? fields.steps.length === 0 : !hasOrMeans(value, "steps", layerFields))
    inspection.warn(path, "has no steps");
  // What a check says changes no image: the parameters in it are used, but the layer does not depend on them.
  const checks = readChecks(recipe, name, fields?.checks ?? []);
  const from = parentOf(fields?.from);
  const layer: RecipeLayer = {
    name,
    ...(from === undefined ? {} : { from }),
    steps: steps.flatMap((one) => (one?.step === undefined ? [] : ([one.step] satisfies RecipeStep[]))),
    image: imageSettings(fields?.image),
    checks,
    artifacts: (fields?.artifacts ?? []).map(recipeArtifact),
    release: releaseOf(fields?.release),
    parameters: parametersOf(around, steps),
    position: inspection.yaml.keyPositionOf(path),
  };
  for (const used of around.usedParameters) recipe.usedParameters.add(used);
  const failed = inspection.problems.slice(before).some((problem) => problem.severity === "error");
  return { name, from, steps, written: value, layer: failed ? undefined : layer };
}

/** Those in its text, and those that its steps fill into files. */
function parametersOf(around: StepSurroundings, steps: readonly (ReadStep | undefined)[]): readonly string[] {
  const declared = around.parameters.declared;
  const inFiles = steps.flatMap((one) => (one?.step === undefined ? [] : (one.definition.requires?.(one.step.options)?.parameters ?? [])));
  const names = inFiles.flatMap((need) => (need === "all" ? declared : [need]));
  return [...new Set([...around.usedParameters, ...names])].filter((name) => declared.includes(name)).toSorted();
}

/** Parameters may stand in the image settings and in the parent. */
function fillLayer(around: StepSurroundings, name: string, value: Mapping): Mapping {
  const filled = ["image", "from"].flatMap((key) => {
    if (!Object.hasOwn(value, key)) return [];
    const { value: inner, whole } = fillIn(around, value[key], ["layers", name, key]);
    // Labels are text: a number parameter that stands alone becomes text again.
    const labels = whole.filter((path) => path[0] === "labels");
    return [[key, labels.length === 0 ? inner : labelsAsText(inner)] as const];
  });
  return { ...value, ...Object.fromEntries(filled) };
}

function labelsAsText(image: unknown): unknown {
  if (!isMapping(image) || !isMapping(image["labels"])) return image;
  const labels = Object.entries(image["labels"]).map(([key, label]) => [
    key,
    typeof label === "number" || typeof label === "boolean" ? String(label) : label,
  ]);
  return { ...image, labels: Object.fromEntries(labels) };
}

/** Layer names hold neither `:` nor `@`, so that these always mean an image. */
function parentOf(from: string | { readonly image: string } | undefined): RecipeLayer["from"] {
  if (from === undefined) return undefined;
  if (typeof from !== "string") return { image: from.image };
  if (from.startsWith("image:")) return { image: from.slice("image:".length) };
  return /[:@]/.test(from) ? { image: from } : { layer: from };
}

function imageSettings(settings: ReturnType<typeof imageSchema.parse> | undefined): ImageSettings {
  const ports = (settings?.ports ?? []).map((port) => String(port).replace(/\/tcp$/, ""));
  return {
    ...(settings?.entry === undefined ? {} : { entry: settings.entry }),
    ports: [...new Set(ports)],
    users: settings?.users ?? [],
    labels: settings?.labels ?? {},
  };
}

function releaseOf(release: ReturnType<typeof releaseSchema.parse> | undefined): RecipeLayer["release"] {
  return release === undefined || release === "layer" ? { as: "layer" } : { as: "volume", path: release.volume };
}

// ---- how layers stand on each other ----

/** Parents before children; tells unknown parents and each cycle once. */
function orderLayers(inspection: Inspection, layers: readonly ReadLayer[], names: readonly string[]): readonly ReadLayer[] {
  const byName = new Map(layers.map((layer) => [layer.name, layer]));
  const done = new Set<string>();
  const ordered: ReadLayer[] = [];
  for (const start of layers) {
    const chain: ReadLayer[] = [];
    for (let layer: ReadLayer | undefined = start; layer !== undefined && !done.has(layer.name); layer = parentIn(byName, layer)) {
      const again = chain.indexOf(layer);
      if (again >= 0) {
        tellCycle(inspection, chain.slice(again));
        break;
      }
      chain.push(layer);
    }
    for (const layer of chain.toReversed()) {
      done.add(layer.name);
      ordered.push(layer);
    }
  }
  for (const layer of layers) tellUnknownParent(inspection, layer, names);
  return ordered;
}

function parentIn(byName: ReadonlyMap<string, ReadLayer>, layer: ReadLayer): ReadLayer | undefined {
  return layer.from !== undefined && "layer" in layer.from ? byName.get(layer.from.layer) : undefined;
}

function tellCycle(inspection: Inspection, cycle: readonly ReadLayer[]): void {
  const names = cycle.map((layer) => layer.name);
  const [first = ""] = names;
  const message =
    names.length === 1 ? "a layer cannot stand on itself" : `the layers stand on each other: ${[...names, first].join(" → ")}`;
  inspection.error(["layers", first, "from"], message);
}

function tellUnknownParent(inspection: Inspection, layer: ReadLayer, names: readonly string[]): void {
  if (layer.from === undefined || !("layer" in layer.from) || names.includes(layer.from.layer)) return;
  const others = names.filter((name) => name !== layer.name);
  const hint = suggestion(layer.from.layer, others, "layers") ?? "for an image of the store write image:…";
  inspection.error(["layers", layer.name, "from"], `there is no layer ${quote(layer.from.layer)}`, hint);
}

/** A layer without a parent starts with one foundation step; any other layer has none. */
function checkFoundation(around: StepSurroundings, layer: ReadLayer): void {
  const { inspection, registry } = around;
  const hasParent = hasOrMeans(layer.written, "from", layerFields);
  for (const [index, one] of layer.steps.entries()) {
    if (one?.definition.role !== "foundation") continue;
    const path = [...one.path, one.definition.id];
    if (hasParent)
      inspection.error(
        path,
        `"${one.definition.id}" starts a layer without a parent, and this one has \`from\``,
        "remove one of the two",
        "key",
      );
    else if (index > 0) inspection.error(path, `"${one.definition.id}" must be the first step of its layer`, undefined, "key");
  }
  const unclear =
    layer.steps.some((one) => one === undefined) ||
    (hasOrMeans(layer.written, "steps", layerFields) && !Array.isArray(layer.written["steps"]));
  if (hasParent || unclear || layer.steps.some((one) => one?.definition.role === "foundation")) return;
  const foundations = [...registry.values()].filter((step) => step.role === "foundation").map((step) => step.id);
  const start = foundations.length === 0 ? "" : `, or start its steps with ${foundations.join(", ")}`;
  inspection.error(["layers", layer.name], "has neither a parent nor a foundation step", `say \`from: …\`${start}`, "key");
}

/** A volume lies beside the image of its parent: nothing can stand on it, and it needs a parent. */
function checkVolumes(inspection: Inspection, layers: readonly ReadLayer[]): void {
  const volumes = new Set(layers.filter((one) => isMapping(one.written["release"])).map((one) => one.name));
  for (const layer of layers) {
    if (volumes.has(layer.name) && !Object.hasOwn(layer.written, "from"))
      inspection.error(
        ["layers", layer.name, "release"],
        "a volume needs a parent, the image that it is mounted in",
        "say `from: …`",
        "key",
      );
    if (layer.from === undefined || !("layer" in layer.from) || !volumes.has(layer.from.layer)) continue;
    inspection.error(
      ["layers", layer.name, "from"],
      `no layer can stand on ${quote(layer.from.layer)}, which is a volume`,
      "use its parent",
    );
  }
}

/** With several results, one that nothing stands on and that says nothing about an image is probably a leftover. */
function warnAboutUnused(inspection: Inspection, layers: readonly ReadLayer[]): void {
  const parents = new Set(layers.map((layer) => (layer.from !== undefined && "layer" in layer.from ? layer.from.layer : undefined)));
  const leaves = layers.filter((layer) => !parents.has(layer.name));
  const isResult = (layer: ReadLayer): boolean => Object.hasOwn(layer.written, "image") || Object.hasOwn(layer.written, "release");
  if (!leaves.some(isResult)) return;
  for (const leaf of leaves) {
    if (!isResult(leaf))
      inspection.warn(
        ["layers", leaf.name],
        "no layer stands on this one",
        "remove it, or say with `image:` or `release:` that it is a result",
      );
  }
}
