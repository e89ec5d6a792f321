import { DISK_FORMATS, isDerived, type DiskFormat, type RootType } from "../core/artifact/artifact-record.ts";
import { accessListsIn } from "../core/artifact/content-listing.ts";
import { BakehouseError } from "../core/errors.ts";
import { isDiskFormat } from "../core/recipe/artifacts-section.ts";
import type { ImageDigest, Sha256 } from "../core/digest.ts";
import { shortDigest } from "../core/digest.ts";
import { ANNOTATIONS, type IndexEntry } from "../core/image/oci.ts";
import type { DiskImages } from "../ports/disk-images.ts";
import type { ContentReader, ImageContents } from "../ports/image-contents.ts";
import { TREE_FORMATS, type Exported, type ImageExports, type TreeFormat } from "../ports/image-exports.ts";
import type { ImageTrees, OpenTree, TreeSource } from "../ports/image-trees.ts";
import type { Store } from "../ports/store.ts";
import { attachedTo, blobsOfList } from "./attached.ts";
import { readImage, type ImageContent } from "./image-content.ts";
import { parentsOf } from "./references.ts";

export const EXPORT_FORMATS = [...TREE_FORMATS, "oci", ...DISK_FORMATS] as const;
export type ExportFormat = (typeof EXPORT_FORMATS)[number];

/** How a disk is made; see `DiskRequest`. */
export interface DiskOptions {
  readonly root: RootType;
  readonly sizeBytes: number;
  readonly dataBytes: number;
  readonly append: readonly string[];
  readonly onto?: string;
}

export const DEFAULT_DISK: DiskOptions = { root: "erofs", sizeBytes: 0, dataBytes: 0, append: [] };

export interface ExportImageParts {
  readonly store: Store;
  readonly trees: ImageTrees;
  readonly exports: ImageExports;
  readonly contents: ContentReader;
  readonly disks: DiskImages;
}

export interface ExportImageOptions {
  readonly format: ExportFormat;
  /** Absolute path; default in `folder`, named after image and format. */
  readonly output?: string;
  readonly folder: string;
  readonly replace: boolean;
  /** Only the release volume, without its root image. */
  readonly volumeOnly: boolean;
  /** `oci`: without papers, and without the images that it was baked onto. Default false. */
  readonly noPapers?: boolean;
  /** For disks. Default `DEFAULT_DISK`. */
  readonly disk?: DiskOptions;
  readonly signal: AbortSignal;
  /** `totalBytes` is an estimate for compressed formats. */
  readonly onProgress: (doneBytes: number, totalBytes: number) => void;
}

export interface ExportedImage extends Exported {
  readonly image: ImageDigest;
  readonly name: string;
  readonly format: ExportFormat;
  /** The same for every format of an image; absent for a volume by itself. */
  readonly content?: Sha256;
  /** Its own bytes differ from export to export, though what it holds does not. */
  readonly derived: boolean;
  /** Paths whose access lists are left out, because the format cannot hold them. */
  readonly withoutAccessLists: readonly string[];
}

const ENDINGS: Readonly<Record<ExportFormat, string>> = {
  tar: ".tar",
  dir: "",
  oci: ".oci.tar",
  squashfs: ".squashfs",
  erofs: ".erofs",
  raw: ".raw",
  qcow2: ".qcow2",
  vmdk: ".vmdk",
  vhd: ".vhd",
  vhdx: ".vhdx",
};

export const endingOf = (format: ExportFormat): string => ENDINGS[format];

/**
 * Writes an image as one file (or folder) outside of the store. The target appears whole or not at all. Equal images give
 * equal bytes, wherever and whenever they are exported.
 *
 * @throws IMAGE_NOT_FOUND, USAGE (what does not go together), INPUT_INVALID (the target exists), STORE_FULL, SETUP_INCOMPLETE
 */
