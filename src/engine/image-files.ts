import { BakehouseError } from "../core/errors.ts";
import { hexOf, shortDigest, type Sha256 } from "../core/digest.ts";
import { mergeLayers, type LayerListing, type ListedEntry, type TreeEntry } from "../core/layer/merge-layers.ts";
import { joinRaw, rawFromText, textOfRaw, type RawPath } from "../core/layer/raw-path.ts";
import { OPAQUE_NAME, whiteoutOf } from "../core/layer/whiteout.ts";
import { didYouMean } from "../core/text/did-you-mean.ts";
import type { ImageTrees, ListOptions, TreeSource } from "../ports/image-trees.ts";
import type { Store } from "../ports/store.ts";
import { layersOf, readImage, type ImageContent } from "./image-content.ts";

export interface ImageFile {
  /** Absolute path in the image; bytes that are no UTF-8 as `\xNN`. */
  readonly path: string;
  readonly kind: TreeEntry["kind"] | "removed" | "emptied";
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly sizeBytes: number;
  /** ISO 8601, UTC. */
  readonly modifiedAt: string;
  readonly linkTarget?: string;
  readonly device?: { readonly major: number; readonly minor: number };
  /** Names of extended attributes. */
  readonly xattrs?: readonly string[];
  /** diffID of the layer, or digest of the volume, that it comes from. */
  readonly layer: string;
}

export interface ImageFilesParts {
  readonly store: Store;
  readonly trees: ImageTrees;
}

export interface ImageFilesOptions {
  /** Only this path and what lies below it. */
  readonly path?: string;
  /** Only what this layer says: its place from 1, its step's address, or the beginning of its digest. */
  readonly layer?: string;
  readonly signal?: AbortSignal;
}

/** What a machine made from the image has in its file system, sorted by path. @throws IMAGE_NOT_FOUND, INPUT_INVALID */
export async function imageFiles(
  parts: ImageFilesParts,
  reference: string,
  options: ImageFilesOptions = {},
): Promise<readonly ImageFile[]> {
  const content = readImage(parts.store, reference);
  const listing = options.signal === undefined ? {} : { signal: options.signal };
  const files =
    options.layer === undefined
      ? mergeLayers(await listTree(parts.trees, content.source, listing)).map(fileOf)
      : await layerFiles(parts, content, options.layer, listing);
  return options.path === undefined ? files : below(files, options.path, content.name);
}

/** The layers of a tree, a volume as the topmost. Layers of `unhashed` are listed without hashes. */
export async function listTree(
  trees: ImageTrees,
  source: TreeSource,
  options: ListOptions,
  unhashed: ReadonlySet<string> = new Set(),
): Promise<readonly LayerListing[]> {
  const listings: LayerListing[] = [];
  const optionsFor = (id: string): ListOptions => (unhashed.has(id) ? { ...options, hash: false } : options);
  for (const diff of source.diffs) listings.push({ id: diff, entries: await trees.layer(diff, optionsFor(diff)) });
  const { volume } = source;
  if (volume !== undefined)
    listings.push({
      id: volume.blob,
      entries: mountedAt(rawFromText(volume.path.slice(1)), await trees.volume(volume.blob, optionsFor(volume.blob))),
    });
  return listings;
}

/** A mount hides everything that was there: its first entry says so. */
function mountedAt(path: RawPath, entries: readonly ListedEntry[]): readonly ListedEntry[] {
  const hides: ListedEntry = { path: joinRaw(path, OPAQUE_NAME), kind: "file", mode: 0, uid: 0, gid: 0, sizeBytes: 0, mtimeSeconds: 0 };
  return [
    hides,
    ...entries.map((entry) => ({
      ...entry,
      path: entry.path === "" ? path : joinRaw(path, entry.path),
      ...(entry.kind === "hardlink" && entry.linkTarget !== undefined ? { linkTarget: joinRaw(path, entry.linkTarget) } : {}),
    })),
  ];
}

