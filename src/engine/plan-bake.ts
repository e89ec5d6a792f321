import { changedInputs, type ChainId, type StepInputs } from "../core/cache/step-inputs.ts";
import type { DiffId, ImageDigest } from "../core/digest.ts";
import type { MissReason } from "../core/events.ts";
import type { Lock } from "../core/lock/model.ts";
import type { Recipe, RecipeLayer } from "../core/recipe/model.ts";
import type { StepRecord, Store } from "../ports/store.ts";
import { layerChain, type BoundStep } from "./bound-recipe.ts";
import { findImage } from "./find-image.ts";
import type { EngineParts } from "./parts.ts";
import { readLastInputs, type LastInputs } from "./last-inputs.ts";
import { chainAfter, stepFacts, stepKey, type StepFacts } from "./step-key.ts";

/** Which steps not to take from the cache although they are there. */
export interface Force {
  readonly noCache: boolean;
  /** Addresses: these and all that stand on them. */
  readonly from: readonly string[];
}

export const NO_FORCE: Force = { noCache: false, from: [] };

/** The file system that a layer starts from. */
export interface LayerBase {
  readonly diffs: readonly DiffId[];
  readonly chain: ChainId;
  readonly epochSeconds: number;
  readonly image?: ImageDigest;
}

export interface PlannedStep {
  readonly address: string;
  readonly layer: string;
  readonly step: string;
  readonly summary: string;
  readonly hit: boolean;
  readonly reason?: MissReason;
  readonly diffId?: DiffId;
  readonly sizeBytes?: number;
}

export interface BakePlan {
  readonly recipe: string;
  readonly file: string;
  readonly layers: readonly { readonly name: string; readonly from?: string; readonly release: "layer" | "volume"; readonly hermetic: boolean; readonly steps: readonly PlannedStep[] }[];
  readonly hits: number;
  readonly misses: number;
}

/**
 * mtimes of images without Debian packages of their own (2025-01-01 00:00 UTC): any constant would do, zero confuses
 * programs that take it for "unknown".
 */
export const DEFAULT_EPOCH_SECONDS = 1_735_689_600;

/** What a layer without a recipe parent starts from. */
export function layerBase(store: Store, recipe: Recipe, layer: RecipeLayer, lock: Lock | undefined, chainOf: (diffs: readonly DiffId[]) => ChainId): LayerBase {
  const { from } = layer;
  if (from === undefined || "layer" in from) return { diffs: [], chain: "scratch", epochSeconds: epochOf(recipe, layer, lock) };
  const image = lock?.parents[layer.name] ?? findImage(store, from.image).digest;
  const config = store.images.config(image);
  return { diffs: config.rootfs.diff_ids, chain: chainOf(config.rootfs.diff_ids), epochSeconds: Math.floor(Date.parse(config.created) / 1000), image };
}

export const epochOf = (recipe: Recipe, layer: RecipeLayer, lock: Lock | undefined): number =>
  lock?.epochs[layerChain(recipe, layer)[0]?.name ?? layer.name] ?? DEFAULT_EPOCH_SECONDS;

export const chainOfDiffs = (parts: Pick<EngineParts, "hasher">, diffs: readonly DiffId[]): ChainId =>
  diffs.reduce<ChainId>((chain, diff) => chainAfter(chain, diff, parts.hasher), "scratch");

/** Whether what a record names is still there. */
export const isUsable = (store: Store, record: StepRecord): boolean => store.blobs.has(record.diffId) && (record.address.endsWith(VOLUME_STEP) || store.diffs.has(record.diffId));

/** All steps of a volume layer are one unit, whose result is the volume. */
export const VOLUME_STEP = "/volume";

export function planBake(parts: EngineParts, recipe: Recipe, steps: readonly BoundStep[], layers: readonly RecipeLayer[], lock: Lock | undefined, force: Force = NO_FORCE): BakePlan {
  const last = readLastInputs(parts, recipe);
  const ends = new Map<string, (LayerBase & { readonly changed?: string }) | undefined>();
  const planned = layers.map((layer) => {
    const from = layer.from !== undefined && "layer" in layer.from ? layer.from.layer : undefined;
    const base = from === undefined ? layerBase(parts.store, recipe, layer, lock, (diffs) => chainOfDiffs(parts, diffs)) : ends.get(from);
    const walk = new LayerWalk(parts, recipe, lock, last, force, base);
    const own = steps.filter((bound) => bound.layer.name === layer.name);
    const result = layer.release.as === "volume" ? walk.volume(layer, own) : own.map((bound) => walk.step(bound));
    ends.set(layer.name, walk.end());
    return {
      name: layer.name,
      ...(layer.from === undefined ? {} : { from: "layer" in layer.from ? layer.from.layer : layer.from.image }),
      release: layer.release.as,
      hermetic: isHermetic(recipe, layer),
      steps: result,
    };
  });
  const all = planned.flatMap((layer) => layer.steps);
  return { recipe: recipe.name, file: recipe.file, layers: planned, hits: all.filter((step) => step.hit).length, misses: all.filter((step) => !step.hit).length };
}

