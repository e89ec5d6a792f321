import { hexOf, isSha256, shortDigest, type DiffId, type ImageDigest, type Sha256 } from "../core/digest.ts";
import { BakehouseError } from "../core/errors.ts";
import { judgeRetention, type Judgement, type KeepableImage, type RetentionFacts } from "../core/retention/judge.ts";
import { ANNOTATIONS, type IndexEntry } from "../core/image/oci.ts";
import type { Catalog, ImageKind } from "../ports/catalog.ts";
import type { Cells, CellState } from "../ports/cells.ts";
import type { ReachPoint } from "../ports/crash-points.ts";
import type { Clock } from "../ports/host.ts";
import type { ImageMounts } from "../ports/image-mounts.ts";
import type { StoreArea, StoreContents, StoreItem } from "../ports/store-contents.ts";
import type { StepRecord, Store } from "../ports/store.ts";
import { allAttached, blobsOfList } from "./attached.ts";
import { channelPins } from "./channel-pins.ts";
import { nameOf } from "./find-image.ts";
import { kindOf } from "./image-content.ts";
import { listSetAside, writeSetAside, type SetAside } from "./set-aside.ts";
import { VOLUME_STEP } from "./plan-bake.ts";
import { needsOf, parentsOf } from "./references.ts";
import { STORE_CONTENT_LOCK } from "../core/store-lock.ts";

export interface CollectGarbageParts {
  readonly store: Store;
  readonly contents: StoreContents;
  readonly mounts: Pick<ImageMounts, "list" | "unmount">;
  readonly cells: Pick<Cells, "list" | "find">;
  readonly clock: Clock;
  catalog(): Promise<Pick<Catalog, "bakes" | "removeImages" | "ledger">>;
  /** Images that fleets need, and why. */
  readonly fleetPins?: ReadonlyMap<ImageDigest, string>;
  /** Told at the moments that tests let it die at. */
  readonly reach?: ReachPoint;
}

export interface CollectGarbageOptions {
  /** Remove; otherwise only say what would be. */
  readonly apply: boolean;
  /** How many of the newest images of each name to keep, those counted to which the name no longer points. */
  readonly keep: number;
  /** `retention:` of the recipes that can be asked; default: none has any. */
  readonly rules?: RetentionFacts["rules"];
  /** How long an image whose recipe says nothing can be brought back. Default 0: it goes at once. Milliseconds. */
  readonly graceMs?: number;
  /** What no image names yet, and what a failed step left, is kept while younger than this: a failed bake goes on from there. Milliseconds. */
  readonly recentMs: number;
  /** What locks may name (packages, downloads, recordings) goes when it was not used for so long. Milliseconds. */
  readonly packagesOlderThanMs: number;
  /** Remove all of it, however young. */
  readonly packages: boolean;
  readonly signal: AbortSignal;
}

export type GarbageKind = ImageKind | "papers" | "step" | "diff" | "blob" | "mount" | "cell" | "work" | StoreArea;

/** One thing of the store, and what is to become of it. */
export interface GarbageItem {
  readonly kind: GarbageKind;
  readonly id: string;
  readonly name?: string;
  /** Bytes on disk that are freed with it; an image by itself is small, its blobs and diffs are things of their own. */
  readonly sizeBytes: number;
  readonly keep: boolean;
  readonly why: string;
  /** An image that can be brought back until then, ISO 8601: it goes out of sight, and nothing is freed yet. */
  readonly until?: string;
}

export interface GarbageReport {
  readonly applied: boolean;
  readonly items: readonly GarbageItem[];
  readonly keptBytes: number;
  readonly removedBytes: number;
  /** Bakes that run now; results of theirs are left alone. */
  readonly running: readonly string[];
  /** Why something that should go is still there. */
  readonly notes: readonly string[];
}

/**
 * Finds what nothing refers to, and removes it with `apply`. Referred to are: images with a name, in a channel or in use, those that
 * `retention:` or `keep` keep, what those were baked onto, the papers of all these, mounts, running bakes and shells, kept failures,
 * and whatever any of these stands on. An image with a grace time is set aside first, and goes when that is over.
 *
 * What happens at the same time: index entries and step records go first; then it is looked again whether a bake runs. One
 * that began before may have taken a record from the cache, so then nothing it may stand on is removed in this run. One that
 * begins later finds no record of what goes. Imports wait for the lock.
 *
 * @throws STORE_READ_ONLY (apply), STORE_DAMAGED (the index cannot be read: nothing would be referred to), CANCELLED
 */
