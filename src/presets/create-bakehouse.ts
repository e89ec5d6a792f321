import { dirname, join, resolve } from "node:path";
import { BakehouseError } from "../core/errors.ts";
import type { Sha256 } from "../core/digest.ts";
import { canonicalJson } from "../core/json.ts";
import { parseLock, serialiseLock } from "../core/lock/lock-file.ts";
import type { Lock } from "../core/lock/model.ts";
import { parseRecipe, requireRecipe } from "../core/recipe/parse-recipe.ts";
import type { RecipeProblem } from "../core/recipe/problems.ts";
import type { ParameterValue, Recipe } from "../core/recipe/model.ts";
import type { BakehouseEvent, EventBody } from "../core/events.ts";
import {
  isFolder,
  readLockText,
  readRecipeFile,
  removeUnfinishedLock,
  writeLockText,
  lockFileOf,
  RECIPE_NAME,
  type RecipeFile,
} from "../adapters/local-host/recipe-files.ts";
import { bindSteps, wantedLayers, type BoundStep } from "../engine/bound-recipe.ts";
import { bake } from "../engine/bake.ts";
import type { BakeOptions, BakeResult } from "../engine/bake-input.ts";
import { requireFreshLock } from "../engine/check-lock.ts";
import type { CheckImageParts, CheckOutcome } from "../engine/check-image.ts";
import type { SelfTestOutcome } from "../engine/self-test.ts";
import { findImage } from "../engine/find-image.ts";
import { requireNotRevoked } from "../engine/require-not-revoked.ts";
import type { LockResult } from "../engine/lock-recipe.ts";
import { checkPlaybooks, type PlaybookCheck } from "../engine/check-playbooks.ts";
import { readBaseSystem, recordNetwork } from "../engine/lock-by-baking.ts";
import { NO_FORCE, planBake, type BakePlan, type Force, type PlannedLaunch } from "../engine/plan-bake.ts";
import { splitCake, type Launch } from "../engine/split-cake.ts";
import type { BakeTexts } from "../engine/standing-bake.ts";
import type { LookedInputs } from "../engine/step-key.ts";
import { checks } from "../checks/registry.ts";
import { steps } from "../steps/registry.ts";
import { embedded, type EmbeddedOptions, type EmbeddedParts } from "./embedded.ts";

/** A recipe as read from its file, valid, with the code of its steps: of what is baked, and what is left for the launch. */
export interface LoadedRecipe {
  readonly recipe: Recipe;
  readonly steps: readonly BoundStep[];
  /** What machines do at launch in place of the layers that `cake` leaves out of `recipe`. */
  readonly launches: readonly Launch[];
  readonly warnings: readonly RecipeProblem[];
  /** SHA-256 of the recipe's text. */
  readonly digest: Sha256;
  /** Values of parameters as they were given from outside. */
  readonly given: Readonly<Record<string, ParameterValue>>;
  readonly lockFile: string;
  /** The path as the user would write it. */
  readonly shownAs: string;
}

export interface LoadOptions {
  /** Folder that a relative path starts from; default the current one. */
  readonly from?: string;
  /** Values that replace the parameters' defaults; texts are read by the parameter's type. */
  readonly parameters?: Readonly<Record<string, ParameterValue>>;
}

export interface DefineOptions extends Pick<LoadOptions, "parameters"> {
  /** Where the recipe stands: paths in it start here, and its lock is written here. */
  readonly folder: string;
  /** File name that it would have; default `bakehouse.yaml`. The lock is called after it. */
  readonly name?: string;
}

export interface RunOptions {
  /** Layers to bake, with everything below them; default all. */
  readonly layers?: readonly string[];
  readonly noCache?: boolean;
  /** Addresses (`base/apt`) or step names: these and everything on top of them are baked again. */
  readonly from?: readonly string[];
  readonly runner?: BakeOptions["runner"];
  /** Leaves the state of a failed step for `bakehouse shell --failed`. */
  readonly keepOnFailure?: boolean;
  /** Layers baked at the same time; default 2. */
  readonly parallel?: number;
  /** What of the recipe's folder was looked at a moment ago. */
  readonly looked?: LookedInputs;
  readonly signal?: AbortSignal;
  readonly onEvent?: (event: BakehouseEvent) => void;
}

