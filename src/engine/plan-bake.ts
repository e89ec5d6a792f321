import { changedInputs, type ChainId, type StepInputs } from "../core/cache/step-inputs.ts";
import { plannedChecks, type PlannedCheck } from "../core/checks/declared-check.ts";
import type { DiffId, ImageDigest } from "../core/digest.ts";
import type { MissReason } from "../core/events.ts";
import type { Lock } from "../core/lock/model.ts";
import type { Recipe, RecipeLayer } from "../core/recipe/model.ts";
import type { StepRecord, Store } from "../ports/store.ts";
import { layerChain, type BoundStep } from "./bound-recipe.ts";
import { findImage } from "./find-image.ts";
import type { EngineParts } from "./parts.ts";
import { lastInputs, type LastInputs } from "./last-inputs.ts";
import { chainAfter, hashOnce, requireInputs, stepFacts, stepKey, type KeyHasher, type StepFacts } from "./step-key.ts";

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
  readonly layers: readonly {
    readonly name: string;
    readonly from?: string;
    readonly release: "layer" | "volume";
    readonly hermetic: boolean;
    readonly steps: readonly PlannedStep[];
    /** What its image must pass, those of the layers below first. */
    readonly checks: readonly PlannedCheck[];
  }[];
  readonly hits: number;
  readonly misses: number;
  /** What machines do at launch in place of layers that are not baked; absent when everything is. */
  readonly launches?: readonly PlannedLaunch[];
}

export interface PlannedLaunch {
  readonly name: string;
  /** The layer whose image it starts from. */
  readonly root: string;
  readonly steps: readonly { readonly address: string; readonly step: string; readonly summary: string }[];
}

/**
 * mtimes of images without Debian packages of their own (2025-01-01 00:00 UTC): any constant would do, zero confuses
 * programs that take it for "unknown".
 */
export const DEFAULT_EPOCH_SECONDS = 1_735_689_600;

/** What a layer without a recipe parent starts from. */
export function layerBase(
  store: Store,
  recipe: Recipe,
  layer: RecipeLayer,
  lock: Lock | undefined,
  chainOf: (diffs: readonly DiffId[]) => ChainId,
): LayerBase {
  const { from } = layer;
  if (from === undefined || "layer" in from) return { diffs: [], chain: "scratch", epochSeconds: epochOf(recipe, layer, lock) };
  const image = lock?.parents[layer.name] ?? findImage(store, from.image).digest;
  const config = store.images.config(image);
  return {
    diffs: config.rootfs.diff_ids,
    chain: chainOf(config.rootfs.diff_ids),
    epochSeconds: Math.floor(Date.parse(config.created) / 1000),
    image,
  };
}

const epochOf = (recipe: Recipe, layer: RecipeLayer, lock: Lock | undefined): number =>
  lock?.epochs[layerChain(recipe, layer)[0]?.name ?? layer.name] ?? DEFAULT_EPOCH_SECONDS;

export const chainOfDiffs = (parts: Pick<EngineParts, "hasher">, diffs: readonly DiffId[]): ChainId =>
  diffs.reduce<ChainId>((chain, diff) => chainAfter(chain, diff, parts.hasher), "scratch");

/** Whether what a record names is still there. */
export const isUsable = (store: Store, record: StepRecord): boolean =>
  store.blobs.has(record.diffId) && (record.address.endsWith(VOLUME_STEP) || store.diffs.has(record.diffId));

/** All steps of a volume layer are one unit, whose result is the volume. */
export const VOLUME_STEP = "/volume";

export function planBake(
  parts: EngineParts,
  recipe: Recipe,
  steps: readonly BoundStep[],
  layers: readonly RecipeLayer[],
  lock: Lock | undefined,
  force: Force = NO_FORCE,
): BakePlan {
  return planWithEnds(parts, recipe, steps, layers, lock, force).plan;
}

/** The cached part of a layer: how far the cache has it, and whether that is all of it. */
export interface PlannedEnd extends LayerBase {
  readonly steps: readonly { readonly bound: BoundStep; readonly record: StepRecord }[];
  /** For a volume layer: its volume. */
  readonly volume?: StepRecord;
  /** Address of the first step that is not cached. */
  readonly changed?: string;
}

/** The plan, and what of it the cache already holds, by layer. */
export function planWithEnds(
  parts: EngineParts,
  recipe: Recipe,
  steps: readonly BoundStep[],
  layers: readonly RecipeLayer[],
  lock: Lock | undefined,
  force: Force,
  hasher: KeyHasher = hashOnce(parts.hasher),
  last: () => LastInputs = lastInputs(parts, recipe),
): { readonly plan: BakePlan; readonly ends: ReadonlyMap<string, PlannedEnd> } {
  const wanted = new Set(layers.map(({ name }) => name));
  requireInputs(
    recipe,
    steps.filter(({ layer }) => wanted.has(layer.name)),
    hasher,
  );
  const ends = new Map<string, PlannedEnd>();
  const planned = layers.map((layer) => {
    const from = layer.from !== undefined && "layer" in layer.from ? layer.from.layer : undefined;
    const base = (from === undefined ? undefined : ends.get(from)) ?? {
      ...layerBase(parts.store, recipe, layer, lock, (diffs) => chainOfDiffs(parts, diffs)),
      steps: [],
    };
    const walk = new LayerWalk({ parts, recipe, lock, last, force, hasher }, base);
    const own = steps.filter((bound) => bound.layer.name === layer.name);
    const result = layer.release.as === "volume" ? walk.volume(layer, own) : own.map((bound) => walk.step(bound));
    ends.set(layer.name, walk.end);
    return {
      name: layer.name,
      ...(layer.from === undefined ? {} : { from: "layer" in layer.from ? layer.from.layer : layer.from.image }),
      release: layer.release.as,
      hermetic: isHermetic(recipe, layer),
      steps: result,
      checks: plannedChecks(layerChain(recipe, layer)),
    };
  });
  const all = planned.flatMap((layer) => layer.steps);
  const plan = {
    recipe: recipe.name,
    file: recipe.file,
    layers: planned,
    hits: all.filter((step) => step.hit).length,
    misses: all.filter((step) => !step.hit).length,
  };
  return { plan, ends };
}