export async function collectGarbage(parts: CollectGarbageParts, options: CollectGarbageOptions): Promise<GarbageReport> {
  const { store } = parts;
  if (options.apply && store.readOnly)
    throw new BakehouseError("STORE_READ_ONLY", `The store ${store.root} cannot be written to`, {
      hint: "run as a user who may write to it",
    });
  const running = await runningBakes(parts);
  if (!options.apply) return reportOf(survey(parts, options, running, await surroundings(parts, options)), running, false, []);
  return store.withLock(STORE_CONTENT_LOCK, { signal: options.signal }, () => sweep(parts, options, running));
}

const runningBakes = async (parts: CollectGarbageParts): Promise<readonly string[]> =>
  (await (await parts.catalog()).bakes({ limit: 1000 })).filter(({ outcome }) => outcome === "running").map(({ id }) => id);

async function sweep(parts: CollectGarbageParts, options: CollectGarbageOptions, running: readonly string[]): Promise<GarbageReport> {
  const { store, contents } = parts;
  store.tidy();
  const around = await surroundings(parts, options);
  const found = survey(parts, options, running, around);
  await removeImages(parts, found.filter(isGoing("image", "volume", "launch")), around);
  for (const { id } of found.filter(isGoing("papers"))) await store.referrers.remove(id as ImageDigest);
  for (const { id } of found.filter(isGoing("step"))) contents.removeStepFile(id);
  parts.reach?.("gc-records-removed");
  options.signal.throwIfAborted();
  const begun = await runningBakes(parts);
  const notes =
    begun.length === 0
      ? []
      : [
          `${begun.length === 1 ? `Bake ${begun[0] ?? ""} is` : `${begun.length} bakes are`} running: blobs, diffs and packages stay until it is done; run gc again then`,
        ];
  // index and records may have changed meanwhile: what something refers to now stays
  const still = new Map(survey(parts, options, begun, await surroundings(parts, options)).map((item) => [keyOf(item), item]));
  const items: GarbageItem[] = [];
  for (const item of found) {
    options.signal.throwIfAborted();
    const now = still.get(keyOf(item)) ?? item;
    const isRecord = isImage(item.kind) || item.kind === "step" || item.kind === "papers";
    if (item.keep || isRecord) items.push(item);
    else if (now.keep || (begun.length > 0 && MAY_BE_IN_USE.includes(item.kind)))
      items.push({ ...item, keep: true, why: now.keep ? now.why : "a bake is running" });
    else {
      await removeItem(parts, item);
      if (item.kind === "blob") parts.reach?.("gc-blob-removed");
      items.push(item);
    }
  }
  return reportOf(items, begun, true, notes);
}

/** What is not in the index: what channels and cells need, and what is set aside. */
interface Surroundings {
  readonly pins: ReadonlyMap<ImageDigest, string>;
  readonly aside: readonly SetAside[];
}

async function surroundings(parts: CollectGarbageParts, { rules }: CollectGarbageOptions): Promise<Surroundings> {
  const pins = await channelPins(await parts.catalog(), (name, channel) => {
    const own = rules?.(name.split("/")[0] ?? "");
    return typeof own === "object" ? own.channels[channel] : undefined;
  });
  const ran = parts.cells
    .list()
    .filter(isHeldCell)
    .map(({ name, image }) => [image.digest, `cell ${name} runs it`] as const);
  return { pins: new Map([...ran, ...(parts.fleetPins ?? []), ...pins]), aside: listSetAside(parts.store) };
}