/** A layer is hermetic when no step of it or below it had an open network. */
export const isHermetic = (recipe: Recipe, layer: RecipeLayer): boolean =>
  layerChain(recipe, layer).every((below) => below.steps.every((step) => step.network !== "open"));

/** Follows the diffs of one layer as long as the cache has them. */
class LayerWalk {
  private readonly parts: EngineParts;
  private readonly recipe: Recipe;
  private readonly lock: Lock | undefined;
  private readonly last: LastInputs;
  private readonly force: Force;
  private base: (LayerBase & { readonly changed?: string }) | undefined;

  constructor(parts: EngineParts, recipe: Recipe, lock: Lock | undefined, last: LastInputs, force: Force, base: (LayerBase & { readonly changed?: string }) | undefined) {
    this.parts = parts;
    this.recipe = recipe;
    this.lock = lock;
    this.last = last;
    this.force = force;
    this.base = base;
  }

  end(): (LayerBase & { readonly changed?: string }) | undefined {
    return this.base;
  }

  step(bound: BoundStep): PlannedStep {
    const { base } = this;
    const facts = stepFacts(bound, this.recipe, this.lock, base?.epochSeconds ?? epochOf(this.recipe, bound.layer, this.lock), this.parts.hasher);
    const found = base === undefined || base.changed !== undefined ? undefined : this.find(facts, base.chain);
    const asked = askedToBake(bound.step.address, this.force);
    const common = { address: bound.step.address, layer: bound.layer.name, step: bound.step.id, summary: bound.definition.summary };
    if (base !== undefined && found !== undefined && asked === undefined) {
      this.base = { ...base, diffs: [...base.diffs, found.diffId], chain: chainAfter(base.chain, found.diffId, this.parts.hasher) };
      return { ...common, hit: true, diffId: found.diffId, sizeBytes: found.sizeBytes };
    }
    const reason = asked ?? missReason(this.last, bound.step.address, facts, base?.changed);
    this.base = base === undefined ? undefined : { ...base, changed: bound.step.address };
    return { ...common, hit: false, reason };
  }

  volume(layer: RecipeLayer, steps: readonly BoundStep[]): readonly PlannedStep[] {
    const { base } = this;
    const address = `${layer.name}${VOLUME_STEP}`;
    const facts = volumeFacts(steps.map((bound) => ({ bound, facts: stepFacts(bound, this.recipe, this.lock, base?.epochSeconds ?? DEFAULT_EPOCH_SECONDS, this.parts.hasher) })), layer);
    const found = base === undefined || base.changed !== undefined ? undefined : this.find(facts, base.chain);
    const asked = askedToBake(address, this.force) ?? steps.map((bound) => askedToBake(bound.step.address, this.force)).find((reason) => reason !== undefined);
    const common = { address, layer: layer.name, step: "volume", summary: "Release volume" };
    if (found !== undefined && asked === undefined) return [{ ...common, hit: true, diffId: found.diffId, sizeBytes: found.sizeBytes }];
    return [{ ...common, hit: false, reason: asked ?? missReason(this.last, address, facts, base?.changed) }];
  }

  private find(facts: StepFacts, chain: ChainId): StepRecord | undefined {
    const record = this.parts.store.steps.find(stepKey(facts.inputs, chain, this.parts.hasher));
    return record !== undefined && isUsable(this.parts.store, record) ? record : undefined;
  }
}

export function askedToBake(address: string, force: Force): MissReason | undefined {
  if (force.noCache) return { kind: "asked", by: "--no-cache" };
  return force.from.includes(address) ? { kind: "asked", by: "--from" } : undefined;
}

export function missReason(last: LastInputs, address: string, facts: StepFacts, changedParent: string | undefined): MissReason {
  const before = last[address];
  if (before === undefined) return { kind: "never-baked" };
  const changes = changedInputs(withoutFiles(before), withoutFiles(facts));
  const files = changedInputs(prefixed(before.files), prefixed(facts.files));
  if (changes.length + files.length > 0) return { kind: "inputs-changed", changes: [...changes, ...files] };
  if (changedParent !== undefined) return { kind: "parent-changed", parent: changedParent };
  return { kind: "gone", what: "its result is no longer in the store" };
}

const withoutFiles = (facts: StepFacts): StepInputs => Object.fromEntries(Object.entries(facts.inputs).filter(([name]) => name !== "files"));
const prefixed = (files: StepFacts["files"]): StepInputs => Object.fromEntries(Object.entries(files).map(([path, value]) => [`file.${path}`, value]));

/** The inputs of all steps of a volume layer as one. */
export function volumeFacts(steps: readonly { readonly bound: BoundStep; readonly facts: StepFacts }[], layer: RecipeLayer): StepFacts {
  const inputs: Record<string, string> = { "volume.path": layer.release.as === "volume" ? layer.release.path : "" };
  for (const { bound, facts } of steps) for (const [name, value] of Object.entries(facts.inputs)) inputs[`${bound.step.name}.${name}`] = value;
  return { inputs, files: Object.assign({}, ...steps.map(({ facts }) => facts.files)) as StepFacts["files"] };
}
