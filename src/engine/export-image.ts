import { BakehouseError } from "../core/errors.ts";
import type { ImageDigest, Sha256 } from "../core/digest.ts";
import { shortDigest } from "../core/digest.ts";
import type { IndexEntry } from "../core/image/oci.ts";
import { TREE_FORMATS, type Exported, type ImageExports, type TreeFormat } from "../ports/image-exports.ts";
import type { ImageTrees } from "../ports/image-trees.ts";
import type { Store } from "../ports/store.ts";
import { attachedTo, blobsOfList } from "./attached.ts";
import { readImage, type ImageContent } from "./image-content.ts";
import { parentsOf } from "./references.ts";

export const EXPORT_FORMATS = [...TREE_FORMATS, "oci"] as const;
export type ExportFormat = TreeFormat | "oci";

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
  readonly signal: AbortSignal;
  /** `totalBytes` is an estimate for compressed formats. */
  readonly onProgress: (doneBytes: number, totalBytes: number) => void;
}

export interface ExportedImage extends Exported {
  readonly image: ImageDigest;
  readonly name: string;
  readonly format: ExportFormat;
}

const ENDINGS: Readonly<Record<ExportFormat, string>> = { tar: ".tar", dir: "", oci: ".oci.tar", squashfs: ".squashfs", erofs: ".erofs" };

/**
 * Writes an image as one file (or folder) outside of the store. The target appears whole or not at all. Equal images give
 * equal bytes, wherever and whenever they are exported.
 *
 * @throws IMAGE_NOT_FOUND, USAGE (what does not go together), INPUT_INVALID (the target exists), STORE_FULL, SETUP_INCOMPLETE
 */
export async function exportImage(
  parts: { readonly store: Store; readonly trees: ImageTrees; readonly exports: ImageExports },
  reference: string,
  options: ExportImageOptions,
): Promise<ExportedImage> {
  const content = readImage(parts.store, reference);
  const { entry, name } = content;
  if (options.volumeOnly && (content.source.volume === undefined || options.format !== "erofs"))
    throw new BakehouseError(
      "USAGE",
      content.source.volume === undefined
        ? `${name} is no release volume, so there is nothing to export with --volume-only`
        : "A volume by itself is an erofs image: --volume-only needs --format erofs",
      { hint: `bakehouse export ${reference} --format erofs` },
    );
  const target =
    options.output ??
    `${options.folder}/${name.replaceAll("/", "-")}-${shortDigest(entry.digest)}${options.volumeOnly ? "-volume" : ""}${ENDINGS[options.format]}`;
  const totalBytes = totalOf(parts.store, content, options);
  const to = { target, replace: options.replace, signal: options.signal, onBytes: (done: number) => options.onProgress(done, totalBytes) };
  const exported = await write(parts, content, options, to);
  return { ...exported, image: entry.digest, name, format: options.format };
}

type Target = Parameters<ImageExports["blob"]>[1];

async function write(
  parts: { readonly store: Store; readonly trees: ImageTrees; readonly exports: ImageExports },
  content: ImageContent,
  options: ExportImageOptions,
  to: Target,
): Promise<Exported> {
  const { store, exports: out } = parts;
  const { volume } = content.source;
  if (options.format === "oci") return out.layout(layoutContent(store, content, options.noPapers !== true), to);
  if (options.volumeOnly && volume !== undefined) return out.blob(volume.blob, to);
  await parts.trees.ensureUnpacked(content.source.diffs);
  const tree = await parts.trees.open(content.source, { uncovered: to.target });
  try {
    return await out.tree(tree, options.format, { epochSeconds: content.epochSeconds, identity: content.entry.digest }, to);
  } finally {
    await tree.close();
  }
}

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