export interface CheckRunOptions {
  /** Names or types of checks; default all that the image declares. */
  readonly only?: readonly string[];
  /** Leaves the cell running for a look; its name is in the outcome. */
  readonly keep?: boolean;
  readonly signal?: AbortSignal;
  readonly onEvent?: (event: BakehouseEvent) => void;
}

export interface LockRunOptions {
  /** true: move every version to the newest; names: only these. Default: keep what is locked. */
  readonly update?: boolean | readonly string[];
  /** Take a repository whose release file is past its date, with a warning. Also `BAKEHOUSE_ALLOW_EXPIRED=1`. */
  readonly allowExpired?: boolean;
  /** Default true. false only tells what would change. */
  readonly write?: boolean;
  readonly signal?: AbortSignal;
  readonly onEvent?: (event: BakehouseEvent) => void;
}

export interface LockOutcome extends LockResult {
  /** The text differs from the lock file that was there. */
  readonly changed: boolean;
  readonly written: boolean;
  /** What was or would be written. */
  readonly text: string;
}

/** Bakehouse as a library: what the CLI does, as calls. */
export interface Bakehouse {
  /** The parts it is made of, for what has no call of its own. */
  readonly parts: EmbeddedParts;
  /** Reads a recipe (a file, or the folder that holds `bakehouse.yaml`). @throws RECIPE_NOT_FOUND, RECIPE_INVALID with every mistake */
  load(path: string, options?: LoadOptions): LoadedRecipe;
  /** Takes a recipe that was built in TypeScript. @throws RECIPE_NOT_FOUND when its folder is not there, RECIPE_INVALID with every mistake, placed in the YAML that it gives */
  define(recipe: { toYaml(): string }, options: DefineOptions): LoadedRecipe;
  /** Resolves what the recipe needs and writes `bakehouse.lock`, unless nothing changed. */
  lock(loaded: LoadedRecipe, options?: LockRunOptions): Promise<LockOutcome>;
  /** What a bake would do, and why. @throws LOCK_MISSING, LOCK_STALE, LOCK_INVALID */
  plan(loaded: LoadedRecipe, options?: Pick<RunOptions, "layers" | "noCache" | "from">): BakePlan;
  /** Runs the playbooks of the steps that a plan would bake in check mode, on what lies below them (which is baked for it). */
  checkPlaybooks(loaded: LoadedRecipe, plan: BakePlan, options?: Pick<RunOptions, "signal" | "onEvent">): Promise<readonly PlaybookCheck[]>;
  /** Bakes what is not in the cache. @throws LOCK_MISSING, LOCK_STALE, LOCK_INVALID, STEP_FAILED … */
  bake(loaded: LoadedRecipe, options?: RunOptions): Promise<BakeResult>;
  /** Boots an image (name, digest, or the beginning of one) and asks it what it promises to pass. A verdict that is not good is a result, no exception. */
  check(image: string, options?: CheckRunOptions): Promise<CheckOutcome>;
  /** Shows of types of checks that they find a fault which is put into the image; default the types that it declares. */
  selfTest(image: string, types?: readonly string[], options?: Pick<CheckRunOptions, "signal" | "onEvent">): Promise<SelfTestOutcome>;
  close(): Promise<void>;
}

