import { isSha256, shortDigest, type DiffId, type ImageDigest, type Sha256 } from "../core/digest.ts";
import { BakehouseError } from "../core/errors.ts";
import { ANNOTATIONS, MEDIA_TYPES, type Annotations, type Descriptor, type ImageManifest, type IndexEntry } from "../core/image/oci.ts";
import type { Catalog, CatalogImage } from "../ports/catalog.ts";
import type { Clock } from "../ports/host.ts";
import type { StepFile, StoreContents } from "../ports/store-contents.ts";
import type { Store } from "../ports/store.ts";
import { allAttached, blobsOfList, descriptorOfAttached, type AttachedList } from "./attached.ts";
import { nameOf } from "./find-image.ts";
import { imagesFromStore } from "./images-from-store.ts";
import { VOLUME_STEP } from "./plan-bake.ts";
import { needsOf } from "./references.ts";
import { STORE_CONTENT_LOCK } from "../core/store-lock.ts";

export interface VerifyStoreParts {
  readonly store: Store;
  readonly contents: StoreContents;
  readonly clock: Clock;
  catalog(): Promise<Pick<Catalog, "images" | "putImages" | "removeImages">>;
}

export interface VerifyOptions {
  /** Also compare the contents and extended attributes of unpacked diffs. Their tars are re-hashed always. */
  readonly deep: boolean;
  readonly repair: boolean;
  readonly signal: AbortSignal;
  onProgress(doneBytes: number, totalBytes: number, what: string): void;
}

/** Something in the store that is not what its name says. */
export interface Damage {
  readonly kind: "blob" | "diff" | "step" | "image" | "papers" | "index" | "catalog";
  /** Digest, file name or image name. */
  readonly id: string;
  readonly problem: string;
  /** Images and steps that cannot be used because of it. */
  readonly affects: readonly string[];
  /** What `--repair` did. */
  readonly repaired?: string;
}

export interface VerifyResult {
  readonly blobs: number;
  readonly blobBytes: number;
  /** How long the hashing of the blobs alone took. */
  readonly hashingMs: number;
  readonly diffs: number;
  readonly steps: number;
  readonly images: number;
  readonly damaged: readonly Damage[];
  readonly durationMs: number;
  /** Nothing is damaged, or all of it was repaired so far that the next bake makes it again. */
  readonly sound: boolean;
}

/**
 * Reads the whole store again: every blob against its digest, every unpacked diff against its tar, every step record, the
 * index and the catalog. With `repair`, what is damaged is mended from what is whole, or taken away so that the next bake
 * makes it again; an image that stands on it stays in the index only if it can be used.
 *
 * @throws STORE_READ_ONLY (repair), CANCELLED
 */
export async function verifyStore(parts: VerifyStoreParts, options: VerifyOptions): Promise<VerifyResult> {
  const { store, clock } = parts;
  if (options.repair && store.readOnly)
    throw new BakehouseError("STORE_READ_ONLY", `The store ${store.root} cannot be written to, so nothing can be repaired`, {
      hint: "run as a user who may write to it",
    });
  const startedMs = clock.elapsedMs();
  const verification = new Verification(parts, options);
  const work = (): Promise<void> => verification.run();
  // what is just being added or taken away would look damaged
  await (store.readOnly ? work() : store.withLock(STORE_CONTENT_LOCK, { signal: options.signal }, work));
  const { damaged } = verification;
  return {
    ...verification.counts(),
    damaged,
    durationMs: Math.round(clock.elapsedMs() - startedMs),
    sound: damaged.every(({ repaired }) => repaired !== undefined),
  };
}

class Verification {
  readonly damaged: Damage[] = [];
  private readonly parts: VerifyStoreParts;
  private readonly options: VerifyOptions;
  private readonly bad = new Set<Sha256>();
  private readonly badDiffs = new Set<string>();
  private blobBytes = 0;
  private blobCount = 0;
  private hashingMs = 0;
  private diffCount = 0;
  private stepFiles: readonly StepFile[] = [];
  private entries: readonly IndexEntry[] = [];
  private attached: ReadonlyMap<ImageDigest, AttachedList> = new Map();

