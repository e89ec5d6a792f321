import { isSha256, type ImageDigest, type Sha256 } from "../core/digest.ts";
import { MEDIA_TYPES, type Descriptor, type ImageManifest, type IndexEntry } from "../core/image/oci.ts";
import { referrersEntry } from "../core/image/referrers.ts";
import type { Store } from "../ports/store.ts";

/** One thing that is attached to an image: a paper, or whatever another program attached. */
export interface Attached {
  readonly descriptor: Descriptor;
  /** Its manifest, configuration and contents. */
  readonly blobs: readonly Sha256[];
  /** Why it cannot be read. */
  readonly problem?: string;
}

export interface AttachedList {
  /** The entry of index.json that leads to the list. */
  readonly entry: IndexEntry;
  readonly attached: readonly Attached[];
  /** Why the list cannot be read; then `attached` is empty. */
  readonly problem?: string;
}

/** What is attached to an image. Never throws: what is damaged comes with its problem. Undefined when there is nothing. */
export function attachedTo(store: Store, subject: ImageDigest): AttachedList | undefined {
  const index = store.referrers.indexes().get(subject);
  return index === undefined ? undefined : readList(store, subject, index);
}

/** The same for every image that has anything attached. */
export const allAttached = (store: Store): ReadonlyMap<ImageDigest, AttachedList> =>
  new Map([...store.referrers.indexes()].map(([subject, index]) => [subject, readList(store, subject, index)]));

function readList(store: Store, subject: ImageDigest, index: Sha256): AttachedList {
  const entry = referrersEntry(subject, { digest: index, sizeBytes: store.blobs.has(index) ? store.blobs.sizeBytes(index) : 0 });
  try {
    const { manifests } = store.blobs.readJson(index) as { readonly manifests?: readonly Descriptor[] };
    return {
      entry,
      attached: (manifests ?? []).filter(({ digest }) => isSha256(digest)).map((each) => readAttached(store, subject, each)),
    };
  } catch (error) {
    return { entry, attached: [], problem: messageOf(error) };
  }
}

function readAttached(store: Store, subject: ImageDigest, descriptor: Descriptor): Attached {
  try {
    const manifest = store.blobs.readJson(descriptor.digest) as ImageManifest;
    const blobs = [descriptor.digest, manifest.config.digest, ...manifest.layers.map(({ digest }) => digest)];
    const problem = manifest.subject?.digest === subject ? {} : { problem: "is about another image" };
    return { descriptor, blobs, ...problem };
  } catch (error) {
    return { descriptor, blobs: [descriptor.digest], problem: messageOf(error) };
  }
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** Everything that a list is made of: the list itself, manifests, contents. */
export const blobsOfList = ({ entry, attached }: AttachedList): readonly Sha256[] => [
  entry.digest,
  ...attached.flatMap(({ blobs }) => blobs),
];

/** As the list names it, from its manifest; undefined when that is attached to nothing. */
export function descriptorOfAttached(
  digest: Sha256,
  sizeBytes: number,
  manifest: ImageManifest,
): { readonly subject: ImageDigest; readonly descriptor: Descriptor } | undefined {
  // a volume names its root image as its subject, too: that one is an image of its own, not attached
  if (manifest.subject === undefined || manifest.artifactType === undefined || isOwnImage(manifest.artifactType)) return undefined;
  const { artifactType, annotations = {} } = manifest;
  return {
    subject: manifest.subject.digest,
    descriptor: { mediaType: MEDIA_TYPES.manifest, artifactType, digest, size: sizeBytes, annotations },
  };
}

const isOwnImage = (artifactType: string): boolean => artifactType === MEDIA_TYPES.volume || artifactType === MEDIA_TYPES.launch;
