import type { DiffId, Sha256 } from "../core/digest.ts";
import { BakehouseError } from "../core/errors.ts";
import type { EventBody, MissReason } from "../core/events.ts";
import type { Lock } from "../core/lock/model.ts";
import { onceKept } from "../core/look-at-failure.ts";
import type { Recipe, RecipeLayer } from "../core/recipe/model.ts";
import type { CatalogStep } from "../ports/catalog.ts";
import type { BakeLog } from "../ports/host.ts";
import type { StepRecord } from "../ports/store.ts";
import type { ReplaySession } from "../ports/network-recorder.ts";
import type { RunnerName, Workspace } from "../ports/workspaces.ts";
import { assembleImage, assembleVolume, standingImages, type BakedImage, type Lineage } from "./assemble-image.ts";
import { layerChain, wantedLayers, type BoundStep } from "./bound-recipe.ts";
import { imagesFromStore } from "./images-from-store.ts";
import type { Launch } from "./split-cake.ts";
import { limiter } from "./limiter.ts";
import { lastInputs, saveLastInputs, type LastInputs } from "./last-inputs.ts";
import { declareChecks } from "./declared-checks.ts";
import type { EngineParts, Report } from "./parts.ts";
import {
  askedToBake,
  chainOfDiffs,
  isHermetic,
  isUsable,
  layerBase,
  missReason,
  NO_FORCE,
  planWithEnds,
  volumeFacts,
  VOLUME_STEP,
  type Force,
  type LayerBase,
} from "./plan-bake.ts";
import { runStep, type StepEnvironment } from "./run-step.ts";
import { rememberStanding, type BakeTexts, type StandingFacts } from "./standing-bake.ts";
import { chainAfter, hashOnce, stepFacts, stepKey, type KeyHasher, type LookedInputs, type StepFacts } from "./step-key.ts";

export interface BakeOptions {
  /** Layers to bake, with everything below them; all when empty. */
  readonly layers: readonly string[];
  readonly force: Force;
  readonly runner: RunnerName;
  readonly keepOnFailure: boolean;
  /** Layers baked at the same time, at most. */
  readonly parallel: number;
  /** What of the recipe's folder was looked at a moment ago. */
  readonly looked?: LookedInputs;
  readonly signal: AbortSignal;
  readonly report: Report;
}

export interface BakeInput {
  readonly recipe: Recipe;
  readonly steps: readonly BoundStep[];
  readonly lock: Lock | undefined;
  readonly recipeDigest: Sha256;
  readonly lockDigest?: Sha256;
  /** What machines do at launch in place of layers that are not baked. */
  readonly launches?: readonly Launch[];
  /** What recipe, steps and lock were read from, to see the next time that nothing changed without reading them. */
  readonly texts?: BakeTexts;
}

export interface BakeResult {
  /** Absent when nothing had to be done: then there is nothing to look at either. */
  readonly bake?: string;
  readonly images: readonly BakedImage[];
  readonly hits: number;
  readonly baked: number;
  readonly durationMs: number;
}

/** What a finished layer hands to the layers that stand on it. */
interface LayerEnd extends LayerBase {
  readonly steps: readonly { readonly bound: BoundStep; readonly record: StepRecord }[];
  readonly baked?: BakedImage;
  /** Set when something of it was baked by force, so that all above is, too. */
  readonly forced: boolean;
  /** Address of the nearest step below that was baked and not taken from the cache: why what stands on it is baked, too. */
  readonly changed?: string;
}

/**
 * Bakes what is not in the cache, layer by layer, independent layers side by side, and assembles the images.
 *
 * A failed step keeps everything before it. Whatever ends the process, the next run finds whole results only.
 *
 * @throws the first failure, after all layers have stopped
 */
