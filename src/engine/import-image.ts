import { BakehouseError } from "../core/errors.ts";
import { shortDigest, type DiffId, type ImageDigest, type Sha256 } from "../core/digest.ts";
import {
  ANNOTATIONS,
  MEDIA_TYPES,
  type Annotations,
  type Descriptor,
  type ImageConfig,
  type ImageManifest,
  type IndexEntry,
} from "../core/image/oci.ts";
import type { Catalog } from "../ports/catalog.ts";
import type { Clock } from "../ports/host.ts";
import type { ImageImports, ImportKind, ImportSource } from "../ports/image-imports.ts";
import type { Store } from "../ports/store.ts";
import { catalogImageOf } from "./images-from-store.ts";
import { isReferrersEntry, subjectOfReferrers } from "../core/image/referrers.ts";
import { isVolume } from "./image-content.ts";
import { nameOf } from "./find-image.ts";
import { STORE_CONTENT_LOCK } from "../core/store-lock.ts";

export interface ImportImageParts {
  readonly store: Store;
  readonly imports: ImageImports;
  readonly clock: Clock;
  /** `user@host`. */
  readonly baker: string;
  readonly tool: string;
  catalog(): Promise<Pick<Catalog, "putImages">>;
}

export interface ImportImageOptions {
  /** What to call it; default: the name that the layout gives. */
  readonly name?: string;
  /** Which image of a layout that holds several: its name or the beginning of its digest. */
  readonly image?: string;
  /** Absolute path of a folder or file. */
  readonly path: string;
  /** What the user typed, for people. */
  readonly source: string;
  readonly signal: AbortSignal;
  onProgress(message: string): void;
}

export interface ImportedImage {
  readonly digest: ImageDigest;
  readonly name: string;
  readonly kind: "image" | "volume";
  readonly from: ImportKind;
  readonly sizeBytes: number;
  readonly layers: number;
  /** The digest that it has elsewhere, when its layers had to be decompressed and it got another one here. */
  readonly originalDigest?: ImageDigest;
  /** How many papers and other attached things came with it. */
  readonly papers?: number;
  /** It was in the store already, under this name, and nothing was changed. */
  readonly wasHere?: boolean;
}

interface Taken {
  readonly entry: IndexEntry;
  readonly imported: ImportedImage;
}

/**
 * Takes an image into the store: an OCI layout (folder or tar), a tar of a root file system, or a folder. Layers are verified
 * before they count, and unpacked.
 *
 * @returns the image, after its root image when it is a volume
 * @throws INPUT_INVALID, USAGE (a name is needed), ARCHIVE_UNSAFE, ARCHIVE_INVALID, DIGEST_MISMATCH, STORE_FULL, STORE_READ_ONLY
 */
export async function importImage(parts: ImportImageParts, options: ImportImageOptions): Promise<readonly ImportedImage[]> {
  const { store } = parts;
  if (store.readOnly)
    throw new BakehouseError("STORE_READ_ONLY", `The store ${store.root} cannot be written to`, {
      hint: "use a store that you may write to: --store DIR",
    });
  checkName(options.name);
  const source = await parts.imports.open(options.path, options.signal);
  try {
    // gc must not take away blobs that no index entry names yet
    return await store.withLock(STORE_CONTENT_LOCK, { signal: options.signal }, () =>
      source.kind === "oci-layout" ? fromLayout(parts, source, options) : fromTree(parts, source, options),
    );
  } finally {
    await source.close();
  }
}

/** As the last part of an OCI reference, with `/`: what `findImage` and other programs can take. */
function checkName(name: string | undefined): void {
  if (name === undefined || /^[a-z0-9]+(?:[._/-][a-z0-9]+)*$/.test(name)) return;
  throw new BakehouseError("USAGE", `${JSON.stringify(name)} cannot be the name of an image`, {
    hint: "small letters, digits, and between them - . _ /",
  });
}

