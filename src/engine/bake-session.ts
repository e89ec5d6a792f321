import type { DiffId } from "../core/digest.ts";
import { BakehouseError } from "../core/errors.ts";
import type { EventBody, MissReason } from "../core/events.ts";
import type { Recipe, RecipeLayer } from "../core/recipe/model.ts";
import type { CatalogStep } from "../ports/catalog.ts";
import type { BakeLog } from "../ports/host.ts";
import type { StepRecord } from "../ports/store.ts";
import { assembleImage, assembleVolume, type BakedImage, type Lineage } from "./assemble-image.ts";
import type { BakeInput, BakeOptions } from "./bake-input.ts";
import { bakeStep, bakeVolume, type StepWork } from "./bake-step.ts";
import { layerChain, wantedLayers, type BoundStep } from "./bound-recipe.ts";
import { imagesFromStore } from "./images-from-store.ts";
import { saveLastInputs, type LastInputs } from "./last-inputs.ts";
import { limiter } from "./limiter.ts";
import type { EngineParts } from "./parts.ts";
import {
  askedToBake,
  chainOfDiffs,
  isHermetic,
  layerBase,
  missReason,
  planWithEnds,
  volumeFacts,
  VOLUME_STEP,
  type LayerBase,
} from "./plan-bake.ts";
import type { StandingFacts } from "./standing-bake.ts";
import { chainAfter, stepFacts, stepKey, type hashOnce, type KeyHasher, type StepFacts } from "./step-key.ts";
import { StepResults } from "./step-results.ts";

/** What a finished layer hands to the layers that stand on it. */
interface LayerEnd extends LayerBase {
  readonly steps: readonly { readonly bound: BoundStep; readonly record: StepRecord }[];
  readonly baked?: BakedImage;
  /** Set when something of it was baked by force, so that all above is, too. */
  readonly forced: boolean;
  /** Address of the nearest step below that was baked and not taken from the cache: why what stands on it is baked, too. */
  readonly changed?: string;
}

/** What one bake looks at once: the files of the recipe's folder, and the inputs of the bake before. */
export interface Looking {
  readonly hasher: ReturnType<typeof hashOnce>;
  readonly last: () => LastInputs;
}

/** One bake: layer by layer, independent layers side by side. */
export class BakeSession {
  private readonly parts: EngineParts;
  private readonly input: BakeInput;
  private readonly options: BakeOptions;
  private readonly id: string;
  private readonly log: BakeLog;
  private readonly results: StepResults;
  private readonly hasher: KeyHasher;
  private readonly last: () => LastInputs;
  private readonly facts: Record<string, StepFacts> = {};
  private readonly diffs = new Set<DiffId>();
  private readonly volumes = new Set<DiffId>();
  private readonly stop = new AbortController();
  private workFolder: string | undefined;
  private readonly kept = new Set<string>();

  constructor(parts: EngineParts, input: BakeInput, options: BakeOptions, id: string, log: BakeLog, looking: Looking) {
    this.hasher = looking.hasher;
    this.last = looking.last;
    this.parts = parts;
    this.input = input;
    this.options = options;
    this.id = id;
    this.log = log;
    this.results = new StepResults(parts, {
      bake: id,
      signal: this.stop.signal,
      tell: (body) => this.tell(body),
      folderFor: (address) => this.stepFolder(address),
      isKept: (address) => this.kept.has(address),
    });
  }

  /** What became of each step. */
  get ended(): readonly CatalogStep[] {
    return this.results.ended;
  }

  tell(body: EventBody): void {
    const event = { ...body, at: this.parts.clock.now().toISOString(), bake: this.id };
    if (event.type !== "step-output") this.log.event(event);
    this.options.report(event);
  }

  /** What the images of a finished run are made of. */
  standsOn(): Pick<StandingFacts, "diffs" | "blobs"> {
    return { diffs: [...this.diffs], blobs: [...this.volumes] };
  }

  async run(): Promise<readonly BakedImage[]> {
    const { parts, input, options } = this;
    const layers = wantedLayers(input.recipe, options.layers);
    const steps = input.steps.filter((bound) => layers.includes(bound.layer));
    this.tell({ type: "bake-started", recipe: input.recipe.name, file: input.recipe.file, steps: steps.length });
    await this.tidy();
    // Made before anything else, even when no step needs it: whoever finds it knows that something is left to tidy.
    this.workFolder = parts.store.workFolder(this.id);
    parts.reach("work-folder-made");
    const onAbort = (): void => this.stop.abort(cancelled());
    options.signal.addEventListener("abort", onAbort, { once: true });
    if (options.signal.aborted) onAbort();
    try {
      await this.fetch(layers, steps);
      return await this.bakeLayers(layers, steps);
    } finally {
      options.signal.removeEventListener("abort", onAbort);
      this.saveInputs();
      parts.reach("plans-saved");
      if (this.kept.size === 0) parts.store.releaseWorkFolder(this.id);
      parts.reach("work-folder-released");
    }
  }