  constructor(parts: VerifyStoreParts, options: VerifyOptions) {
    this.parts = parts;
    this.options = options;
  }

  counts(): Pick<VerifyResult, "blobs" | "blobBytes" | "hashingMs" | "diffs" | "steps" | "images"> {
    return {
      blobs: this.blobCount,
      blobBytes: this.blobBytes,
      hashingMs: this.hashingMs,
      diffs: this.diffCount,
      steps: this.stepFiles.length,
      images: this.entries.length,
    };
  }

  async run(): Promise<void> {
    this.stepFiles = this.parts.contents.stepFiles();
    await this.verifyIndex();
    await this.verifyBlobs();
    await this.verifyDiffs();
    this.verifySteps();
    await this.verifyImages();
    await this.verifyPapers();
    await this.verifyCatalog();
  }

  private async verifyIndex(): Promise<void> {
    const { contents, store } = this.parts;
    const read = contents.readIndex();
    if ("problem" in read) {
      if (!this.options.repair) {
        this.damaged.push({ kind: "index", id: "oci/index.json", problem: read.problem, affects: ["every image"] });
        return;
      }
      contents.resetIndex();
      const restored = await this.restoredEntries();
      await store.images.put(restored);
      for (const [subject, manifests] of this.attachedByScan()) await store.referrers.add(subject, manifests);
      this.damaged.push({
        kind: "index",
        id: "oci/index.json",
        problem: read.problem,
        affects: ["every image"],
        repaired: `set aside and written again with ${restored.length} images from their manifests and the catalog`,
      });
    } else for (const entry of read.entries) await this.verifyEntry(entry);
    this.entries = store.images.entries().filter((entry) => isSha256(entry.digest));
    this.attached = allAttached(store);
  }

  /** An entry that no reader can make sense of. */
  private async verifyEntry(entry: unknown): Promise<void> {
    const digest = (entry as Partial<IndexEntry> | null)?.digest;
    if (typeof digest === "string" && isSha256(digest)) return;
    const problem = "an entry without a sound digest";
    if (this.options.repair) await this.parts.store.images.remove([digest as unknown as ImageDigest]);
    this.damaged.push({
      kind: "index",
      id: String(digest),
      problem,
      affects: [],
      ...(this.options.repair ? { repaired: "taken out" } : {}),
    });
  }

  /** Every manifest of an image (it says so, or the catalog does: of those that came from elsewhere) that is still there, with the lineage that the catalog has; the newest of each name gets the name. */
  private async restoredEntries(): Promise<readonly IndexEntry[]> {
    const { store } = this.parts;
    const known = new Map((await this.catalogImages()).map((image) => [image.digest, image]));
    const found = store.blobs
      .list()
      .map((digest) => ({ digest, manifest: smallManifest(store, digest), image: known.get(digest) }))
      .filter(
        (each): each is typeof each & { readonly manifest: ImageManifest } =>
          each.manifest !== undefined && (each.image !== undefined || each.manifest.annotations?.[ANNOTATIONS.title] !== undefined),
      )
      .sort((a, b) => ((a.image?.bakedAt ?? "") < (b.image?.bakedAt ?? "") ? 1 : -1));
    const taken = new Set<string>();
    return found.map(({ digest, manifest, image }): IndexEntry => {
      const name = image?.name ?? manifest.annotations?.[ANNOTATIONS.title] ?? "";
      const key = taken.has(name) ? ANNOTATIONS.bakedName : ANNOTATIONS.name;
      taken.add(name);
      return {
        mediaType: MEDIA_TYPES.manifest,
        ...(manifest.artifactType === undefined ? {} : { artifactType: manifest.artifactType }),
        digest,
        size: store.blobs.sizeBytes(digest),
        annotations: { ...manifest.annotations, ...lineageAnnotations(image), [key]: name },
      };
    });
  }

  private async catalogImages(): Promise<readonly CatalogImage[]> {
    return (await this.parts.catalog()).images();
  }