/** First the note, then the index, then the catalog: whatever ends it in between, nothing is lost and the next one finishes. */
async function removeImages(parts: CollectGarbageParts, going: readonly GarbageItem[], { aside }: Surroundings): Promise<void> {
  const { store } = parts;
  if (going.length === 0) return;
  const known = new Set(aside.map(({ entry }) => entry.digest));
  const at = parts.clock.now().toISOString();
  const entries = new Map(store.images.entries().map((entry) => [entry.digest, entry]));
  const setAside = going.flatMap(({ id, until, why }): readonly SetAside[] => {
    const entry = entries.get(id as ImageDigest);
    return until === undefined || entry === undefined ? [] : [{ entry, at, until, why }];
  });
  const over = going.filter(({ id }) => known.has(id as ImageDigest)).map(({ id }) => id as ImageDigest);
  if (setAside.length + over.length > 0) writeSetAside(store, setAside, over);
  parts.reach?.("gc-set-aside");
  const images = going.map(({ id }) => id as ImageDigest).filter((digest) => !known.has(digest));
  if (images.length > 0) await store.images.remove(images);
  parts.reach?.("gc-index-written");
  if (images.length > 0) await (await parts.catalog()).removeImages(images);
}

const MAY_BE_IN_USE: readonly GarbageKind[] = ["blob", "diff", "packages", "recorded", "downloads", "lent", "apt", "plans", "temporary"];

const isImage = (kind: GarbageKind): kind is ImageKind => kind === "image" || kind === "volume" || kind === "launch";

const isGoing =
  (...kinds: readonly GarbageKind[]) =>
  (item: GarbageItem): boolean =>
    !item.keep && kinds.includes(item.kind);

const keyOf = ({ kind, id }: GarbageItem): string => `${kind} ${id}`;

async function removeItem({ store, contents, mounts, cells }: CollectGarbageParts, item: GarbageItem): Promise<void> {
  if (item.kind === "blob") store.blobs.remove(item.id as Sha256);
  else if (item.kind === "diff") store.diffs.remove(item.id);
  else if (item.kind === "work") contents.removeWorkFolder(item.id);
  else if (item.kind === "cell") await cells.find(item.id).stop({ now: true });
  else if (item.kind === "mount") {
    const record = mounts.list().find(({ id }) => id === item.id);
    if (record !== undefined) await mounts.unmount(record);
  } else if (!isImage(item.kind) && item.kind !== "step" && item.kind !== "papers")
    contents.removeItem({ path: item.id, sizeBytes: item.sizeBytes, usedAt: "" });
}

function reportOf(items: readonly GarbageItem[], running: readonly string[], applied: boolean, notes: readonly string[]): GarbageReport {
  const sum = (keep: boolean): number => items.filter((item) => item.keep === keep).reduce((total, item) => total + item.sizeBytes, 0);
  return { applied, items, keptBytes: sum(true), removedBytes: sum(false), running, notes };
}

/** Everything in the store with a verdict. */
function survey(
  parts: CollectGarbageParts,
  options: CollectGarbageOptions,
  running: readonly string[],
  around: Surroundings,
): readonly GarbageItem[] {
  const nowMs = parts.clock.now().getTime();
  const images = [...judgeImages(parts.store, options, around, nowMs), ...judgeSetAside(around, nowMs)];
  const references = new References();
  for (const { entry, item } of images) if (staysOnDisk(item)) references.addImage(parts.store, entry);
  const papers = judgePapers(parts.store, images, references);
  const holders = judgeHolders(parts, options, references, nowMs);
  const steps = judgeSteps(parts, options, references, nowMs, running);
  return [
    ...images.map(({ item }) => item),
    ...papers,
    ...holders,
    ...steps,
    ...judgeDiffs(parts, options, references, nowMs),
    ...judgeBlobs(parts, options, references, nowMs),
    ...judgeAreas(parts, options, nowMs),
  ];
}

/** Also of what goes out of sight now: it can be brought back. */
const staysOnDisk = ({ keep, until }: GarbageItem): boolean => keep || until !== undefined;

/** Who needs a blob or diff, by digest: the first that says so, for the report. */
class References {
  private readonly blobs = new Map<Sha256, string>();
  private readonly diffs = new Map<DiffId, string>();

  addImage(store: Store, entry: IndexEntry): void {
    const who = `image ${nameOf(entry) || shortDigest(entry.digest)}`;
    const needs = needsOf(store, entry);
    for (const digest of needs.blobs) this.add(this.blobs, digest, who);
    for (const diff of needs.diffs) {
      this.add(this.diffs, diff, who);
      this.add(this.blobs, diff, who);
    }
  }

  addBlobs(digests: readonly Sha256[], who: string): void {
    for (const digest of digests) this.add(this.blobs, digest, who);
  }