/** A layer is hermetic when no step of it or below it had an open network. */
export const isHermetic = (recipe: Recipe, layer: RecipeLayer): boolean =>
  layerChain(recipe, layer).every((below) => below.steps.every((step) => step.network !== "open"));

interface WalkParts {
  readonly parts: EngineParts;
  readonly recipe: Recipe;
  readonly lock: Lock | undefined;
  readonly last: () => LastInputs;
  readonly force: Force;
  readonly hasher: KeyHasher;
}

/** Follows the diffs of one layer as long as the cache has them. */
class LayerWalk {
  end: PlannedEnd;
  private readonly given: WalkParts;

  constructor(given: WalkParts, base: PlannedEnd) {
    this.given = given;
    this.end = base;
  }

  step(bound: BoundStep): PlannedStep {
    const { address } = bound.step;
    const common = { address, layer: bound.layer.name, step: bound.step.id, summary: bound.definition.summary };
    const facts = this.facts(bound);
    const asked = askedToBake(address, this.given.force);
    const record = asked === undefined ? this.find(facts) : undefined;
    if (record === undefined) return this.miss(common, asked, facts);
    const { end } = this;
    this.end = {
      ...end,
      diffs: [...end.diffs, record.diffId],
      chain: chainAfter(end.chain, record.diffId, this.given.parts.hasher),
      steps: [...end.steps, { bound, record }],
    };
    return { ...common, hit: true, diffId: record.diffId, sizeBytes: record.sizeBytes };
  }

  volume(layer: RecipeLayer, steps: readonly BoundStep[]): readonly PlannedStep[] {
    const address = `${layer.name}${VOLUME_STEP}`;
    const common = { address, layer: layer.name, step: "volume", summary: "Release volume" };
    const facts = volumeFacts(
      steps.map((bound) => ({ bound, facts: this.facts(bound) })),
      layer,
    );
    const asked = [address, ...steps.map((bound) => bound.step.address)]
      .map((name) => askedToBake(name, this.given.force))
      .find((reason) => reason !== undefined);
    const record = asked === undefined ? this.find(facts) : undefined;
    if (record === undefined) return [this.miss(common, asked, facts)];
    this.end = { ...this.end, volume: record };
    return [{ ...common, hit: true, diffId: record.diffId, sizeBytes: record.sizeBytes }];
  }

  private facts(bound: BoundStep): StepFacts {
    return stepFacts(bound, this.given.recipe, this.given.lock, this.end.epochSeconds, this.given.hasher);
  }

  private find(facts: StepFacts): StepRecord | undefined {
    const { parts } = this.given;
    if (this.end.changed !== undefined) return undefined;
    const record = parts.store.steps.find(stepKey(facts.inputs, this.end.chain, parts.hasher));
    return record !== undefined && isUsable(parts.store, record) ? record : undefined;
  }

  private miss(common: Omit<PlannedStep, "hit">, asked: MissReason | undefined, facts: StepFacts): PlannedStep {
    const reason = asked ?? missReason(this.given.last(), common.address, facts, this.end.changed);
    this.end = { ...this.end, changed: common.address };
    return { ...common, hit: false, reason };
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
  return { kind: "gone", what: "its result" };
}

/** `files`, and `<step>.files` of a volume, are digests of what `facts.files` tells one by one. */
const FILES = /^(?:(?!option\.)[^.]+\.)?files$/;
const withoutFiles = (facts: StepFacts): StepInputs =>
  Object.fromEntries(Object.entries(facts.inputs).filter(([name]) => !FILES.test(name)));
const prefixed = (files: StepFacts["files"]): StepInputs =>
  Object.fromEntries(Object.entries(files).map(([path, value]) => [`file.${path}`, value]));

/** The inputs of all steps of a volume layer as one. */
export function volumeFacts(steps: readonly { readonly bound: BoundStep; readonly facts: StepFacts }[], layer: RecipeLayer): StepFacts {
  const inputs: Record<string, string> = { "volume.path": layer.release.as === "volume" ? layer.release.path : "" };
  for (const { bound, facts } of steps)
    for (const [name, value] of Object.entries(facts.inputs)) inputs[`${bound.step.name}.${name}`] = value;
  return { inputs, files: Object.assign({}, ...steps.map(({ facts }) => facts.files)) as StepFacts["files"] };
}