export function createBakehouse(options: EmbeddedOptions): Bakehouse {
  const parts = embedded({ ...options, store: resolve(options.store) });
  return {
    parts,
    load: (path, loadOptions = {}) => load(parts, path, loadOptions),
    define: (recipe, defineOptions) => define(parts, recipe, defineOptions),
    lock: (loaded, lockOptions = {}) => lock(parts, loaded, lockOptions),
    plan: (loaded, runOptions = {}) => {
      const lockFile = readLock(parts, loaded);
      const wanted = wantedOf(loaded, runOptions.layers);
      const layers = wantedLayers(loaded.recipe, wanted.layers);
      const plan = planBake(parts, loaded.recipe, loaded.steps, layers, requireLock(parts, loaded, lockFile), force(loaded, runOptions));
      parts.hasher.save();
      return wanted.launches.length === 0 ? plan : { ...plan, launches: wanted.launches.map(plannedLaunch) };
    },
    bake: async (loaded, runOptions = {}) => {
      const lockFile = requireLock(parts, loaded, readLock(parts, loaded));
      const wanted = wantedOf(loaded, runOptions.layers);
      requireSoundParents(parts, loaded.recipe, wanted.layers, lockFile);
      await declareChannelsOnce(parts, loaded.recipe);
      return bake(
        parts,
        {
          recipe: loaded.recipe,
          steps: loaded.steps,
          lock: lockFile,
          recipeDigest: loaded.digest,
          launches: wanted.launches,
          ...(lockFile === undefined ? {} : { lockDigest: lockFile.integrity }),
          ...(loaded.warnings.length > 0 ? {} : { texts: textsOf(parts, loaded, runOptions.layers) }),
        },
        {
          layers: wanted.layers,
          force: force(loaded, runOptions),
          runner: runOptions.runner ?? "bubblewrap",
          keepOnFailure: runOptions.keepOnFailure ?? false,
          parallel: runOptions.parallel ?? 2,
          ...(runOptions.looked === undefined ? {} : { looked: runOptions.looked }),
          signal: runOptions.signal ?? new AbortController().signal,
          report: runOptions.onEvent ?? (() => undefined),
        },
      );
    },
    checkPlaybooks: (loaded, plan, { signal = new AbortController().signal, onEvent = () => undefined } = {}) =>
      checkPlaybooks(
        parts,
        { recipe: loaded.recipe, steps: loaded.steps, lock: readLock(parts, loaded), recipeDigest: loaded.digest },
        plan,
        { signal, report: onEvent },
      ),
    check: async (image, { only = [], keep = false, signal = new AbortController().signal, onEvent = () => undefined } = {}) => {
      const { checkImage } = await import("../engine/check-image.ts");
      return checkImage(await checkPartsOf(parts, options), image, { only, keep, signal, report: onEvent });
    },
    selfTest: async (image, types = [], { signal = new AbortController().signal, onEvent = () => undefined } = {}) => {
      const { selfTest } = await import("../engine/self-test.ts");
      return selfTest(await checkPartsOf(parts, options), image, types, { signal, report: onEvent });
    },
    close: () => parts.close(),
  };
}

async function checkPartsOf(parts: EmbeddedParts, options: EmbeddedOptions): Promise<CheckImageParts> {
  const { checkParts } = await import("./checks.ts");
  const trees = async () => (await import("../adapters/image-trees/index.ts")).localImageTrees(parts.store);
  const imageMachines = async () => (await import("./image-machines.ts")).imageMachinesOf(parts.store);
  return checkParts({ ...parts, trees, imageMachines }, options.env ?? process.env);
}

function load(parts: EmbeddedParts, path: string, { from = process.cwd(), parameters }: LoadOptions): LoadedRecipe {
  return read(parts, readRecipeFile(path, from), parameters);
}

/** Names a recipe that was written in TypeScript as if it stood in its folder. */
function define(
  parts: EmbeddedParts,
  recipe: { toYaml(): string },
  { folder, name = RECIPE_NAME, parameters }: DefineOptions,
): LoadedRecipe {
  const file = join(resolve(folder), name);
  if (!isFolder(dirname(file)))
    throw new BakehouseError("RECIPE_NOT_FOUND", `There is no folder ${folder} for the recipe to stand in`, {
      hint: "make it, or name another: its files and its lock lie there",
    });
  return read(parts, { text: recipe.toYaml(), file, folder: dirname(file), shownAs: name, lockFile: lockFileOf(file) }, parameters);
}