  addUse(digests: readonly Sha256[], who: string): void {
    for (const digest of digests) {
      this.add(this.blobs, digest, who);
      this.add(this.diffs, digest, who);
    }
  }

  whoNeedsBlob(digest: Sha256): string | undefined {
    return this.blobs.get(digest);
  }

  diffsByName(store: Store): ReadonlyMap<string, string> {
    return new Map([...this.diffs].map(([diff, who]) => [store.diffs.name(diff), who]));
  }

  private add(map: Map<Sha256, string>, digest: Sha256, who: string): void {
    if (!map.has(digest)) map.set(digest, who);
  }
}

interface JudgedImage {
  readonly entry: IndexEntry;
  readonly item: GarbageItem;
}

function judgeImages(store: Store, options: CollectGarbageOptions, { pins }: Surroundings, nowMs: number): readonly JudgedImage[] {
  const entries = store.images.entries().filter(({ digest }) => isSha256(digest));
  const judged = judgeRetention({
    images: entries.map((entry) => keepable(store, entry)),
    rules: options.rules ?? (() => undefined),
    keep: options.keep,
    graceMs: options.graceMs ?? 0,
    pins,
    nowMs,
  });
  return entries.map((entry): JudgedImage => ({ entry, item: itemOf(entry, judged.get(entry.digest)) }));
}

function itemOf(entry: IndexEntry, judgement: Judgement | undefined): GarbageItem {
  const common = { kind: kindOf(entry), id: entry.digest, name: nameOf(entry), sizeBytes: 0 };
  if (judgement?.verdict !== "goes") return { ...common, keep: true, why: judgement?.why ?? "" };
  const { untilMs, why } = judgement;
  return { ...common, keep: false, why, ...(untilMs === undefined ? {} : { until: new Date(untilMs).toISOString() }) };
}

function keepable(store: Store, entry: IndexEntry): KeepableImage {
  const { annotations, digest } = entry;
  const restored = Date.parse(annotations[ANNOTATIONS.restored] ?? "");
  const bakedAt = Date.parse(annotations[ANNOTATIONS.bakedAt] ?? "");
  return {
    digest,
    name: nameOf(entry),
    recipe: annotations[ANNOTATIONS.recipe] ?? "",
    layer: annotations[ANNOTATIONS.layer] ?? "",
    bakedAtMs: Number.isNaN(bakedAt) ? 0 : bakedAt,
    isNamed: annotations[ANNOTATIONS.name] !== undefined,
    ...(Number.isNaN(restored) ? {} : { restoredAtMs: restored }),
    parents: parentsOf(store, entry),
  };
}

const judgeSetAside = ({ aside }: Surroundings, nowMs: number): readonly JudgedImage[] =>
  aside.map(({ entry, until, at }): JudgedImage => {
    const keep = !(nowMs >= Date.parse(until));
    const common = { kind: kindOf(entry), id: entry.digest, name: nameOf(entry), sizeBytes: 0, keep };
    const why = keep
      ? `set aside on ${at.slice(0, 10)}; goes after ${until.slice(0, 16)}Z, until then: bakehouse gc --restore ${shortDigest(entry.digest)}`
      : `was set aside until ${until.slice(0, 16)}Z, and nobody brought it back`;
    return { entry, item: { ...common, why } };
  });

/** Papers, and whatever else is attached to an image, stay and go with it. */
function judgePapers(store: Store, images: readonly JudgedImage[], references: References): readonly GarbageItem[] {
  const byDigest = new Map(images.map((image) => [image.entry.digest, image]));
  return [...allAttached(store)].map(([subject, list]): GarbageItem => {
    const image = byDigest.get(subject);
    const name = image === undefined ? "" : nameOf(image.entry);
    const keep = image !== undefined && staysOnDisk(image.item);
    if (keep) references.addBlobs(blobsOfList(list), `the papers of ${name || shortDigest(subject)}`);
    const why = keep
      ? image.item.keep
        ? "their image is kept"
        : "their image is set aside"
      : image === undefined
        ? "their image is not in this store"
        : "their image goes";
    return { kind: "papers", id: subject, ...(name === "" ? {} : { name }), sizeBytes: 0, keep, why };
  });
}

const isHeldCell = ({ status }: CellState): boolean => status === "starting" || status === "running";

