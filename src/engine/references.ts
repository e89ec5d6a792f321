import type { DiffId, ImageDigest, Sha256 } from "../core/digest.ts";
import { ANNOTATIONS, type ImageManifest, type IndexEntry } from "../core/image/oci.ts";
import type { Store } from "../ports/store.ts";
import { contentOf, kindOf } from "./image-content.ts";

/** What one image needs to be there. */
export interface ImageNeeds {
  /** Manifest, configuration, layers; for a volume or launch also everything of its root image. */
  readonly blobs: readonly Sha256[];
  /** Diffs that must be unpacked. */
  readonly diffs: readonly DiffId[];
  /** What cannot be read; blobs and diffs are those that are known all the same. */
  readonly problem?: string;
}

/** What an image stands on in the store. Never throws: a damaged image needs what can still be read of it. */
export function needsOf(store: Store, entry: IndexEntry): ImageNeeds {
  try {
    const content = contentOf(store, entry);
    const own = blobsOf(entry.digest, content.manifest);
    const root = content.root === undefined ? [] : blobsOf(content.root, store.images.manifest(content.root));
    return { blobs: [...new Set([...own, ...root])], diffs: content.source.diffs };
  } catch (error) {
    return { blobs: manifestBlobs(store, entry.digest), diffs: [], problem: error instanceof Error ? error.message : String(error) };
  }
}

const blobsOf = (digest: ImageDigest, manifest: ImageManifest): readonly Sha256[] => [
  digest,
  manifest.config.digest,
  ...manifest.layers.map((layer) => layer.digest),
];

function manifestBlobs(store: Store, digest: ImageDigest): readonly Sha256[] {
  try {
    return blobsOf(digest, store.images.manifest(digest));
  } catch {
    return [digest];
  }
}

/** The images that one was baked onto and, for a volume or launch, belongs to. */
export function parentsOf(store: Store, entry: IndexEntry): readonly ImageDigest[] {
  const parents = new Set<ImageDigest>();
  const base = entry.annotations[ANNOTATIONS.baseDigest];
  if (base !== undefined) parents.add(base as ImageDigest);
  try {
    const { subject } = kindOf(entry) === "image" ? {} : store.images.manifest(entry.digest);
    if (subject !== undefined) parents.add(subject.digest);
  } catch {
    return [...parents]; // a damaged manifest; the annotation says it as well
  }
  return [...parents];
}