  /** Two at a time: while one is hashed the next is read. */
  private async verifyBlobs(): Promise<void> {
    const { store, contents, clock } = this.parts;
    const digests = store.blobs.list().filter((digest) => store.blobs.has(digest));
    const totalBytes = digests.reduce((sum, digest) => sum + store.blobs.sizeBytes(digest), 0);
    const queue = digests[Symbol.iterator]();
    const onBytes = (count: number): void => {
      this.blobBytes += count;
      this.options.onProgress(this.blobBytes, totalBytes, "blobs");
    };
    const worker = async (): Promise<void> => {
      for (const digest of queue) {
        this.blobCount += 1;
        const problem = await contents.hashBlob(digest, { signal: this.options.signal, onBytes }).then(
          (found) => (found === digest ? undefined : `holds ${found}`),
          (error: unknown) => unreadable(error),
        );
        if (problem !== undefined) this.blobDamaged(digest, problem);
      }
    };
    const startedMs = clock.elapsedMs();
    await Promise.all([worker(), worker()]);
    this.hashingMs = Math.round(clock.elapsedMs() - startedMs);
  }

  private blobDamaged(digest: Sha256, problem: string): void {
    this.bad.add(digest);
    const affects = this.affectedBy(digest);
    if (this.options.repair) this.parts.store.blobs.remove(digest);
    this.damaged.push({
      kind: "blob",
      id: digest,
      problem,
      affects,
      ...(this.options.repair ? { repaired: "removed; the next bake makes it again" } : {}),
    });
  }

  private affectedBy(digest: Sha256): readonly string[] {
    const { store } = this.parts;
    const images = this.entries
      .filter((entry) => needsOf(store, entry).blobs.includes(digest))
      .map((entry) => `image ${nameOf(entry)} (${shortDigest(entry.digest)})`);
    const papers = [...this.attached]
      .filter(([, list]) => blobsOfList(list).includes(digest))
      .map(([subject]) => `papers of ${this.imageName(subject)}`);
    const steps = this.stepFiles.filter(({ record }) => record?.diffId === digest).map(({ record }) => `step ${record?.address ?? ""}`);
    return [...images, ...papers, ...new Set(steps)];
  }

  private async verifyDiffs(): Promise<void> {
    const { store, contents } = this.parts;
    const byName = new Map([...this.wantedDiffs()].map((digest) => [store.diffs.name(digest), digest]));
    const blobsByName = new Map(store.blobs.list().map((digest) => [store.diffs.name(digest), digest]));
    const there = store.diffs.list();
    let done = 0;
    for (const name of there) {
      this.options.signal.throwIfAborted();
      this.options.onProgress(done++, there.length, "diffs");
      const diff = byName.get(name) ?? blobsByName.get(name);
      this.diffCount += 1;
      if (diff === undefined || !store.blobs.has(diff) || this.bad.has(diff)) {
        this.diffWithoutTar(name, diff);
        continue;
      }
      const differences = await contents.compareDiff(diff, { deep: this.options.deep, signal: this.options.signal });
      if (differences.length > 0)
        await this.diffDamaged(diff, `differs from its tar: ${differences.slice(0, 5).join("; ")}${differences.length > 5 ? " …" : ""}`);
    }
    const missing = [...byName].filter(([name, diff]) => !there.includes(name) && store.blobs.has(diff) && !this.bad.has(diff));
    for (const [, diff] of missing) await this.diffDamaged(diff, "is not unpacked");
  }

  /** Diffs that an image stands on or that a step record names. */
  private wantedDiffs(): ReadonlySet<DiffId> {
    const { store } = this.parts;
    const wanted = new Set(this.entries.flatMap((entry) => needsOf(store, entry).diffs));
    for (const { record } of this.stepFiles) if (record !== undefined && !record.address.endsWith(VOLUME_STEP)) wanted.add(record.diffId);
    return wanted;
  }

  private diffWithoutTar(name: string, diff: DiffId | undefined): void {
    // a diff that nothing names was left by a bake that stopped: no damage, gc takes it
    if (diff === undefined) return;
    this.badDiffs.add(name);
    if (this.options.repair) this.parts.store.diffs.remove(name);
    this.damaged.push({
      kind: "diff",
      id: name,
      problem: "its tar is missing or damaged, so it cannot be checked",
      affects: this.affectedBy(diff),
      ...(this.options.repair ? { repaired: "removed; the next bake makes it again" } : {}),
    });
  }

