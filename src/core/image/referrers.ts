import { hexOf, isSha256, type ImageDigest, type Sha256 } from "../digest.ts";
import { ANNOTATIONS, MEDIA_TYPES, type IndexEntry } from "./oci.ts";

/**
 * The referrers tag schema (OCI distribution specification 1.1, "Referrers Tag Schema"): what refers to an image is listed by an
 * image index that is tagged `sha256-<hex of the image>`.
 */
const TAG = /^sha256-([0-9a-f]{64})$/;

/** The image that an entry of index.json lists the referrers of; undefined for images. */
export function subjectOfReferrers(entry: Pick<IndexEntry, "mediaType" | "annotations">): ImageDigest | undefined {
  if (entry.mediaType !== MEDIA_TYPES.index) return undefined;
  const hex = TAG.exec(entry.annotations[ANNOTATIONS.name] ?? "")?.[1];
  const digest = `sha256:${hex ?? ""}`;
  return isSha256(digest) ? digest : undefined;
}

export const isReferrersEntry = (entry: Pick<IndexEntry, "mediaType" | "annotations">): boolean => subjectOfReferrers(entry) !== undefined;

export const referrersEntry = (subject: ImageDigest, index: { readonly digest: Sha256; readonly sizeBytes: number }): IndexEntry => ({
  mediaType: MEDIA_TYPES.index,
  digest: index.digest,
  size: index.sizeBytes,
  annotations: { [ANNOTATIONS.name]: `sha256-${hexOf(subject)}` },
});
