import type { DiffId } from "../core/digest.ts";
import type { Descriptor, IndexEntry } from "../core/image/oci.ts";

export type ImportKind = "oci-layout" | "rootfs-tar" | "directory";

/** A source that has been looked into; temporary files of it are gone after `close`. */
export interface ImportSource {
  readonly kind: ImportKind;
  /** For a layout: what its index lists. */
  readonly entries: readonly IndexEntry[];
  /** A small JSON blob of the layout, verified. @throws DIGEST_MISMATCH, ARCHIVE_INVALID */
  readJson(descriptor: Descriptor): unknown;
  /** Takes a blob of the layout into the store as it is, verified. @throws DIGEST_MISMATCH */
  takeBlob(descriptor: Descriptor): Promise<void>;
  /** Takes a layer in: uncompressed, verified against its diffID, and unpacked. @throws DIGEST_MISMATCH, ARCHIVE_UNSAFE */
  takeLayer(descriptor: Descriptor, diff: DiffId): Promise<{ readonly sizeBytes: number }>;
  /** Takes a whole tree in as one layer. @throws ARCHIVE_UNSAFE, ARCHIVE_INVALID */
  takeTree(epochSeconds: number): Promise<{ readonly diffId: DiffId; readonly sizeBytes: number; readonly entries: number }>;
  close(): Promise<void>;
}

export interface ImageImports {
  /** @throws INPUT_INVALID when there is nothing, or something that is no image */
  open(path: string, signal: AbortSignal): Promise<ImportSource>;
}