  private async diffDamaged(diff: DiffId, problem: string): Promise<void> {
    const { store, contents } = this.parts;
    const affects = this.affectedBy(diff);
    if (this.options.repair) await contents.restoreDiff(diff);
    else this.badDiffs.add(store.diffs.name(diff));
    this.damaged.push({
      kind: "diff",
      id: store.diffs.name(diff),
      problem,
      affects,
      ...(this.options.repair ? { repaired: "unpacked again from its tar" } : {}),
    });
  }

  private verifySteps(): void {
    const { contents } = this.parts;
    for (const { file, record, problem } of this.stepFiles) {
      const trouble = problem ?? (record === undefined ? "cannot be read" : this.stepProblem(record.diffId, record.address));
      if (trouble === undefined) continue;
      if (this.options.repair) contents.removeStepFile(file);
      const affects = record === undefined ? [] : [`step ${record.address}`];
      this.damaged.push({
        kind: "step",
        id: file,
        problem: trouble,
        affects,
        ...(this.options.repair ? { repaired: "removed; the next bake makes it again" } : {}),
      });
    }
  }

  private stepProblem(diff: DiffId, address: string): string | undefined {
    const { store } = this.parts;
    if (!store.blobs.has(diff) || this.bad.has(diff)) return `its result ${shortDigest(diff)} is missing or damaged`;
    if (!address.endsWith(VOLUME_STEP) && !store.diffs.has(diff)) return `its diff ${store.diffs.name(diff)} is missing`;
    return undefined;
  }

  /** Entries whose image cannot be used: some blob of it is missing or damaged. */
  private async verifyImages(): Promise<void> {
    const { store } = this.parts;
    const gone: ImageDigest[] = [];
    for (const entry of this.entries) {
      const needs = needsOf(store, entry);
      const missing = needs.blobs.filter((digest) => !store.blobs.has(digest) || this.bad.has(digest));
      if (missing.length === 0 && needs.problem === undefined) continue;
      gone.push(entry.digest);
      const problem = missing.length > 0 ? `lacks ${missing.map((digest) => shortDigest(digest)).join(", ")}` : (needs.problem ?? "");
      this.damaged.push({
        kind: "image",
        id: `${nameOf(entry)} (${shortDigest(entry.digest)})`,
        problem,
        affects: [],
        ...(this.options.repair ? { repaired: "taken out of the index; bake or import it again" } : {}),
      });
    }
    if (this.options.repair && gone.length > 0) {
      await store.images.remove(gone);
      this.entries = store.images.entries();
    }
  }

  /** Papers whose manifest or content is missing or damaged. Whether they are signed well is for `image verify`. */
  private async verifyPapers(): Promise<void> {
    for (const [subject, list] of this.attached) {
      if (list.problem !== undefined || this.bad.has(list.entry.digest))
        await this.paperListDamaged(subject, list.problem ?? "its list is damaged");
      else await this.verifyPapersOf(subject, list);
    }
  }

  private async paperListDamaged(subject: ImageDigest, problem: string): Promise<void> {
    const { referrers } = this.parts.store;
    const found = this.options.repair ? (this.attachedByScan().get(subject) ?? []) : [];
    if (this.options.repair) {
      await referrers.remove(subject);
      await referrers.add(subject, found);
    }
    this.papersDamaged(subject, problem, `written again from ${found.length === 1 ? "1 paper" : `${found.length} papers`} that are there`);
  }

  private async verifyPapersOf(subject: ImageDigest, { attached }: AttachedList): Promise<void> {
    const { store } = this.parts;
    for (const { descriptor, blobs, problem } of attached) {
      const missing = blobs.filter((digest) => !store.blobs.has(digest) || this.bad.has(digest));
      if (missing.length === 0 && problem === undefined) continue;
      if (this.options.repair) await store.referrers.remove(subject, [descriptor.digest]);
      const why = missing.length > 0 ? `lacks ${missing.map((digest) => shortDigest(digest)).join(", ")}` : (problem ?? "");
      const kind = descriptor.annotations?.[ANNOTATIONS.predicateType] ?? descriptor.artifactType ?? "something attached";
      this.papersDamaged(subject, `${kind} ${why}`, "taken off the image's papers; write it again");
    }
  }

