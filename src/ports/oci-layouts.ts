import type { ImageDigest, Sha256 } from "../core/digest.ts";
import type { IndexEntry } from "../core/image/oci.ts";

/** An OCI image layout, of this store or of anybody: everything in it is taken for a claim until it is verified. */
export interface OciLayout {
  /** Images and volumes of its index. */
  readonly entries: readonly IndexEntry[];
  /** Images that have papers or the like attached, each with the digest of the image index that lists them. */
  readonly attached: ReadonlyMap<ImageDigest, Sha256>;
  has(digest: Sha256): boolean;
  sizeBytes(digest: Sha256): number;
  /** Content of a small blob, as it is. @throws ARCHIVE_INVALID when it is missing or larger than 64 MiB */
  read(digest: Sha256): string;
  /** What the bytes of a blob hash to. */
  hash(digest: Sha256, options: { readonly signal: AbortSignal; readonly onBytes: (count: number) => void }): Promise<Sha256>;
}
