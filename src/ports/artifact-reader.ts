import type { ArtifactRecord, DiskFormat } from "../core/artifact/artifact-record.ts";

/** `oci`: a layout, as a folder or a tar of it. */
export type ArtifactFormat = DiskFormat | "squashfs" | "erofs" | "tar" | "oci";

/** An artifact as it was read back, every file of it. */
export interface ReadArtifact {
  readonly format: ArtifactFormat;
  /** What it says about itself; absent when it says nothing, as artifacts of others. */
  readonly record?: ArtifactRecord;
  /** The listing that it carries. */
  readonly carried?: string;
  /** The listing of what is really in it. */
  readonly listing: string;
  /** Access lists could not be kept in it. */
  readonly lacksAccessLists: boolean;
  /** What is wrong with it besides its content, such as another boot loader than its record names. */
  readonly faults: readonly string[];
}

/** Reads exported files back, read-only and where nobody else sees it. */
export interface ArtifactReader {
  /**
   * @throws INPUT_INVALID (no such file, or of no format that is known), DISK_INVALID, ARCHIVE_INVALID, SETUP_INCOMPLETE, CANCELLED
   */
  read(file: string, options: { readonly signal: AbortSignal; readonly onBytes: (doneBytes: number) => void }): Promise<ReadArtifact>;
}