  private papersDamaged(subject: ImageDigest, problem: string, repaired: string): void {
    this.damaged.push({
      kind: "papers",
      id: this.imageName(subject),
      problem,
      affects: [],
      ...(this.options.repair ? { repaired } : {}),
    });
  }

  private imageName(digest: ImageDigest): string {
    const entry = this.entries.find((each) => each.digest === digest);
    return `image ${entry === undefined ? shortDigest(digest) : `${nameOf(entry)} (${shortDigest(digest)})`}`;
  }

  /** What the manifests say that are there, and whole, as far as that is known. */
  private attachedByScan(): ReadonlyMap<ImageDigest, readonly Descriptor[]> {
    const { store } = this.parts;
    const found = new Map<ImageDigest, Descriptor[]>();
    for (const digest of store.blobs.list()) {
      const manifest = this.bad.has(digest) ? undefined : smallManifest(store, digest);
      const attached = manifest === undefined ? undefined : descriptorOfAttached(digest, store.blobs.sizeBytes(digest), manifest);
      if (attached !== undefined) found.set(attached.subject, [...(found.get(attached.subject) ?? []), attached.descriptor]);
    }
    return found;
  }

  private async verifyCatalog(): Promise<void> {
    const { store, contents } = this.parts;
    if ("problem" in contents.readIndex()) return;
    const wanted = new Map(imagesFromStore(store).map((image) => [image.digest, image]));
    const had = await this.catalogImages();
    const stale = had.filter(({ digest }) => !wanted.has(digest)).map(({ digest }) => digest);
    const known = new Map(had.map((image) => [image.digest, image]));
    const missing = [...wanted.values()].filter((image) => known.get(image.digest)?.name !== image.name);
    if (stale.length + missing.length === 0) return;
    if (this.options.repair) await this.mendCatalog(missing, stale);
    // what a repaired index has lost or found again is no damage of the catalog's own
    if (this.options.repair && this.damaged.some(({ kind }) => kind === "image" || kind === "index")) return;
    this.damaged.push({
      kind: "catalog",
      id: "catalog.db",
      problem: `${missing.length} images of the index are not in it, ${stale.length} in it are not in the index`,
      affects: [],
      ...(this.options.repair ? { repaired: "filled again from the store" } : {}),
    });
  }

  private async mendCatalog(missing: readonly CatalogImage[], stale: readonly ImageDigest[]): Promise<void> {
    const catalog = await this.parts.catalog();
    await catalog.putImages(missing);
    await catalog.removeImages(stale);
  }
}

function smallManifest(store: Store, digest: Sha256): ImageManifest | undefined {
  if (store.blobs.sizeBytes(digest) > 4 * 1024 * 1024) return undefined; // no manifest is that big, and a layer should not be read into memory
  try {
    const value = store.blobs.readJson(digest) as ImageManifest | null;
    return value?.mediaType === MEDIA_TYPES.manifest && Array.isArray(value.layers) ? value : undefined;
  } catch {
    return undefined;
  }
}

function lineageAnnotations(image: CatalogImage | undefined): Annotations {
  if (image === undefined) return {};
  return {
    [ANNOTATIONS.bakedBy]: image.bakedBy,
    [ANNOTATIONS.bakedAt]: image.bakedAt,
    [ANNOTATIONS.bake]: image.bake,
    [ANNOTATIONS.tool]: image.tool,
    ...(image.recipeDigest === undefined ? {} : { [ANNOTATIONS.recipeDigest]: image.recipeDigest }),
    ...(image.lockDigest === undefined ? {} : { [ANNOTATIONS.lockDigest]: image.lockDigest }),
  };
}

function unreadable(error: unknown): string {
  if (error instanceof BakehouseError && error.code === "CANCELLED") throw error;
  return `cannot be read: ${error instanceof Error ? error.message : String(error)}`;
}