export async function bake(parts: EngineParts, input: BakeInput, options: BakeOptions): Promise<BakeResult> {
  const startedMs = parts.clock.elapsedMs();
  const hasher = hashOnce(parts.hasher, options.looked);
  const last = lastInputs(parts, input.recipe);
  const unchanged = await unchangedResult(parts, input, options, { hasher, last, startedMs });
  if (unchanged !== undefined) return withLaunches(parts, input, options, unchanged);
  const id = parts.newBakeId();
  const log = parts.openLog(id);
  const catalog = parts.catalog();
  const session = new BakeSession(parts, input, options, id, log, { hasher, last });
  const startedAt = parts.clock.now().toISOString();
  await catalog.startBake({ id, recipe: input.recipe.name, file: input.recipe.file, startedAt, outcome: "running", by: parts.baker });
  parts.reach("bake-recorded");
  const end = async (outcome: "completed" | "failed" | "cancelled", message?: string): Promise<void> => {
    session.tell({ type: "bake-ended", outcome, durationMs: parts.clock.elapsedMs() - startedMs });
    try {
      await catalog.endBake(
        id,
        { outcome, endedAt: parts.clock.now().toISOString(), ...(message === undefined ? {} : { message }) },
        session.ended,
      );
      parts.reach("bake-ended");
    } finally {
      log.close();
      parts.hasher.save();
    }
  };
  let result: BakeResult;
  try {
    const images = await session.run();
    await declareChecks(parts, input.recipe, images, hasher);
    remember(parts, input, { ...hasher.lookedAt(), ...session.standsOn(), images, hits: session.ended.length });
    const count = (outcome: CatalogStep["outcome"]): number => session.ended.filter((step) => step.outcome === outcome).length;
    result = await withLaunches(
      parts,
      input,
      options,
      { bake: id, images, hits: count("hit"), baked: count("baked"), durationMs: 0 },
      (body) => session.tell(body),
    );
  } catch (error) {
    // What went wrong counts, whether or not it can still be written down.
    await end(options.signal.aborted ? "cancelled" : "failed", error instanceof Error ? error.message : String(error)).catch(
      () => undefined,
    );
    throw error;
  }
  await end("completed");
  return { ...result, durationMs: parts.clock.elapsedMs() - startedMs };
}

/**
 * What a bake gives when every step is cached and every image stands in the index already: found with a few stats and
 * reads, without catalog, log or a bake of its own.
 */
async function unchangedResult(
  parts: EngineParts,
  input: BakeInput,
  options: BakeOptions,
  { hasher, last, startedMs }: Looking & { readonly startedMs: number },
): Promise<BakeResult | undefined> {
  const layers = wantedLayers(input.recipe, options.layers);
  const steps = input.steps.filter((bound) => layers.includes(bound.layer));
  const { plan, ends } = planWithEnds(parts, input.recipe, steps, layers, input.lock, options.force, hasher, last);
  if (plan.misses > 0 || (!parts.store.readOnly && parts.store.hasLeftovers())) return undefined;
  const standing = standingImages(parts, input.recipe, layers, ends, lineageValues(input.recipe));
  if (standing === undefined) return undefined;
  if (!parts.store.readOnly) await declareChecks(parts, input.recipe, standing, hasher);
  parts.hasher.save();
  const diffs = [...ends.values()].flatMap((end) => end.diffs);
  const blobs = [...ends.values()].flatMap(({ volume }) => (volume === undefined ? [] : [volume.diffId]));
  remember(parts, input, { ...hasher.lookedAt(), diffs: [...new Set(diffs)], blobs, images: standing, hits: plan.hits });
  return { images: standing, hits: plan.hits, baked: 0, durationMs: parts.clock.elapsedMs() - startedMs };
}

/**
 * Notes what the next bake can compare with. Not for what is made at launch, nor for a parent that is named and may move without
 * recipe or lock telling.
 */
function remember(parts: EngineParts, input: BakeInput, facts: StandingFacts): void {
  const { texts, launches = [], recipe } = input;
  const isClosed = recipe.layers.every(({ from }) => from === undefined || "layer" in from);
  if (texts === undefined || parts.build === undefined || launches.length > 0 || !isClosed || parts.store.readOnly) return;
  rememberStanding(parts.store, parts.hasher, parts.build, texts, facts);
}

/** Adds what machines do at launch; each counts as one step. */
async function withLaunches(
  parts: EngineParts,
  input: BakeInput,
  { signal }: BakeOptions,
  result: BakeResult,
  tell: (body: EventBody) => void = () => undefined,
): Promise<BakeResult> {
  if (input.launches === undefined || input.launches.length === 0) return result;
  const { bakeLaunch } = await import("./launch-payload.ts");
  const lineage = lineageOf(parts, input, result.bake ?? parts.newBakeId());
  const made: BakedImage[] = [];
  for (const launch of input.launches) {
    const image = await bakeLaunch(parts, launch, { recipe: input.recipe, lineage, images: result.images, signal });
    tell({ type: "launch-made", layer: image.layer, launch: image.digest, cached: image.cached, sizeBytes: image.sizeBytes });
    made.push(image);
  }
  const cached = made.filter((image) => image.cached).length;
  return { ...result, images: [...result.images, ...made], hits: result.hits + cached, baked: result.baked + made.length - cached };
}

const lineageOf = (parts: EngineParts, { recipe, recipeDigest, lockDigest }: BakeInput, bake: string): Lineage => ({
  bake,
  by: parts.baker,
  tool: parts.tool,
  recipeDigest,
  ...(lockDigest === undefined ? {} : { lockDigest }),
  parameters: lineageValues(recipe),
});