function read(parts: EmbeddedParts, file: RecipeFile, parameters: LoadOptions["parameters"]): LoadedRecipe {
  const { text, folder, shownAs, lockFile } = file;
  const parsed = parseRecipe({
    text,
    file: file.file,
    folder,
    shownAs,
    steps,
    checks,
    ...(parameters === undefined ? {} : { parameters }),
  });
  const whole = requireRecipe(parsed);
  return {
    ...splitCake(whole, bindSteps(whole, steps)),
    warnings: parsed.problems,
    digest: parts.hasher.digestOf(text),
    given: parameters ?? {},
    lockFile,
    shownAs,
  };
}

function readLock(parts: EmbeddedParts, loaded: LoadedRecipe): Lock | undefined {
  const text = readLockText(loaded.lockFile);
  return text === undefined ? undefined : parseLock(text, { file: loaded.lockFile, hash: parts.hasher.digestOf });
}

/** Not of a recipe with warnings: they are to be seen each time, and only whoever reads it sees them. */
function textsOf(parts: EmbeddedParts, loaded: LoadedRecipe, layers: readonly string[] = []): BakeTexts {
  const lockText = readLockText(loaded.lockFile);
  return {
    file: loaded.recipe.file,
    recipe: loaded.digest,
    ...(lockText === undefined ? {} : { lock: parts.hasher.digestOf(lockText) }),
    asked: { layers, parameters: loaded.given },
  };
}

/** A recipe that needs nothing resolved needs no lock. */
function requireLock(parts: EmbeddedParts, loaded: LoadedRecipe, lockFile: Lock | undefined): Lock | undefined {
  requireFreshLock({ recipe: loaded.recipe, steps: loaded.steps, lock: lockFile, hasher: parts.hasher, lockFile: loaded.lockFile });
  return lockFile;
}

async function lock(parts: EmbeddedParts, loaded: LoadedRecipe, options: LockRunOptions): Promise<LockOutcome> {
  const { lockRecipe } = await import("../engine/lock-recipe.ts");
  removeUnfinishedLock(loaded.lockFile);
  const previousText = readLockText(loaded.lockFile);
  const previous = previousText === undefined ? undefined : previousLock(parts, loaded, options);
  const signal = options.signal ?? new AbortController().signal;
  const bakeId = parts.newBakeId();
  const report = (body: EventBody): void => options.onEvent?.({ ...body, at: parts.clock.now().toISOString(), bake: bakeId });
  const result = await lockRecipe({
    recipe: loaded.recipe,
    steps: loaded.steps,
    ...(previous === undefined ? {} : { previous }),
    update: options.update ?? false,
    resolver: await parts.resolver(),
    packageStore: await parts.packageStore(),
    downloader: await parts.downloader(),
    hasher: parts.hasher,
    ociSource: { resolve: async (...args) => (await parts.ociSource()).resolve(...args) },
    resolveImage: (reference) => {
      const { digest } = findImage(parts.store, reference);
      requireNotRevoked(parts, digest);
      return digest;
    },
    baseSystem: (lowest, image) =>
      readBaseSystem(parts, { recipe: loaded.recipe, steps: loaded.steps, recipeDigest: loaded.digest }, lowest, image, {
        signal,
        report: options.onEvent ?? (() => undefined),
        resolveImage: async (reference) => (await parts.ociSource()).resolve(reference, loaded.recipe.folder),
      }),
    recorder: {
      record: (bound, lockSoFar, { signal: stop }) =>
        recordNetwork(parts, { recipe: loaded.recipe, steps: loaded.steps, recipeDigest: loaded.digest, lock: lockSoFar }, bound, {
          signal: stop,
          report: options.onEvent ?? (() => undefined),
        }),
    },
    ...(options.allowExpired === true ? { allowExpired: true } : {}),
    signal,
    report,
  });
  const text = serialiseLock(result.lock);
  const changed = text !== previousText;
  const written = changed && options.write !== false;
  parts.reach("lock-resolved");
  if (written) writeLockText(loaded.lockFile, text, parts.reach);
  return { ...result, changed, written, text };
}

