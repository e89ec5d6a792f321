import type { DiffId, ImageDigest } from "../core/digest.ts";
import { shortDigest } from "../core/digest.ts";
import { BakehouseError } from "../core/errors.ts";
import { ANNOTATIONS, MEDIA_TYPES, type ImageConfig, type ImageManifest, type IndexEntry } from "../core/image/oci.ts";
import type { ImageKind } from "../ports/catalog.ts";
import type { TreeSource } from "../ports/image-trees.ts";
import type { Store } from "../ports/store.ts";
import { findImage, nameOf } from "./find-image.ts";

/** An image or volume with what its manifest and configuration say. */
export interface ImageContent {
  readonly entry: IndexEntry;
  readonly name: string;
  readonly kind: ImageKind;
  readonly manifest: ImageManifest;
  /** Of the image; for a volume or launch, of its root image. */
  readonly config: ImageConfig;
  /** For a volume or launch: the image that it belongs to. */
  readonly root?: ImageDigest;
  readonly source: TreeSource;
  /** Newest time in the image, seconds since 1970. */
  readonly epochSeconds: number;
}

const KINDS: Readonly<Record<string, ImageKind>> = { [MEDIA_TYPES.volume]: "volume", [MEDIA_TYPES.launch]: "launch" };

export const kindOf = (entry: Pick<IndexEntry, "artifactType">): ImageKind => KINDS[entry.artifactType ?? ""] ?? "image";

export const isVolume = (entry: Pick<IndexEntry, "artifactType">): boolean => entry.artifactType === MEDIA_TYPES.volume;

/** Reads an image by reference. @throws IMAGE_NOT_FOUND, REFERENCE_AMBIGUOUS, STORE_DAMAGED */
export const readImage = (store: Store, reference: string): ImageContent => contentOf(store, findImage(store, reference));

export function contentOf(store: Store, entry: IndexEntry): ImageContent {
  const manifest = store.images.manifest(entry.digest);
  const name = nameOf(entry);
  const kind = kindOf(entry);
  if (kind === "image") {
    const config = store.images.config(entry.digest);
    return { entry, name, kind, manifest, config, source: { diffs: config.rootfs.diff_ids }, epochSeconds: epochOf(config) };
  }
  const root = manifest.subject?.digest ?? (entry.annotations[ANNOTATIONS.baseDigest] as ImageDigest | undefined);
  if (root === undefined) throw damaged(`The manifest of ${kind} ${name} (${shortDigest(entry.digest)}) names no root image`);
  if (!store.blobs.has(root))
    throw damaged(
      `${kind === "volume" ? "Volume" : "Launch"} ${name} (${shortDigest(entry.digest)}) belongs to image ${shortDigest(root)}, which is not in this store`,
    );
  const config = store.images.config(root);
  const volume = kind === "volume" ? { volume: volumeOf(manifest, name) } : {};
  return { entry, name, kind, manifest, config, root, source: { diffs: config.rootfs.diff_ids, ...volume }, epochSeconds: epochOf(config) };
}

function volumeOf(manifest: ImageManifest, name: string): { readonly blob: DiffId; readonly path: string } {
  const blob = manifest.layers[0]?.digest;
  const path = manifest.annotations?.[ANNOTATIONS.volumePath];
  if (blob === undefined || path === undefined) throw damaged(`The manifest of volume ${name} names no content or path`);
  return { blob, path };
}

const epochOf = (config: ImageConfig): number => Math.max(0, Math.floor(Date.parse(config.created) / 1000) || 0);

const damaged = (message: string): BakehouseError => new BakehouseError("STORE_DAMAGED", message, { hint: "bakehouse verify --repair" });

/** One layer of an image, with the step that made it where the history says so. */
export interface ImageLayer {
  readonly diffId: DiffId;
  readonly sizeBytes: number;
  /** `<layer>/<step>`. */
  readonly step?: string;
  /** Step type, such as `apt`. */
  readonly stepType?: string;
  readonly createdBy: string;
  readonly comment?: string;
}

/** The layers of an image, the lowest first. History entries beyond the layers (empty ones of other makers) are left out. */
export function layersOf(store: Store, content: Pick<ImageContent, "config">): readonly ImageLayer[] {
  const history = content.config.history.filter((entry) => !(entry as { readonly empty_layer?: boolean }).empty_layer);
  return content.config.rootfs.diff_ids.map((diffId, index) => {
    const entry = history[index];
    const step = /^bakehouse (\S+) \(([^)]+)\)$/.exec(entry?.created_by ?? "");
    return {
      diffId,
      sizeBytes: store.blobs.has(diffId) ? store.blobs.sizeBytes(diffId) : 0,
      ...(step === null ? {} : { step: step[1] ?? "", stepType: step[2] ?? "" }),
      createdBy: entry?.created_by ?? "",
      ...(entry?.comment === undefined ? {} : { comment: entry.comment }),
    };
  });
}
