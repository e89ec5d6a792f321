import { copyFileSync, existsSync, mkdirSync, readdirSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { findingsOf } from "../core/cycle/findings.ts";
import { refuseSetbacks, setbacksOf } from "../core/cycle/went-back.ts";
import type { Finding } from "../core/cycle/decide.ts";
import { BakehouseError } from "../core/errors.ts";
import { parseLock } from "../core/lock/lock-file.ts";
import { formatLockChanges } from "../core/lock/lock-diff.ts";
import type { Happening } from "../core/notices/notice.ts";
import type { Recipe } from "../core/recipe/model.ts";
import type { BakehouseEvent } from "../core/events.ts";
import { readLockText, writeLockText } from "../adapters/local-host/recipe-files.ts";
import { declarationOf } from "../engine/declared-checks.ts";
import type { CycleWork } from "../engine/cycle-work.ts";
import type { CascadeParts } from "../engine/cascade.ts";
import type { BakeResult } from "../engine/bake-input.ts";
import type { NotifyPlace } from "../engine/deliver-notices.ts";
import type { Promoted } from "../engine/cycle-work.ts";
import type { CheckOutcome } from "../engine/check-image.ts";
import type { ImageDigest } from "../core/digest.ts";
import { PREDICATES } from "../core/papers/statement.ts";
import type { Candidate } from "../ports/cycle-records.ts";
import type { Delivery } from "../ports/notice-log.ts";
import { announceAudit, noticeFor, recipeCalled } from "./announce.ts";
import { createBakehouse, type Bakehouse, type LoadedRecipe, type LoadOptions } from "./create-bakehouse.ts";
import type { EmbeddedOptions } from "./embedded.ts";
import type { ImageParts } from "./images.ts";

/** Cycles of recipes on this machine. */
export interface Cycles {
  readonly bakehouse: Bakehouse;
  readonly parts: CascadeParts;
  /** @throws CYCLE_NOT_FOUND when the recipe declares no cycle; and what loading throws */
  work(path: string, options?: LoadOptions): CycleWork;
  /** Removes what runs that ended left for themselves. */
  tidy(): Promise<void>;
  /** Writes down what happened to a recipe, for those whom it names. */
  announce(recipe: string, happening: Happening): Promise<void>;
  /** Tells others what is pending, and what the audit log has that nobody was told of. @returns what was given up */
  deliver(signal: AbortSignal): Promise<readonly Delivery[]>;
  close(): Promise<void>;
}

export interface CyclesOptions extends EmbeddedOptions {
  readonly onEvent?: (event: BakehouseEvent) => void;
}

export function openCycles(options: CyclesOptions): Cycles {
  const bakehouse = createBakehouse(options);
  const { parts } = bakehouse;
  let opened: Promise<ImageParts> | undefined;
  const images = (): Promise<ImageParts> => (opened ??= import("./images.ts").then(({ openImages }) => openImages(options)));
  const work = (path: string, loadOptions: LoadOptions = {}): CycleWork =>
    cycleWork(bakehouse, images, bakehouse.load(path, loadOptions), options);
  return {
    bakehouse,
    parts: {
      clock: parts.clock,
      baker: parts.baker,
      reach: parts.reach,
      newId: parts.newBakeId,
      records: () => parts.catalog().cycles,
      store: parts.store,
      digestOf: parts.hasher.digestOf,
      standingOn: (recipe) => standingOn(bakehouse, work, recipe),
    },
    work,
    tidy: () => tidy(bakehouse),
    announce: async (recipe, happening) =>
      parts.catalog().notices.add([noticeFor(bakehouse, await recipeCalled(bakehouse, recipe), happening)]),
    deliver: async (signal) => {
      await announceAudit(bakehouse);
      const { deliverNotices } = await import("../engine/deliver-notices.ts");
      const { localMessenger } = await import("../adapters/messenger/index.ts");
      const { sleep } = await import("../adapters/local-host/clock.ts");
      const place = (file: string): NotifyPlace | undefined => notifyPlace(bakehouse, file);
      return deliverNotices({ notices: parts.catalog().notices, messenger: localMessenger, place, sleep }, signal);
    },
    close: async () => {
      await opened?.then((parts) => parts.close());
      await bakehouse.close();
    },
  };
}

function notifyPlace(bakehouse: Bakehouse, file: string): NotifyPlace | undefined {
  try {
    const { recipe } = bakehouse.load(file);
    return {
      folder: recipe.folder,
      targets: recipe.notify ?? [],
      secret: (name) => bakehouse.parts.secrets(recipe).resolve([name]).get(name) ?? "",
    };
  } catch (error) {
    if (!(error instanceof BakehouseError)) throw error;
    return undefined;
  }
}

function cycleWork(bakehouse: Bakehouse, images: () => Promise<ImageParts>, loaded: LoadedRecipe, options: CyclesOptions): CycleWork {
  const { onEvent = () => undefined } = options;
  const { recipe } = loaded;
  const { parts } = bakehouse;
  const settings = recipe.cycle;
  if (settings === undefined)
    throw new BakehouseError("CYCLE_NOT_FOUND", `${loaded.shownAs} declares no cycle`, {
      hint: "add for example `cycle: { schedule: every second Monday at 03:00 Europe/Warsaw }`",
    });
  const own = (run: string): LoadedRecipe => ({ ...loaded, lockFile: join(runFolder(bakehouse, run), "bakehouse.lock") });
  return {
    file: recipe.file,
    recipe: recipe.name,
    settings,
    look: (signal) => look(bakehouse, loaded, signal),
    lock: async (run, signal) => {
      const copy = own(run);
      copyLock(loaded.lockFile, copy.lockFile);
      const outcome = await bakehouse.lock(copy, { update: true, write: false, signal, onEvent });
      const before = readLockText(copy.lockFile);
      const locked = before === undefined ? undefined : parseLock(before, { file: copy.lockFile, hash: parts.hasher.digestOf });
      refuseSetbacks([...outcome.wentBack, ...setbacksOf(locked, outcome.changes, outcome.releases)]);
      const needsNone = before === undefined && Object.keys({ ...outcome.lock.steps, ...outcome.lock.parents }).length === 0;
      if (needsNone) return { changed: false, changes: [] };
      if (outcome.changed) writeLockText(movedLock(copy.lockFile), outcome.text, () => undefined);
      return { changed: outcome.changed, changes: formatLockChanges(outcome.changes) };
    },
    bake: async (run, signal) => {
      const { lockFile } = own(run);
      const moved = existsSync(movedLock(lockFile)) ? movedLock(lockFile) : loaded.lockFile;
      return topsOf(recipe, await bakehouse.bake({ ...loaded, lockFile: moved }, { signal, onEvent }));
    },
    isChecked: async ({ digest }) => isChecked(await images(), digest),
    check: async ({ digest }, signal) => {
      if ((declarationOf(parts.papers, digest)?.checks ?? []).length === 0) return undefined;
      const outcome = await bakehouse.check(digest, { signal, onEvent });
      await parts.catalog().notices.add([noticeFor(bakehouse, recipe, checkedHappening(outcome))]);
      const bad = outcome.results.filter((result) => result.verdict !== "passed");
      return { verdict: outcome.verdict, notPassed: bad.map(({ name, verdict: found, summary }) => `${name} (${found}): ${summary}`) };
    },
    papers: async ({ digest }, signal) => {
      const { writePapersOfLineage } = await import("../engine/write-papers.ts");
      const written = await writePapersOfLineage(await (await images()).paperParts(), digest, { only: false, signal });
      return written.reduce((sum, { papers }) => sum + papers.length, 0);
    },
    publish: (run) => Promise.resolve(publish(own(run).lockFile, loaded.lockFile)),
    promote: async (candidate) => {
      const [first] = recipe.channels;
      return first === undefined ? undefined : promote(await images(), options, recipe, candidate, first.name);
    },
    clean: (run) => rmSync(runFolder(bakehouse, run), { recursive: true, force: true }),
    notice: (happening) => noticeFor(bakehouse, recipe, happening),
  };
}

/** The newest evidence says something about all that the image promises by now. */
async function isChecked(images: ImageParts, digest: ImageDigest): Promise<boolean> {
  const papers = await images.papers();
  const [declared] = papers.of(digest, PREDICATES.declaredChecks);
  const [evidence] = papers.of(digest, PREDICATES.checks);
  return declared === undefined || (evidence !== undefined && evidence.writtenAt >= declared.writtenAt);
}

/** What others are told of a run of checks. */
export const checkedHappening = ({
  name,
  image,
  verdict,
  platform,
  results,
}: Pick<CheckOutcome, "name" | "image" | "verdict" | "platform" | "results">): Happening => ({
  type: "check.finished",
  subject: name,
  data: {
    image: { name, digest: image },
    verdict,
    platform,
    notPassed: results.filter((result) => result.verdict !== "passed").map((result) => result.name),
  },
});

/** What a gate says against it is an answer, not a failure: a later run promotes it. */
async function promote(
  images: ImageParts,
  { env = process.env }: CyclesOptions,
  recipe: Recipe,
  { digest }: Candidate,
  channel: string,
): Promise<Promoted> {
  const { channelParts } = await import("./channels.ts");
  const { declareChannels } = await import("../engine/declare-channels.ts");
  const { promoteImage } = await import("../engine/promote-image.ts");
  const parts = channelParts(images, env);
  await declareChannels(parts, recipe);
  try {
    await promoteImage(parts, { image: digest, to: channel });
    return { channel, unmet: [] };
  } catch (error) {
    if (!(error instanceof BakehouseError) || (error.code !== "PROMOTION_BLOCKED" && error.code !== "CHANNEL_MOVED")) throw error;
    return {
      channel,
      unmet: error.message
        .split("\n")
        .slice(error.code === "CHANNEL_MOVED" ? 0 : 1)
        .map((line) => line.trim()),
    };
  }
}

/** `<store>/cycles/<run>/`: the lock as it was when the run began, and as the run moved it. */
const runFolder = ({ parts }: Bakehouse, run: string): string => parts.store.path("cycles", run);

const movedLock = (copy: string): string => join(dirname(copy), "moved.lock");

/** Once: what a run starts from does not change when it goes on after a crash. */
function copyLock(from: string, to: string): void {
  mkdirSync(dirname(to), { recursive: true });
  if (existsSync(join(dirname(to), "begun"))) return;
  if (existsSync(from)) copyFileSync(from, to);
  mkdirSync(join(dirname(to), "begun"), { recursive: true });
}

/** The recipe's lock moves only if it still is what the run started from. */
function publish(copy: string, lockFile: string): "written" | "unchanged" | "edited" {
  const moved = readLockText(movedLock(copy));
  const now = readLockText(lockFile);
  if (moved === undefined || now === moved) return "unchanged";
  if (now !== readLockText(copy)) return "edited";
  writeLockText(lockFile, moved, () => undefined);
  return "written";
}

async function look(bakehouse: Bakehouse, loaded: LoadedRecipe, signal: AbortSignal): Promise<readonly Finding[]> {
  const outcome = await bakehouse.lock(loaded, { update: true, write: false, signal });
  const text = readLockText(loaded.lockFile);
  const locked = text === undefined ? undefined : parseLock(text, { file: loaded.lockFile, hash: bakehouse.parts.hasher.digestOf });
  refuseSetbacks([...outcome.wentBack, ...setbacksOf(locked, outcome.changes, outcome.releases)]);
  return [...findingsOf(outcome.changes, outcome.lock), ...changedSources(bakehouse, loaded)];
}

/** Foundations whose files are others than when they were baked last. */
function changedSources(bakehouse: Bakehouse, loaded: LoadedRecipe): readonly Finding[] {
  const foundations = new Set(loaded.steps.filter(({ definition }) => definition.role === "foundation").map(({ step }) => step.address));
  const steps = planned(bakehouse, loaded).filter(({ address, reason }) => foundations.has(address) && reason?.kind === "inputs-changed");
  return steps.length === 0 ? [] : [{ trigger: "sources", what: steps.map(({ address }) => address).join(", ") }];
}

/** A lock that is missing or stale has nothing to plan with; the run itself makes one. */
function planned(bakehouse: Bakehouse, loaded: LoadedRecipe): ReturnType<Bakehouse["plan"]>["layers"][number]["steps"] {
  try {
    return bakehouse.plan(loaded).layers.flatMap(({ steps }) => steps);
  } catch (error) {
    if (error instanceof BakehouseError && (error.code === "LOCK_MISSING" || error.code === "LOCK_STALE")) return [];
    throw error;
  }
}

/** What nothing else of the recipe stands on. */
function topsOf(recipe: Recipe, { images }: BakeResult): readonly Candidate[] {
  const parents = new Set(recipe.layers.flatMap(({ from }) => (from !== undefined && "layer" in from ? [from.layer] : [])));
  return images.filter(({ layer, kind }) => !parents.has(layer) && kind !== "launch").map(({ name, digest }) => ({ name, digest }));
}

async function standingOn(bakehouse: Bakehouse, work: (path: string) => CycleWork, recipe: string): Promise<readonly CycleWork[]> {
  const known = await bakehouse.parts.catalog().cycles.known();
  return known.flatMap(({ file }) => {
    try {
      const { recipe: other } = bakehouse.load(file);
      const isAbove = other.layers.some(({ from }) => from !== undefined && "image" in from && isOf(from.image, recipe));
      return isAbove && other.cycle?.triggers.includes("parent") === true ? [work(file)] : [];
    } catch (error) {
      if (!(error instanceof BakehouseError)) throw error;
      return []; // gone, or broken for the moment: its own turn says so
    }
  });
}

/** `shop`, `shop/base`, `shop/base@stable` */
const isOf = (reference: string, recipe: string): boolean => /^[^/@]+/.exec(reference)?.[0] === recipe;

async function tidy({ parts }: Bakehouse): Promise<void> {
  const folder = parts.store.path("cycles");
  if (!existsSync(folder)) return;
  const runs = await parts.catalog().cycles.runs({ limit: 1000 });
  const unfinished = new Set(runs.filter(({ outcome }) => outcome === "running" || outcome === "paused").map(({ id }) => id));
  for (const name of readdirSync(folder)) if (!unfinished.has(name)) rmSync(join(folder, name), { recursive: true, force: true });
}