/** Nothing is baked onto a revoked image, not even when it was locked before. @throws IMAGE_REVOKED */
function requireSoundParents(parts: EmbeddedParts, recipe: Recipe, names: readonly string[], lockFile: Lock | undefined): void {
  for (const { name, from } of wantedLayers(recipe, names)) {
    if (from === undefined || !("image" in from)) continue;
    requireNotRevoked(parts, lockFile?.parents[name] ?? findImage(parts.store, from.image).digest);
  }
}

/** Before the bake: the next one may find that nothing changed and look at nothing. A note spares opening the catalog. */
async function declareChannelsOnce(parts: EmbeddedParts, recipe: Recipe): Promise<void> {
  const note = `plans/channels-${recipe.name}.json`;
  const declared = parts.hasher.digestOf(canonicalJson(recipe.channels));
  const known = parts.store.readNote(note);
  if (parts.store.readOnly || (known === undefined ? recipe.channels.length === 0 : known === declared)) return;
  const { declareChannels } = await import("../engine/declare-channels.ts");
  await declareChannels(
    { clock: parts.clock, baker: () => Promise.resolve(parts.baker), catalog: () => Promise.resolve(parts.catalog()) },
    recipe,
  );
  parts.store.writeNote(note, declared);
}

/** Of a lock that is wrong nothing can be kept; who moves everything keeps nothing of it anyway. */
function previousLock(parts: EmbeddedParts, loaded: LoadedRecipe, { update }: LockRunOptions): Lock | undefined {
  try {
    return readLock(parts, loaded);
  } catch (error) {
    if (update === true && error instanceof BakehouseError && error.code === "LOCK_INVALID") return undefined;
    throw error;
  }
}

/** The layers and launches asked for; a launch stands on its root's layer. All when none is named. */
function wantedOf(
  loaded: LoadedRecipe,
  names: readonly string[] = [],
): { readonly layers: readonly string[]; readonly launches: readonly Launch[] } {
  checkLayers(loaded, names);
  const launches = names.length === 0 ? loaded.launches : loaded.launches.filter(({ layer }) => names.includes(layer.name));
  const baked = names.filter((name) => loaded.recipe.layers.some((layer) => layer.name === name));
  return { layers: names.length === 0 ? [] : [...baked, ...launches.map(({ root }) => root.name)], launches };
}

const plannedLaunch = ({ layer, root, steps: own }: Launch): PlannedLaunch => ({
  name: layer.name,
  root: root.name,
  steps: own.map(({ step, definition }) => ({ address: step.address, step: step.id, summary: definition.summary })),
});

function checkLayers(loaded: LoadedRecipe, names: readonly string[]): void {
  const known = [...loaded.recipe.layers, ...loaded.launches.map(({ layer }) => layer)].map((layer) => layer.name);
  const unknown = names.filter((name) => !known.includes(name));
  if (unknown.length > 0)
    throw new BakehouseError("USAGE", `${loaded.shownAs} has no layer ${unknown.map((name) => JSON.stringify(name)).join(", ")}`, {
      hint: `its layers: ${known.join(", ")}`,
    });
}

function force(loaded: LoadedRecipe, { noCache = false, from = [] }: Pick<RunOptions, "noCache" | "from">): Force {
  if (!noCache && from.length === 0) return NO_FORCE;
  const addresses = loaded.steps.map((bound) => bound.step.address);
  const found = from.map((name) => {
    const matches = addresses.filter((address) => address === name || address.endsWith(`/${name}`));
    const inLayer = loaded.steps.find((bound) => bound.layer.name === name)?.step.address;
    const [match = inLayer] = matches;
    if (matches.length > 1)
      throw new BakehouseError("USAGE", `--from ${name} could be ${matches.join(" or ")}`, { hint: "give the whole address" });
    if (match === undefined)
      throw new BakehouseError("USAGE", `${loaded.shownAs} has no step ${JSON.stringify(name)}`, {
        hint: `its steps: ${addresses.join(", ")}`,
      });
    return match;
  });
  return { noCache, from: found };
}