async function fromTree(parts: ImportImageParts, source: ImportSource, options: ImportImageOptions): Promise<readonly ImportedImage[]> {
  if (options.name === undefined)
    throw new BakehouseError("USAGE", `${options.source} has no name of its own`, {
      hint: `bakehouse import ${options.source} --name mine`,
    });
  options.onProgress(`unpacking ${options.source}`);
  const { blobs } = parts.store;
  const epochSeconds = IMPORT_EPOCH_SECONDS;
  const layer = await source.takeTree(epochSeconds);
  const created = new Date(epochSeconds * 1000).toISOString().replace(".000Z", "Z");
  const config: ImageConfig = {
    created,
    architecture: "amd64",
    os: "linux",
    config: {},
    rootfs: { type: "layers", diff_ids: [layer.diffId] },
    history: [{ created, created_by: `bakehouse import (${source.kind})` }],
  };
  const storedConfig = blobs.putJson(config);
  const annotations: Annotations = { [ANNOTATIONS.created]: created, [ANNOTATIONS.hermetic]: "false" };
  const manifest: ImageManifest = {
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.manifest,
    config: { mediaType: MEDIA_TYPES.config, digest: storedConfig.digest, size: storedConfig.sizeBytes },
    layers: [{ mediaType: MEDIA_TYPES.layer, digest: layer.diffId, size: layer.sizeBytes }],
    annotations,
  };
  const stored = blobs.putJson(manifest);
  const entry: IndexEntry = {
    mediaType: MEDIA_TYPES.manifest,
    digest: stored.digest,
    size: stored.sizeBytes,
    annotations: indexAnnotations(parts, options, options.name, annotations),
  };
  return publish(parts, [
    {
      entry,
      imported: { digest: stored.digest, name: options.name, kind: "image", from: source.kind, sizeBytes: layer.sizeBytes, layers: 1 },
    },
  ]);
}

/** The tree says nothing about its time, and the same tree shall give the same digest: 2025-01-01 00:00 UTC, as for bakes without packages. */
const IMPORT_EPOCH_SECONDS = 1_735_689_600;

async function fromLayout(parts: ImportImageParts, source: ImportSource, options: ImportImageOptions): Promise<readonly ImportedImage[]> {
  const chosen = chooseEntry(source, options);
  const found = resolve(source, chosen, options.source);
  const taken: Taken[] = [];
  if (isVolume(found)) {
    const subject = (source.readJson(found) as ImageManifest).subject;
    if (subject === undefined)
      throw new BakehouseError("ARCHIVE_INVALID", `Volume ${shortDigest(found.digest)} of ${options.source} names no root image`);
    const listed = source.entries.find((entry) => entry.digest === subject.digest);
    const root: IndexEntry = listed ?? { ...subject, annotations: subject.annotations ?? {} };
    const rootName = options.name === undefined && nameOf(root) !== "" ? nameOf(root) : `${nameFor(options, chosen)}-root`;
    taken.push(await takeImage(parts, source, root, rootName, options));
    taken.push(await takeVolume(parts, source, found, nameFor(options, chosen), options));
  } else taken.push(await takeImage(parts, source, found, nameFor(options, chosen), options));
  const parents = await takeParents(parts, source, taken, options);
  const attached = await takeAttached(source, [...parents, ...taken]);
  const published = await publish(parts, taken, parents);
  for (const { subject, manifests } of attached) await parts.store.referrers.add(subject, manifests);
  return published.map((image) => {
    const papers = attached.find(({ subject }) => subject === image.digest)?.manifests.length ?? 0;
    return papers === 0 ? image : { ...image, papers };
  });
}

/** Images that the layout lists and these were baked onto: they have no name here, and stay as long as what stands on them. */
async function takeParents(
  parts: ImportImageParts,
  source: ImportSource,
  taken: readonly Taken[],
  options: ImportImageOptions,
): Promise<readonly Taken[]> {
  const parents: Taken[] = [];
  const known = new Set<ImageDigest>(taken.map(({ entry }) => entry.digest));
  const queue = taken.map(({ entry }) => entry);
  for (let entry = queue.pop(); entry !== undefined; entry = queue.pop()) {
    const wanted = entry.annotations[ANNOTATIONS.baseDigest];
    const parent = source.entries.find(({ digest, mediaType }) => digest === wanted && mediaType === MEDIA_TYPES.manifest);
    if (parent === undefined || isVolume(parent) || known.has(parent.digest)) continue;
    known.add(parent.digest);
    const image = await takeImage(parts, source, parent, nameOf(parent), options);
    if (image.entry.digest !== parent.digest) continue; // its layers were compressed: it is another image here
    parents.push({ ...image, entry: unnamed(image.entry) });
    queue.push(parent);
  }
  return parents;
}

function unnamed(entry: IndexEntry): IndexEntry {
  const { [ANNOTATIONS.name]: name = "", ...annotations } = entry.annotations;
  return { ...entry, annotations: { ...annotations, ...(name === "" ? {} : { [ANNOTATIONS.bakedName]: name }) } };
}

interface TakenAttached {
  readonly subject: ImageDigest;
  readonly manifests: readonly Descriptor[];
}

/** Papers and the like, each blob verified. Those of an image that got another digest here speak of another image. */
async function takeAttached(source: ImportSource, taken: readonly Taken[]): Promise<readonly TakenAttached[]> {
  const found: TakenAttached[] = [];
  for (const { entry } of taken) {
    const list = source.entries.find((each) => subjectOfReferrers(each) === entry.digest);
    if (list === undefined) continue;
    const { manifests = [] } = source.readJson(list) as { readonly manifests?: readonly Descriptor[] };
    for (const descriptor of manifests) {
      const manifest = source.readJson(descriptor) as ImageManifest;
      for (const blob of [manifest.config, ...manifest.layers, descriptor]) await source.takeBlob(blob);
    }
    found.push({ subject: entry.digest, manifests });
  }
  return found;
}