async function layerFiles(
  parts: ImageFilesParts,
  content: ImageContent,
  wanted: string,
  options: ListOptions,
): Promise<readonly ImageFile[]> {
  const { volume } = content.source;
  const id = findLayer(parts.store, content, wanted);
  const entries =
    volume?.blob === id
      ? mountedAt(rawFromText(volume.path.slice(1)), await parts.trees.volume(id, options)).slice(1)
      : await parts.trees.layer(id, options);
  return entries.map((entry) => fileOf({ ...entry, layer: id })).sort((a, b) => (a.path < b.path ? -1 : 1));
}

function findLayer(store: Store, content: ImageContent, wanted: string): Sha256 {
  const layers: readonly { readonly id: Sha256; readonly step?: string }[] = [
    ...layersOf(store, content).map(({ diffId, step }) => ({ id: diffId, ...(step === undefined ? {} : { step }) })),
    ...(content.source.volume === undefined ? [] : [{ id: content.source.volume.blob, step: "volume" }]),
  ];
  const byPlace = /^[1-9]\d{0,3}$/.test(wanted) ? layers[Number(wanted) - 1] : undefined;
  const hex = wanted.replace(/^sha256:/, "");
  const byDigest = /^[0-9a-f]{4,64}$/.test(hex) ? layers.filter(({ id }) => hexOf(id).startsWith(hex)) : [];
  const found = byPlace ?? layers.find(({ step }) => step === wanted) ?? (byDigest.length === 1 ? byDigest[0] : undefined);
  if (found !== undefined) return found.id;
  const steps = layers.flatMap(({ step }) => (step === undefined ? [] : [step]));
  const near = didYouMean(wanted, steps);
  throw new BakehouseError(
    "INPUT_INVALID",
    `${content.name} (${shortDigest(content.entry.digest)}) has ${layers.length} layers, none of them ${JSON.stringify(wanted)}`,
    {
      hint:
        near === undefined
          ? `bakehouse image history ${content.name}`
          : `did you mean ${near}? \`bakehouse image history ${content.name}\` shows all`,
    },
  );
}

function fileOf(entry: TreeEntry): ImageFile {
  const whiteout = whiteoutOf(entry.path);
  return {
    path: `/${textOfRaw(whiteout === undefined ? entry.path : whiteout.path)}`,
    kind: whiteout?.kind === "removed" ? "removed" : whiteout?.kind === "opaque" ? "emptied" : entry.kind,
    mode: entry.mode,
    uid: entry.uid,
    gid: entry.gid,
    sizeBytes: entry.sizeBytes,
    modifiedAt: new Date(entry.mtimeSeconds * 1000).toISOString(),
    ...(entry.linkTarget === undefined
      ? {}
      : { linkTarget: entry.kind === "hardlink" ? `/${textOfRaw(entry.linkTarget)}` : textOfRaw(entry.linkTarget) }),
    ...(entry.device === undefined ? {} : { device: entry.device }),
    ...(entry.xattrs === undefined || entry.xattrs.size === 0 ? {} : { xattrs: [...entry.xattrs.keys()].sort() }),
    layer: entry.layer,
  };
}

function below(files: readonly ImageFile[], path: string, image: string): readonly ImageFile[] {
  const wanted = `/${path}`.replaceAll(/\/+/g, "/").replace(/(?<=.)\/$/, "");
  const found = wanted === "/" ? files : files.filter((file) => file.path === wanted || file.path.startsWith(`${wanted}/`));
  if (found.length > 0) return found;
  const near = didYouMean(
    wanted,
    files.filter((file) => parentOf(file.path) === parentOf(wanted)).map((file) => file.path),
  );
  throw new BakehouseError("INPUT_INVALID", `${image} has nothing at ${wanted}`, {
    hint: near === undefined ? `bakehouse image files ${image}` : `did you mean ${near}?`,
  });
}

const parentOf = (path: string): string => path.slice(0, path.lastIndexOf("/"));
