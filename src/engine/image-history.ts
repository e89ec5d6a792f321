import type { DiffId, ImageDigest } from "../core/digest.ts";
import { ANNOTATIONS } from "../core/image/oci.ts";
import type { Store } from "../ports/store.ts";
import { contentOf, layersOf, readImage, type ImageLayer } from "./image-content.ts";
import { lineageOf } from "./show-image.ts";

export interface HistoryRow extends ImageLayer {
  /** The lowest image of the lineage that has this layer; empty when it is not in this store. */
  readonly image: string;
  readonly imageDigest?: ImageDigest;
  /** The last row of a volume: where it is mounted. */
  readonly volumePath?: string;
}

export interface ImageHistory {
  readonly digest: ImageDigest;
  readonly name: string;
  /** The lowest layer first. */
  readonly rows: readonly HistoryRow[];
  readonly sizeBytes: number;
}

/** The steps that an image is made of, with what each added. @throws IMAGE_NOT_FOUND, REFERENCE_AMBIGUOUS, STORE_DAMAGED */
export function imageHistory(store: Store, reference: string): ImageHistory {
  const content = readImage(store, reference);
  const owners = layerOwners(store, reference);
  const rows: HistoryRow[] = layersOf(store, content).map((layer) => {
    const owner = owners.get(layer.diffId);
    return { ...layer, image: owner?.name ?? "", ...(owner === undefined ? {} : { imageDigest: owner.digest }) };
  });
  const { volume } = content.source;
  if (volume !== undefined) {
    const sizeBytes = store.blobs.has(volume.blob) ? store.blobs.sizeBytes(volume.blob) : 0;
    const layer = content.entry.annotations[ANNOTATIONS.layer] ?? content.name;
    rows.push({
      diffId: volume.blob,
      sizeBytes,
      step: `${layer}/volume`,
      stepType: "volume",
      createdBy: `bakehouse ${layer}/volume`,
      comment: "Release volume",
      image: content.name,
      imageDigest: content.entry.digest,
      volumePath: volume.path,
    });
  }
  return { digest: content.entry.digest, name: content.name, rows, sizeBytes: rows.reduce((sum, row) => sum + row.sizeBytes, 0) };
}

function layerOwners(store: Store, reference: string): ReadonlyMap<DiffId, { readonly name: string; readonly digest: ImageDigest }> {
  const entries = store.images.entries();
  const { entry } = readImage(store, reference);
  const owners = new Map<DiffId, { readonly name: string; readonly digest: ImageDigest }>();
  for (const { digest, name, here } of lineageOf(entries, entry)) {
    const at = entries.find((candidate) => candidate.digest === digest);
    if (!here || at === undefined || !store.blobs.has(digest)) continue;
    for (const diff of contentOf(store, at).config.rootfs.diff_ids) if (!owners.has(diff)) owners.set(diff, { name, digest });
  }
  return owners;
}