/** The one image that the others belong to, unless it is named. */
function chooseEntry(source: ImportSource, options: ImportImageOptions): IndexEntry {
  const entries = source.entries.filter((entry) => !isReferrersEntry(entry));
  const wanted = options.image;
  if (wanted !== undefined) {
    const hex = wanted.replace(/^sha256:/, "");
    const found = entries.filter(
      (entry) => nameOf(entry) === wanted || (/^[0-9a-f]{4,64}$/.test(hex) && entry.digest.slice(7).startsWith(hex)),
    );
    if (found.length === 1 && found[0] !== undefined) return found[0];
    throw new BakehouseError(
      "INPUT_INVALID",
      `${options.source} holds ${found.length === 0 ? "no image" : `${found.length} images`} called ${wanted}`,
      { hint: `it holds ${listed(entries)}` },
    );
  }
  const bases = new Set(entries.map((entry) => entry.annotations[ANNOTATIONS.baseDigest]));
  const tops = entries.length === 1 ? entries : entries.filter((entry) => !bases.has(entry.digest));
  if (tops.length === 1 && tops[0] !== undefined) return tops[0];
  throw new BakehouseError(
    "INPUT_INVALID",
    entries.length === 0 ? `The index of ${options.source} is empty` : `${options.source} holds ${tops.length} images`,
    entries.length === 0 ? {} : { hint: `choose one with --image: ${listed(tops)}` },
  );
}

const listed = (entries: readonly IndexEntry[]): string => entries.map((entry) => nameOf(entry) || shortDigest(entry.digest)).join(", ");

function nameFor(options: ImportImageOptions, entry: IndexEntry): string {
  const name = options.name ?? nameOf(entry);
  if (name !== "") return name;
  throw new BakehouseError("USAGE", `The image in ${options.source} has no name of its own`, {
    hint: `bakehouse import ${options.source} --name mine`,
  });
}

/** Steps from an index of several platforms to linux/amd64. */
function resolve(source: ImportSource, entry: IndexEntry, shown: string, depth = 0): IndexEntry {
  if (entry.mediaType !== MEDIA_TYPES.index && !entry.mediaType.includes("manifest.list")) return entry;
  if (depth > 4) throw new BakehouseError("ARCHIVE_INVALID", `${shown} holds an index in an index in an index; no image was found`);
  const { manifests = [] } = source.readJson(entry) as {
    readonly manifests?: readonly (Descriptor & { readonly platform?: { readonly os?: string; readonly architecture?: string } })[];
  };
  const fitting =
    manifests.find(({ platform }) => platform?.os === "linux" && platform.architecture === "amd64") ??
    (manifests.length === 1 ? manifests[0] : undefined);
  if (fitting === undefined)
    throw new BakehouseError(
      "INPUT_INVALID",
      `${shown} has no image for linux/amd64, only ${manifests.map(({ platform }) => `${platform?.os ?? "?"}/${platform?.architecture ?? "?"}`).join(", ")}`,
    );
  return resolve(source, { ...fitting, annotations: { ...fitting.annotations, ...entry.annotations } }, shown, depth + 1);
}

async function takeImage(
  parts: ImportImageParts,
  source: ImportSource,
  entry: IndexEntry,
  name: string,
  options: ImportImageOptions,
): Promise<Taken> {
  const manifest = source.readJson(entry) as ImageManifest;
  const config = source.readJson(manifest.config) as ImageConfig;
  const diffs = config.rootfs?.diff_ids ?? [];
  if (diffs.length !== manifest.layers.length)
    throw new BakehouseError(
      "ARCHIVE_INVALID",
      `Image ${shortDigest(entry.digest)} of ${options.source} has ${manifest.layers.length} layers, its configuration names ${diffs.length}`,
    );
  if (config.os !== "linux" || config.architecture !== "amd64")
    throw new BakehouseError(
      "INPUT_INVALID",
      `The image in ${options.source} is for ${String(config.os)}/${String(config.architecture)}, not linux/amd64`,
    );
  const layers: Descriptor[] = [];
  for (const [index, layer] of manifest.layers.entries()) {
    options.onProgress(`layer ${index + 1} of ${diffs.length}`);
    const diff = diffs[index] as DiffId;
    const { sizeBytes } = await source.takeLayer(layer, diff);
    layers.push({ mediaType: MEDIA_TYPES.layer, digest: diff, size: sizeBytes });
  }
  const plain = manifest.layers.every((layer, index) => layer.digest === diffs[index]) && manifest.mediaType === MEDIA_TYPES.manifest;
  const digest = plain ? await asItIs(source, entry, manifest) : rewritten(parts, manifest, config, layers, entry.digest);
  const annotations = indexAnnotations(parts, options, name, lineageOf(manifest, entry));
  const indexEntry: IndexEntry = { mediaType: MEDIA_TYPES.manifest, digest, size: parts.store.blobs.sizeBytes(digest), annotations };
  const sizeBytes = layers.reduce((sum, layer) => sum + layer.size, 0);
  return {
    entry: indexEntry,
    imported: {
      digest,
      name,
      kind: "image",
      from: "oci-layout",
      sizeBytes,
      layers: layers.length,
      ...(plain ? {} : { originalDigest: entry.digest }),
    },
  };
}