const lineageValues = (recipe: Recipe): Lineage["parameters"] =>
  Object.fromEntries(recipe.parameters.map((parameter) => [parameter.name, parameter.value]));

/** Bakes everything that lies below a step, and nothing else: what the lock needs to look at or to stand on. */
export async function bakeBelow(
  parts: EngineParts,
  input: BakeInput,
  bound: BoundStep,
  options: Pick<BakeOptions, "signal" | "report">,
  including = false,
): Promise<{ readonly diffs: readonly DiffId[]; readonly epochSeconds: number; readonly bake: string }> {
  const id = parts.newBakeId();
  const log = parts.openLog(id);
  const session = new BakeSession(
    parts,
    input,
    { layers: [], force: NO_FORCE, runner: "bubblewrap", keepOnFailure: false, parallel: 1, ...options },
    id,
    log,
    { hasher: hashOnce(parts.hasher), last: lastInputs(parts, input.recipe) },
  );
  try {
    return { ...(await session.below(bound, including)), bake: id };
  } finally {
    log.close();
  }
}

/** What one bake looks at once: the files of the recipe's folder, and the inputs of the bake before. */
interface Looking {
  readonly hasher: ReturnType<typeof hashOnce>;
  readonly last: () => LastInputs;
}

class BakeSession {
  readonly ended: CatalogStep[] = [];
  private readonly parts: EngineParts;
  private readonly input: BakeInput;
  private readonly options: BakeOptions;
  private readonly id: string;
  private readonly log: BakeLog;
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
    const found = await this.cachedOr(address, key, asked !== undefined, reason, (folder) => this.bakeStep(bound, at, facts, key, folder));
    this.facts[address] = facts;
    this.diffs.add(found.record.diffId);
    return { ...found, forced: asked !== undefined };
  }

  /** The record of a key: from the cache, from a process that bakes it at this moment, or baked here and now. */
  private async cachedOr(
    address: string,
    key: Sha256,
    force: boolean,
    reason: MissReason,
    work: (folder: string) => Promise<StepRecord>,
  ): Promise<{ readonly record: StepRecord; readonly hit: boolean }> {
    const { parts } = this;
    const find = (): StepRecord | undefined => {
      const record = parts.store.steps.find(key);
      return record !== undefined && isUsable(parts.store, record) ? record : undefined;
    };
    const hit = (record: StepRecord): { readonly record: StepRecord; readonly hit: true } => {
      this.tell({ type: "step-cached", step: address, diffId: record.diffId, sizeBytes: record.sizeBytes });
      this.ended.push({
        bake: this.id,
        address,
        outcome: "hit",
        diffId: record.diffId,
        sizeBytes: record.sizeBytes,
        durationMs: 0,
        reason: "cached",
      });
      return { record, hit: true };
    };
    const before = force ? undefined : find();
    if (before !== undefined) return hit(before);
    const onWait = (owner: { readonly pid: number; readonly host: string }): void =>
      this.tell({ type: "step-waiting", step: address, owner: `process ${owner.pid} on ${owner.host}` });
    return parts.store.withLock(`step-${key}`, { signal: this.stop.signal, onWait }, async () => {
      const shared = force ? undefined : find();
      if (shared !== undefined) return hit(shared);
      const startedMs = parts.clock.elapsedMs();
      this.tell({ type: "step-started", step: address, reason });
      const folder = this.stepFolder(address);
      try {
        const record = await work(folder);
        const durationMs = parts.clock.elapsedMs() - startedMs;
        this.tell({ type: "step-baked", step: address, diffId: record.diffId, sizeBytes: record.sizeBytes, durationMs });
        this.ended.push({
          bake: this.id,
          address,
          outcome: "baked",
          diffId: record.diffId,
          sizeBytes: record.sizeBytes,
          durationMs,
          reason: reason.kind,
        });
        return { record, hit: false };
      } catch (error) {
        const durationMs = parts.clock.elapsedMs() - startedMs;
        const failure = this.kept.has(address) ? onceKept(this.stepFailure(address, error)) : this.stepFailure(address, error);
        this.tell({ type: "step-failed", step: address, code: failure.code, message: failure.message, durationMs });
        this.ended.push({ bake: this.id, address, outcome: "failed", durationMs, reason: failure.message });
        throw failure;
      }
    });
  }

  /** A step that throws something without a code has failed, whatever it was; on a full disk that is what explains it. */
  private stepFailure(address: string, error: unknown): BakehouseError {
    const full =
      (error as NodeJS.ErrnoException).code === "ENOSPC" ||
      (error instanceof BakehouseError && error.code === "STEP_FAILED" && this.parts.store.isFull());
    const message = error instanceof Error ? error.message : String(error);
    if (full)
      return new BakehouseError(
        "STORE_FULL",
        `${address}: no space left on the disk that holds the store ${this.parts.store.root}\n${message}`,
        { hint: "bakehouse gc --apply, or a store on a larger disk: --store DIR" },
        error,
      );
    return error instanceof BakehouseError ? error : new BakehouseError("STEP_FAILED", `${address}: ${message}`, {}, error);
  }

  private stepFolder(address: string): string {
    this.workFolder ??= this.parts.store.workFolder(this.id);
    return `${this.workFolder}/${address.replaceAll("/", "-")}`;
  }

  private environment(epochSeconds: number): StepEnvironment {
    return {
      recipe: this.input.recipe,
      lock: this.input.lock,
      epochSeconds,
      signal: this.stop.signal,
      log: this.log,
      tell: (body) => this.tell(body),
      openNetwork: (bound, workspace) => replayNetwork(this.parts, this.input, bound, workspace, this.stop.signal, this.log),
    };
  }

  private async bakeStep(bound: BoundStep, at: LayerEnd, facts: StepFacts, key: Sha256, folder: string): Promise<StepRecord> {
    const { parts } = this;
    const startedMs = parts.clock.elapsedMs();
    const workspace = await parts.workspaces.open({ folder, lowers: at.diffs, runner: this.options.runner });
    parts.reach("workspace-open", bound.step.address);
    try {
      await runStep(parts, bound, workspace, this.environment(at.epochSeconds));
      parts.reach("step-ran", bound.step.address);
    } catch (error) {
      await workspace.close();
      await this.keep(folder, bound.step.address, at.diffs);
      throw error;
    }
    await settled(workspace.close(), () => this.refuseMovedInputs([{ bound, facts }], at.epochSeconds));
    parts.reach("workspace-closed", bound.step.address);
    return this.takeDiff(bound, workspace.upper, `${folder}/diff.tar`, at, { key, address: bound.step.address, facts, startedMs });
  }

  private async takeDiff(
    bound: BoundStep,
    upper: string,
    target: string,
    at: LayerEnd,
    about: { readonly key: Sha256; readonly address: string; readonly facts: StepFacts; readonly startedMs: number },
  ): Promise<StepRecord> {
    const { parts } = this;
    const lower = parts.lowerLookup(at.diffs);
    if (bound.requirements.lent !== undefined) parts.dropIdleWhiteouts(upper, (path) => lower(path).exists);
    await parts.diffs.normalise(upper, { lowerHas: (path) => lower(path).exists });
    parts.reach("normalised", about.address);
    await this.refuseSecrets([bound], upper);
    const summary = await parts.diffs.write({
      directory: upper,
      target,
      epochSeconds: at.epochSeconds,
      lowerHasDirectory: (path) => lower(path).directory,
      signal: this.stop.signal,
    });
    parts.reach("diff-written", about.address);
    parts.store.blobs.adopt(target, summary.diffId);
    parts.reach("blob-adopted", about.address);
    parts.store.diffs.adopt(upper, summary.diffId);
    parts.reach("diff-adopted", about.address);
    return this.saved({ ...summary }, about);
  }

  private saved(
    result: { readonly diffId: DiffId; readonly sizeBytes: number; readonly entries: number },
    about: { readonly key: Sha256; readonly address: string; readonly facts: StepFacts; readonly startedMs: number },
  ): StepRecord {
    const { parts } = this;
    const record: StepRecord = {
      key: about.key,
      address: about.address,
      ...result,
      inputs: about.facts.inputs,
      bakedAt: parts.clock.now().toISOString(),
      durationMs: Math.round(parts.clock.elapsedMs() - about.startedMs),
      tool: parts.tool,
    };
    parts.store.steps.save(record);
    parts.reach("record-saved", about.address);
    return record;
  }

  private async refuseSecrets(steps: readonly BoundStep[], directory: string): Promise<void> {
    const names = [...new Set(steps.flatMap((bound) => bound.step.secrets))];
    if (names.length === 0) return;
    const found = await this.parts.findSecrets(directory, this.parts.secrets(this.input.recipe).resolve(names));
    if (found.length === 0) return;
    throw new BakehouseError(
      "SECRET_LEAKED",
      `${steps[0]?.step.address ?? ""}: the image would hold ${found.map((leak) => `secret "${leak.secret}" (${leak.form}) in ${leak.path}`).join(", ")}`,
      {
        hint: "read it from /run/secrets/<name> where it is needed and leave no copy behind",
        details: found.map((leak) => ({ ...leak })),
      },
    );
  }

  /** An input that was edited while it was read: the result belongs to neither state. */
  private refuseMovedInputs(steps: readonly { readonly bound: BoundStep; readonly facts: StepFacts }[], epochSeconds: number): void {
    for (const { bound, facts } of steps) {
      const now = stepFacts(bound, this.input.recipe, this.input.lock, epochSeconds, this.parts.hasher);
      if (now.inputs["files"] === facts.inputs["files"]) continue;
      const moved = Object.keys({ ...facts.files, ...now.files }).filter((path) => facts.files[path] !== now.files[path]);
      throw new BakehouseError(
        "INPUT_INVALID",
        `${bound.step.address}: changed while it was being baked: ${moved.slice(0, 5).join(", ")}`,
        { hint: "bake again when nobody writes there" },
      );
    }
  }

  private async keep(folder: string, address: string, lowers: readonly DiffId[]): Promise<void> {
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
    const { record, hit } = await this.cachedOr(address, key, asked !== undefined, reason, (folder) =>
      this.bakeVolume(each, base, path, { key, address, facts, startedMs }, folder),
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

  private async bakeVolume(
    steps: readonly { readonly bound: BoundStep; readonly facts: StepFacts }[],
    base: LayerEnd,
    path: string,
    about: { readonly key: Sha256; readonly address: string; readonly facts: StepFacts; readonly startedMs: number },
    folder: string,
  ): Promise<StepRecord> {
    const { parts } = this;
    const workspace = await parts.workspaces.open({ folder, lowers: base.diffs, runner: this.options.runner });
    try {
      for (const { bound } of steps) await runStep(parts, bound, workspace, this.environment(base.epochSeconds));
    } catch (error) {
      await workspace.close();
      await this.keep(folder, about.address, base.diffs);
      throw error;
    }
    await settled(workspace.close(), () => this.refuseMovedInputs(steps, base.epochSeconds));
    const lower = parts.lowerLookup(base.diffs);
    await parts.diffs.normalise(workspace.upper, { lowerHas: (inside) => lower(inside).exists });
    await this.refuseSecrets(
      steps.map(({ bound }) => bound),
      workspace.upper,
    );
    this.refuseOutside(workspace.upper, path, about.address);
    const target = `${folder}/volume.erofs`;
    const volume = await parts.buildVolume(`${workspace.upper}${path}`, target, {
      epochSeconds: base.epochSeconds,
      signal: this.stop.signal,
    });
    parts.reach("diff-written", about.address);
    parts.store.blobs.adopt(target, volume.digest);
    parts.reach("blob-adopted", about.address);
    return this.saved({ diffId: volume.digest, sizeBytes: volume.sizeBytes, entries: 0 }, about);
  }

  private refuseOutside(upper: string, path: string, address: string): void {
    const outside = this.parts.pathsOutside(upper, path, 10);
    if (outside.length === 0) return;
    throw new BakehouseError(
      "STEP_FAILED",
      `${address}: a release volume holds ${path} and nothing else, but its steps also changed ${outside.join(", ")}`,
      {
        hint: "move those steps to the layer below, or use `release: layer`",
        details: outside,
      },
    );
  }
}

/** Serves a step what its recording in the lock holds, and nothing else. */
async function replayNetwork(
  parts: EngineParts,
  input: BakeInput,
  bound: BoundStep,
  workspace: Workspace,
  signal: AbortSignal,
  log: BakeLog,
): Promise<ReplaySession> {
  const { address } = bound.step;
  const recorded = input.lock?.steps[address]?.recorded;
  if (recorded === undefined)
    throw new BakehouseError("LOCK_STALE", `${address}: its network is \`recorded\`, but the lock holds no recording of it`, {
      hint: `bakehouse lock --update --package ${address}`,
    });
  return parts.network.replay(
    {
      address,
      namespacePid: workspace.holderPid,
      mirrors: await parts.mirrors(input.recipe),
      signal,
      log: (line) => log.write(address, line),
    },
    recorded,
  );
}

/** Looks at something while other processes work, and waits for them whatever it finds. */
async function settled(work: Promise<void>, look: () => void): Promise<void> {
  const [worked, looked] = await Promise.allSettled([work, new Promise<void>((resolve) => resolve(look()))]);
  for (const result of [worked, looked]) if (result.status === "rejected") throw result.reason;
}

const cancelled = (): BakehouseError =>
  new BakehouseError("CANCELLED", "Stopped. Every finished step is kept; the same command goes on from there");