/** Mounts, cells, running work and kept failures: they keep what they stand on. */
function judgeHolders(
  { contents, mounts, cells }: CollectGarbageParts,
  { recentMs }: CollectGarbageOptions,
  references: References,
  nowMs: number,
): readonly GarbageItem[] {
  const items: GarbageItem[] = [];
  for (const mount of mounts.list()) {
    if (mount.mounted)
      references.addUse(
        [...mount.source.diffs, mount.image, ...(mount.source.volume === undefined ? [] : [mount.source.volume.blob])],
        `the mount at ${mount.directory}`,
      );
    items.push({
      kind: "mount",
      id: mount.id,
      name: mount.name,
      sizeBytes: 0,
      keep: mount.mounted,
      why: mount.mounted ? `mounted at ${mount.directory}` : `no longer mounted at ${mount.directory}`,
    });
  }
  for (const cell of cells.list()) {
    const { id, name, image, source } = cell;
    const keep = isHeldCell(cell);
    if (keep)
      references.addUse([...source.diffs, image.digest, ...(source.volume === undefined ? [] : [source.volume.blob])], `cell ${name}`);
    items.push({ kind: "cell", id, name, sizeBytes: 0, keep, why: keep ? `runs ${image.name}` : "has ended" });
  }
  for (const { id, sizeBytes, owner, keptAtMs, uses } of contents.workFolders()) {
    const holder = owner ?? (keptAtMs !== undefined && nowMs - keptAtMs < recentMs ? `the kept failure ${id}` : undefined);
    if (holder !== undefined) references.addUse(uses, holder);
    items.push({ kind: "work", id, sizeBytes, keep: holder !== undefined, why: whyWork(owner, keptAtMs, holder !== undefined) });
  }
  return items;
}

function whyWork(owner: string | undefined, keptAtMs: number | undefined, keep: boolean): string {
  if (owner !== undefined) return `${owner} is at work in it`;
  if (keptAtMs === undefined) return "its process is gone";
  return keep ? "kept for a look at a failed step: bakehouse shell --failed" : "what a failed step left, kept long enough for a look";
}

function judgeSteps(
  { store, contents }: CollectGarbageParts,
  options: CollectGarbageOptions,
  references: References,
  nowMs: number,
  running: readonly string[],
): readonly GarbageItem[] {
  const files = contents.stepFiles();
  return files.map(({ file, record, problem }): GarbageItem => {
    if (record === undefined) return { kind: "step", id: file, sizeBytes: 0, keep: false, why: `cannot be read: ${problem ?? ""}` };
    const verdict = judgeRecord(store, record, options, references, nowMs, running);
    return { kind: "step", id: file, name: record.address, sizeBytes: 0, ...verdict };
  });
}

/** A kept record keeps its result, too: the judgement of blobs and diffs comes after. */
function judgeRecord(
  store: Store,
  record: StepRecord,
  options: CollectGarbageOptions,
  references: References,
  nowMs: number,
  running: readonly string[],
): { readonly keep: boolean; readonly why: string } {
  if (!store.blobs.has(record.diffId)) return { keep: false, why: "its result is gone" };
  const who = references.whoNeedsBlob(record.diffId);
  if (who !== undefined) return { keep: true, why: `${who} is made of it` };
  const ageMs = nowMs - Date.parse(record.bakedAt);
  const recent = !(ageMs > options.recentMs); // an unreadable time counts as recent
  if (!recent && running.length === 0) return { keep: false, why: "no image that is kept is made of it" };
  references.addUse(record.address.endsWith(VOLUME_STEP) ? [record.diffId] : [record.diffId], `the recent step ${record.address}`);
  return { keep: true, why: recent ? "baked recently: a bake may go on from there" : "a bake is running" };
}

function judgeDiffs(
  { store, contents }: CollectGarbageParts,
  options: CollectGarbageOptions,
  references: References,
  nowMs: number,
): readonly GarbageItem[] {
  const needed = references.diffsByName(store);
  const blobSizes = new Map(store.blobs.list().map((digest) => [store.diffs.name(digest), digest]));
  return store.diffs.list().map((name): GarbageItem => {
    const who = needed.get(name);
    const blob = blobSizes.get(name);
    // as large as its tar; walking every folder would take longer than all the rest
    const sizeBytes = blob === undefined ? contents.diffSizeBytes(name) : store.blobs.sizeBytes(blob);
    return { kind: "diff", id: name, sizeBytes, ...verdictOf(who, nowMs - contents.diffTime(name), options) };
  });
}