/** Uncompressed layers: the image keeps its bytes and its name. */
async function asItIs(source: ImportSource, entry: IndexEntry, manifest: ImageManifest): Promise<ImageDigest> {
  await source.takeBlob(manifest.config);
  await source.takeBlob(entry);
  return entry.digest;
}

/** The store keeps layers uncompressed, so that each is named by its content; an image of compressed ones gets a manifest of its own. */
function rewritten(
  parts: ImportImageParts,
  manifest: ImageManifest,
  config: ImageConfig,
  layers: readonly Descriptor[],
  original: Sha256,
): ImageDigest {
  const { blobs } = parts.store;
  const stored = blobs.putJson({ ...config, history: config.history ?? [] });
  return blobs.putJson({
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.manifest,
    config: { mediaType: MEDIA_TYPES.config, digest: stored.digest, size: stored.sizeBytes },
    layers,
    annotations: { ...manifest.annotations, [ANNOTATIONS.imported]: original },
  }).digest;
}

async function takeVolume(
  parts: ImportImageParts,
  source: ImportSource,
  entry: IndexEntry,
  name: string,
  options: ImportImageOptions,
): Promise<Taken> {
  const manifest = source.readJson(entry) as ImageManifest;
  options.onProgress("the volume");
  for (const blob of [manifest.config, ...manifest.layers, entry]) await source.takeBlob(blob);
  const indexEntry: IndexEntry = {
    mediaType: MEDIA_TYPES.manifest,
    artifactType: MEDIA_TYPES.volume,
    digest: entry.digest,
    size: entry.size,
    annotations: indexAnnotations(parts, options, name, lineageOf(manifest, entry)),
  };
  const sizeBytes = manifest.layers.reduce((sum, layer) => sum + layer.size, 0);
  return { entry: indexEntry, imported: { digest: entry.digest, name, kind: "volume", from: "oci-layout", sizeBytes, layers: 1 } };
}

/** What the maker said stays; names are ours. No word about the network means that nobody can promise it. */
function lineageOf(manifest: ImageManifest, entry: IndexEntry): Annotations {
  const { [ANNOTATIONS.name]: _name, [ANNOTATIONS.bakedName]: _bakedName, ...said } = entry.annotations;
  return { [ANNOTATIONS.hermetic]: "false", ...manifest.annotations, ...said };
}

/** Who baked it and when stays, where its maker says so; else it was the one who brought it here. */
function indexAnnotations(parts: ImportImageParts, options: ImportImageOptions, name: string, said: Annotations): Annotations {
  const source = options.source.replace(/\/+$/, "").split("/").at(-1) ?? "";
  return {
    [ANNOTATIONS.bakedBy]: parts.baker,
    [ANNOTATIONS.bakedAt]: parts.clock.now().toISOString(),
    [ANNOTATIONS.tool]: parts.tool,
    ...said,
    [ANNOTATIONS.name]: name,
    [ANNOTATIONS.imported]: source === "" || source === "." ? "a folder" : source,
  };
}

/** An image that is here already keeps its name: one image has one. */
async function publish(
  parts: ImportImageParts,
  taken: readonly Taken[],
  parents: readonly Taken[] = [],
): Promise<readonly ImportedImage[]> {
  const { images } = parts.store;
  const before = new Map(images.entries().map((entry) => [entry.digest, entry.annotations[ANNOTATIONS.name]]));
  const fresh = [
    ...parents.filter(({ entry }) => !before.has(entry.digest)),
    ...taken.filter(({ entry }) => before.get(entry.digest) === undefined),
  ];
  if (fresh.length > 0) {
    await images.put(fresh.map(({ entry }) => entry));
    const catalog = await parts.catalog();
    await catalog.putImages(fresh.map(({ entry, imported }) => catalogImageOf(entry, imported.sizeBytes)));
  }
  return taken.map(({ entry, imported }) => {
    const name = before.get(entry.digest);
    return name === undefined ? imported : { ...imported, name, wasHere: true };
  });
}