export async function exportImage(parts: ExportImageParts, reference: string, options: ExportImageOptions): Promise<ExportedImage> {
  const content = readImage(parts.store, reference);
  const { entry, name } = content;
  refuseMismatch(content, reference, options);
  const target =
    options.output ??
    `${options.folder}/${name.replaceAll("/", "-")}-${shortDigest(entry.digest)}${options.volumeOnly ? "-volume" : ""}${ENDINGS[options.format]}`;
  const totalBytes = totalOf(parts.store, content, options);
  const to = { target, replace: options.replace, signal: options.signal, onBytes: (done: number) => options.onProgress(done, totalBytes) };
  const { contents, ...exported } = await write(parts, content, options, to);
  const isSquashfs = options.format === "squashfs" || (isDiskFormat(options.format) && options.disk?.root === "squashfs");
  return {
    ...exported,
    image: entry.digest,
    name,
    format: options.format,
    ...(contents === undefined ? {} : { content: contents.digest }),
    derived: isDerived(options.format),
    withoutAccessLists: isSquashfs && contents !== undefined ? accessListsIn(contents.listing) : [],
  };
}

function refuseMismatch({ name, source }: ImageContent, reference: string, { volumeOnly, format }: ExportImageOptions): void {
  if (!volumeOnly || (source.volume !== undefined && format === "erofs")) return;
  throw new BakehouseError(
    "USAGE",
    source.volume === undefined
      ? `${name} is no release volume, so there is nothing to export with --volume-only`
      : "A volume by itself is an erofs image: --volume-only needs --format erofs",
    { hint: `bakehouse export ${reference} --format erofs` },
  );
}

type Target = Parameters<ImageExports["blob"]>[1];

async function write(
  parts: ExportImageParts,
  content: ImageContent,
  options: ExportImageOptions,
  to: Target,
): Promise<Exported & { readonly contents?: ImageContents }> {
  const { store, trees, exports: out } = parts;
  const { volume } = content.source;
  if (options.volumeOnly && volume !== undefined) return out.blob(volume.blob, to);
  const layout = options.format === "oci" ? layoutContent(store, content, options.noPapers !== true) : undefined;
  await trees.ensureUnpacked(content.source.diffs);
  const open = openedOnce((source) => trees.open(source, { uncovered: to.target }));
  try {
    const contents = await parts.contents.of(content.entry.digest, () => open.tree(content.source), {
      signal: options.signal,
      onBytes: () => undefined,
    });
    const { digest } = contents;
    if (layout !== undefined) return { ...(await out.layout(withContent(layout, content.entry.digest, digest), to)), contents };
    if (isDiskFormat(options.format)) return { ...(await writeDisk(parts, content, contents, open, options, to)), contents };
    const record = { bakehouse: 1, image: content.entry.digest, name: titleOf(content), content: digest } as const;
    const about = { epochSeconds: content.epochSeconds, identity: digest, mark: { record, listing: contents.listing } };
    return { ...(await out.tree(await open.tree(content.source), options.format as TreeFormat, about, to)), contents };
  } finally {
    await open.close();
  }
}

/** As the recipe called it, which belongs to the image; the name that points to it now may be another. */
const titleOf = ({ manifest, name }: ImageContent): string => manifest.annotations?.[ANNOTATIONS.title] ?? name;

async function writeDisk(
  { store, disks }: ExportImageParts,
  content: ImageContent,
  contents: ImageContents,
  open: OpenTrees,
  options: ExportImageOptions,
  to: Target,
): Promise<Exported> {
  const { volume, diffs } = content.source;
  return disks.write(
    {
      ...(options.disk ?? DEFAULT_DISK),
      format: options.format as DiskFormat,
      image: content.entry.digest,
      name: titleOf(content),
      contents,
      epochSeconds: content.epochSeconds,
      tree: await open.tree(volume === undefined ? content.source : { diffs }),
      ...(volume === undefined ? {} : { volume: { hostPath: store.blobs.path(volume.blob), path: volume.path } }),
    },
    to,
  );
}

interface OpenTrees {
  tree(source: TreeSource): Promise<OpenTree>;
  close(): Promise<void>;
}