const judgeBlobs = (
  { store, contents }: CollectGarbageParts,
  options: CollectGarbageOptions,
  references: References,
  nowMs: number,
): readonly GarbageItem[] =>
  store.blobs.list().map((digest): GarbageItem => ({
    kind: "blob",
    id: digest,
    sizeBytes: store.blobs.sizeBytes(digest),
    ...verdictOf(references.whoNeedsBlob(digest), nowMs - contents.blobTime(digest), options),
  }));

/** Between a blob and the record that names it lie milliseconds; an hour is a guess that no machine is that slow. */
const FRESH_MS = 60 * 60 * 1000;

function verdictOf(
  who: string | undefined,
  ageMs: number,
  options: CollectGarbageOptions,
): { readonly keep: boolean; readonly why: string } {
  if (who !== undefined) return { keep: true, why: `${who} needs it` };
  if (ageMs < Math.min(FRESH_MS, options.recentMs)) return { keep: true, why: "written just now" };
  return { keep: false, why: "nothing refers to it" };
}

const WORDS: Readonly<Record<StoreArea, string>> = {
  packages: "package",
  recorded: "recording",
  downloads: "download",
  lent: "lent tools",
  apt: "package lists",
  plans: "note",
  logs: "log",
  artifacts: "list of contents",
  snapshots: "machine to clone",
  temporary: "half-written file",
};

function judgeAreas({ store, contents }: CollectGarbageParts, options: CollectGarbageOptions, nowMs: number): readonly GarbageItem[] {
  const present = new Set(
    store.images
      .entries()
      .filter(({ digest }) => isSha256(digest))
      .map(({ digest }) => hexOf(digest)),
  );
  const judged = (
    area: StoreArea,
    verdict: (item: StoreItem, ageMs: number) => { readonly keep: boolean; readonly why: string },
  ): readonly GarbageItem[] =>
    contents.items(area).map((item): GarbageItem => ({
      kind: area,
      id: item.path,
      sizeBytes: item.sizeBytes,
      ...verdict(item, nowMs - Date.parse(item.usedAt)),
    }));
  const named = (area: StoreArea): readonly GarbageItem[] =>
    judged(area, (_item, ageMs) => {
      if (options.packages) return { keep: false, why: "--packages" };
      const keep = ageMs < options.packagesOlderThanMs;
      return {
        keep,
        why: `${WORDS[area]}: ${keep ? "used" : "not used"} in the last ${days(options.packagesOlderThanMs)}; locks may name it`,
      };
    });
  return [
    ...(["packages", "recorded", "downloads", "lent"] as const).flatMap(named),
    ...judged("temporary", (_item, ageMs) =>
      ageMs > FRESH_MS ? { keep: false, why: "half-written, and its writer is gone" } : { keep: true, why: "may still be being written" },
    ),
    ...judged("artifacts", ({ path }) =>
      present.has(/([0-9a-f]{64})\.content$/.exec(path)?.[1] ?? "")
        ? { keep: true, why: `${WORDS.artifacts}: the image is here` }
        : { keep: false, why: `${WORDS.artifacts}: the image is gone` },
    ),
    ...judged("snapshots", ({ image, usedBy }, ageMs) => {
      const what = WORDS.snapshots;
      if (usedBy !== undefined) return { keep: true, why: `${what}: ${usedBy} runs from it` };
      if (image === undefined || !present.has(hexOf(image))) return { keep: false, why: `${what}: the image is gone` };
      const keep = ageMs < options.packagesOlderThanMs;
      return { keep, why: `${what}: ${keep ? "used" : "not used"} in the last ${days(options.packagesOlderThanMs)}` };
    }),
    ...(["apt", "plans", "logs"] as const).flatMap((area) =>
      judged(area, () => ({ keep: true, why: `${WORDS[area]}: gc leaves these alone` })),
    ),
  ];
}

const days = (ms: number): string => {
  const count = Math.round((ms / 86_400_000) * 10) / 10;
  return count === 1 ? "day" : `${count} days`;
};
