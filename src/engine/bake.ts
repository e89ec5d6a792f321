import type { DiffId } from "../core/digest.ts";
import type { EventBody } from "../core/events.ts";
import type { CatalogStep } from "../ports/catalog.ts";
import { standingImages, type BakedImage } from "./assemble-image.ts";
import type { BakeInput, BakeOptions, BakeResult } from "./bake-input.ts";
import { BakeSession, lineageOf, lineageValues, type Looking } from "./bake-session.ts";
import { wantedLayers, type BoundStep } from "./bound-recipe.ts";
import { declareChecks } from "./declared-checks.ts";
import { lastInputs } from "./last-inputs.ts";
import type { EngineParts } from "./parts.ts";
import { NO_FORCE, planWithEnds } from "./plan-bake.ts";
import { rememberStanding, type StandingFacts } from "./standing-bake.ts";
import { hashOnce } from "./step-key.ts";

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