/** Mounts a tree when it is first asked for: a listing that is known already needs none. */
function openedOnce(open: (source: TreeSource) => Promise<OpenTree>): OpenTrees {
  const opened: { readonly source: TreeSource; readonly tree: Promise<OpenTree> }[] = [];
  return {
    tree: (source) => {
      const found = opened.find((each) => each.source === source);
      if (found !== undefined) return found.tree;
      const tree = open(source);
      opened.push({ source, tree });
      return tree;
    },
    close: async () => {
      for (const { tree } of opened) await tree.then((each) => each.close());
    },
  };
}

type Layout = Parameters<ImageExports["layout"]>[0];

const withContent = (layout: Layout, image: ImageDigest, content: Sha256): Layout => ({
  ...layout,
  entries: layout.entries.map((entry) =>
    entry.digest === image ? { ...entry, annotations: { ...entry.annotations, [ANNOTATIONS.artifactContent]: content } } : entry,
  ),
});

function totalOf(store: Store, content: ImageContent, options: ExportImageOptions): number {
  const { diffs, volume } = content.source;
  const ids: readonly Sha256[] = [...(options.volumeOnly ? [] : diffs), ...(volume === undefined ? [] : [volume.blob])];
  return ids.filter((id) => store.blobs.has(id)).reduce((sum, id) => sum + store.blobs.sizeBytes(id), 0);
}

/**
 * A volume goes with its root image: alone it could not be started. With papers go the images that it was baked onto, as far as
 * they are here: their layers are in it anyway, and without their manifests nobody could follow the chain up to the foundation.
 */
function layoutContent(
  store: Store,
  content: ImageContent,
  papers: boolean,
): { readonly entries: readonly IndexEntry[]; readonly blobs: readonly Sha256[] } {
  const entries = store.images.entries();
  const rootEntry = content.root === undefined ? undefined : entries.find((entry) => entry.digest === content.root);
  if (content.root !== undefined && rootEntry === undefined)
    throw new BakehouseError("STORE_DAMAGED", `The root image of ${content.name} is not in the index of this store`, {
      hint: "bakehouse verify --repair",
    });
  const own = [...(rootEntry === undefined ? [] : [rootEntry]), content.entry];
  const lineage = own.map(({ digest }) => digest).flatMap((digest) => attachedTo(store, digest) ?? []);
  const withParents = papers && lineage.length > 0 ? [...parentsBelow(store, entries, own), ...own] : own;
  const lists = papers ? withParents.flatMap(({ digest }) => attachedTo(store, digest) ?? []) : [];
  const blobs = new Set<Sha256>(lists.flatMap(blobsOfList));
  for (const entry of withParents) {
    const manifest = store.images.manifest(entry.digest);
    for (const digest of [entry.digest, manifest.config.digest, ...manifest.layers.map((layer) => layer.digest)]) blobs.add(digest);
  }
  const missing = [...blobs].filter((digest) => !store.blobs.has(digest));
  if (missing.length > 0)
    throw new BakehouseError(
      "STORE_DAMAGED",
      `${content.name} lacks ${missing.length === 1 ? "a blob" : `${missing.length} blobs`}: ${missing.join(", ")}`,
      { hint: "bakehouse verify --repair" },
    );
  return { entries: [...withParents, ...lists.map(({ entry }) => entry)], blobs: [...blobs].sort() };
}

/** The foundation first. */
function parentsBelow(store: Store, entries: readonly IndexEntry[], own: readonly IndexEntry[]): readonly IndexEntry[] {
  const found: IndexEntry[] = [];
  const queue = [...own];
  for (let entry = queue.pop(); entry !== undefined; entry = queue.pop())
    for (const digest of parentsOf(store, entry)) {
      const parent = entries.find((each) => each.digest === digest);
      if (parent === undefined || found.includes(parent) || own.includes(parent)) continue;
      found.unshift(parent);
      queue.push(parent);
    }
  return found;
}