  /** Only says later what has changed: no reason for a bake to fail. */
  private saveInputs(): void {
    try {
      saveLastInputs(this.parts, this.input.recipe, this.facts);
    } catch (error) {
      if (!(error instanceof BakehouseError)) throw error;
      this.tell({ type: "warning", message: error.message });
    }
  }

  private async tidy(): Promise<void> {
    const { parts } = this;
    if (parts.store.hasLeftovers()) await this.completeCatalog();
    for (const { kind, id } of parts.store.tidy()) this.tell({ type: "tidied", kind, id });
  }

  /** A bake that died may have written an image to the index and not yet to the catalog. */
  private async completeCatalog(): Promise<void> {
    const { store, catalog } = this.parts;
    const known = new Set((await catalog().images()).map((image) => image.digest));
    await catalog().putImages(imagesFromStore(store).filter((image) => !known.has(image.digest)));
  }

  async below(bound: BoundStep, including: boolean): Promise<LayerEnd> {
    const { parts, input } = this;
    const chain = layerChain(input.recipe, bound.layer);
    const all = chain.flatMap((layer) => input.steps.filter((step) => step.layer.name === layer.name));
    const steps = all.slice(0, all.findIndex((step) => step.step.address === bound.step.address) + (including ? 1 : 0));
    const [lowest = bound.layer] = chain;
    let at: LayerEnd = {
      ...layerBase(parts.store, input.recipe, lowest, input.lock, (diffs) => chainOfDiffs(parts, diffs)),
      steps: [],
      forced: false,
    };
    try {
      await this.fetch(chain, steps);
      for (const step of steps) {
        const { record } = await this.stepResult(step, at);
        at = {
          ...at,
          diffs: [...at.diffs, record.diffId],
          chain: chainAfter(at.chain, record.diffId, parts.hasher),
          steps: [...at.steps, { bound: step, record }],
        };
      }
      return at;
    } finally {
      if (this.workFolder !== undefined) parts.store.releaseWorkFolder(this.id);
    }
  }

  /** Only for the steps that will be baked as far as the cache can tell now. */
  private async fetch(layers: readonly RecipeLayer[], steps: readonly BoundStep[]): Promise<void> {
    const { parts, input, options } = this;
    const { plan } = planWithEnds(parts, input.recipe, steps, layers, input.lock, options.force, this.hasher, this.last);
    const misses = new Set(plan.layers.flatMap((layer) => layer.steps.filter((step) => !step.hit).map((step) => step.address)));
    const needed = steps
      .filter((bound) => misses.has(bound.step.address) || misses.has(`${bound.layer.name}${VOLUME_STEP}`))
      .map((bound) => ({ bound, locked: input.lock?.steps[bound.step.address] }));
    if (needed.length === 0) return;
    await parts.fetchMissing(needed, input.recipe, {
      signal: this.stop.signal,
      progress: (doneBytes, totalBytes) => this.tell({ type: "packages-progress", doneBytes, totalBytes }),
    });
  }

  private async bakeLayers(layers: readonly RecipeLayer[], steps: readonly BoundStep[]): Promise<readonly BakedImage[]> {
    const limit = limiter(this.options.parallel);
    const ends = new Map<string, Promise<LayerEnd>>();
    for (const layer of layers) {
      const parent = layer.from !== undefined && "layer" in layer.from ? ends.get(layer.from.layer) : undefined;
      const own = steps.filter((bound) => bound.layer === layer);
      const end = (async () => {
        const below = await parent;
        return limit(() => this.bakeLayer(layer, own, below));
      })();
      // The first failure stops the others; they are awaited below, so none is lost and none runs on.
      end.catch((error: unknown) => this.stop.abort(error));
      ends.set(layer.name, end);
    }
    const results = await Promise.allSettled(ends.values());
    const failed = results.find((result) => result.status === "rejected");
    if (failed !== undefined) throw this.options.signal.aborted ? cancelled() : this.stop.signal.reason;
    return results.flatMap((result) => (result.status === "fulfilled" && result.value.baked !== undefined ? [result.value.baked] : []));
  }

  private async bakeLayer(layer: RecipeLayer, steps: readonly BoundStep[], below: LayerEnd | undefined): Promise<LayerEnd> {
    const { parts, input } = this;
    const startedMs = parts.clock.elapsedMs();
    const base = below ?? {
      ...layerBase(parts.store, input.recipe, layer, input.lock, (diffs) => chainOfDiffs(parts, diffs)),
      steps: [],
      forced: false,
    };
    if (layer.release.as === "volume") return this.bakeVolumeLayer(layer, steps, base, startedMs);
    let at: LayerEnd = base;
    let cached = true;
    for (const bound of steps) {
      this.stop.signal.throwIfAborted();
      const { record, hit, forced } = await this.stepResult(bound, at);
      cached &&= hit;
      at = {
        ...at,
        diffs: [...at.diffs, record.diffId],
        chain: chainAfter(at.chain, record.diffId, parts.hasher),
        steps: [...at.steps, { bound, record }],
        forced,
        ...(hit ? {} : { changed: bound.step.address }),
      };
    }
    const baked = await assembleImage(parts, input.recipe, layer, at, this.lineage(), {
      parent: base.baked?.digest ?? base.image,
      cached,
      startedMs,
      hermetic: isHermetic(input.recipe, layer),
    });
    this.tell({
      type: "image-baked",
      layer: layer.name,
      image: baked.digest,
      cached: baked.cached,
      sizeBytes: baked.sizeBytes,
      durationMs: baked.durationMs,
      hermetic: baked.hermetic,
    });
    return { ...at, baked };
  }

