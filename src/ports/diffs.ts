import type { DiffId } from "../core/digest.ts";

export interface DiffSummary {
  readonly diffId: DiffId;
  /** Bytes of the uncompressed tar. */
  readonly sizeBytes: number;
  readonly entries: number;
}

export interface WriteDiffRequest {
  /** An overlay upper directory (or, for a foundation, a whole tree): whiteouts are 0:0 character devices, opaque directories carry trusted.overlay.opaque=y. */
  readonly directory: string;
  /** Where to write the tar; made new, synced neither nor renamed (the caller does). */
  readonly target: string;
  /** mtimes above are clamped to it; seconds. */
  readonly epochSeconds: number;
  /** Whether the layers below have a directory here: opaque marks are only written where they do. Image path, absolute. */
  lowerHasDirectory(path: string): boolean;
  readonly signal: AbortSignal;
}

/** Turns directories into normalised OCI layer tars and back. */
export interface Diffs {
  /** Takes out what differs between two runs of the same step (host keys, machine-id, caches, logs, backups…). Changes the directory. */
  normalise(directory: string, options: { readonly lowerHas: (path: string) => boolean }): Promise<readonly string[]>;
  /** Writes the tar, hashes it on the way, and sets the directory's own mtimes and xattrs to what the tar says. */
  write(request: WriteDiffRequest): Promise<DiffSummary>;
  /**
   * Unpacks a layer tar (plain, gzip, zstd, xz) into an empty directory, in the form of an overlay lower directory.
   * @throws BakehouseError ARCHIVE_UNSAFE, DIGEST_MISMATCH
   */
  unpack(tar: string, directory: string, expected?: DiffId): Promise<DiffSummary>;
}