  private askedBelow(at: LayerEnd): MissReason | undefined {
    return at.forced ? { kind: "asked", by: this.options.force.noCache ? "--no-cache" : "--from" } : undefined;
  }

  private lineage(): Lineage {
    return lineageOf(this.parts, this.input, this.id);
  }

  private async stepResult(
    bound: BoundStep,
    at: LayerEnd,
  ): Promise<{ readonly record: StepRecord; readonly hit: boolean; readonly forced: boolean }> {
    const { parts, input } = this;
    const { address } = bound.step;
    const facts = stepFacts(bound, input.recipe, input.lock, at.epochSeconds, this.hasher);
    const key = stepKey(facts.inputs, at.chain, parts.hasher);
    const asked = this.askedBelow(at) ?? askedToBake(address, this.options.force);
    const reason = asked ?? missReason(this.last(), address, facts, at.changed);
    const found = await this.results.findOr({ address, key, force: asked !== undefined, reason }, (folder) =>
      bakeStep(this.work(), { bound, facts, key }, at, folder),
    );
    this.facts[address] = facts;
    this.diffs.add(found.record.diffId);
    return { ...found, forced: asked !== undefined };
  }

  private work(): StepWork {
    const { parts, input, options, log } = this;
    return {
      ...{ parts, input, log, runner: options.runner, signal: this.stop.signal },
      tell: (body) => this.tell(body),
      keep: (folder, address, lowers) => this.keep(folder, address, lowers),
    };
  }

  private stepFolder(address: string): string {
    this.workFolder ??= this.parts.store.workFolder(this.id);
    return `${this.workFolder}/${address.replaceAll("/", "-")}`;
  }

  private keep(folder: string, address: string, lowers: readonly DiffId[]): void {
    if (!this.options.keepOnFailure || this.stop.signal.aborted) return;
    this.kept.add(address);
    this.parts.store.keepWorkFolder(this.id, { folder, address, lowers, recipe: this.input.recipe.file });
  }

  private async bakeVolumeLayer(layer: RecipeLayer, steps: readonly BoundStep[], base: LayerEnd, startedMs: number): Promise<LayerEnd> {
    const { parts, input } = this;
    const root = base.baked?.digest ?? base.image;
    if (layer.release.as !== "volume" || root === undefined) throw new Error(`Volume layer ${layer.name} has no root image`);
    const { path } = layer.release;
    const address = `${layer.name}${VOLUME_STEP}`;
    const each = steps.map((bound) => ({ bound, facts: stepFacts(bound, input.recipe, input.lock, base.epochSeconds, this.hasher) }));
    const facts = volumeFacts(each, layer);
    const key = stepKey(facts.inputs, base.chain, parts.hasher);
    const asked =
      this.askedBelow(base) ??
      [address, ...steps.map((bound) => bound.step.address)]
        .map((name) => askedToBake(name, this.options.force))
        .find((reason) => reason !== undefined);
    const reason = asked ?? missReason(this.last(), address, facts, base.changed);
    const { record, hit } = await this.results.findOr({ address, key, force: asked !== undefined, reason }, (folder) =>
      bakeVolume(this.work(), each, base, path, { key, address, facts, startedMs }, folder),
    );
    this.facts[address] = facts;
    this.volumes.add(record.diffId);
    const baked = await assembleVolume(parts, input.recipe, layer, { record, root, path }, this.lineage(), {
      cached: hit,
      startedMs,
      hermetic: isHermetic(input.recipe, layer),
    });
    this.tell({ type: "volume-baked", layer: layer.name, volume: baked.digest, root, path, sizeBytes: baked.sizeBytes });
    return { ...base, baked };
  }
}

export const lineageOf = (parts: EngineParts, { recipe, recipeDigest, lockDigest }: BakeInput, bake: string): Lineage => ({
  bake,
  by: parts.baker,
  tool: parts.tool,
  recipeDigest,
  ...(lockDigest === undefined ? {} : { lockDigest }),
  parameters: lineageValues(recipe),
});

export const lineageValues = (recipe: Recipe): Lineage["parameters"] =>
  Object.fromEntries(recipe.parameters.map((parameter) => [parameter.name, parameter.value]));

const cancelled = (): BakehouseError =>
  new BakehouseError("CANCELLED", "Stopped. Every finished step is kept; the same command goes on from there");
