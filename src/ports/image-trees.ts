import type { DiffId, Sha256 } from "../core/digest.ts";
import type { ListedEntry } from "../core/layer/merge-layers.ts";

/** What a machine made from an image sees: diffs upon each other, and a release volume at its path. */
export interface TreeSource {
  /** The lowest first. */
  readonly diffs: readonly DiffId[];
  readonly volume?: { readonly blob: Sha256; readonly path: string };
}

export interface ListOptions {
  /** Hash the content of each file. Default false. */
  readonly hash?: boolean;
  /** With `hash`: also SHA-1, which SPDX wants. Default false. */
  readonly sha1?: boolean;
  /** Whose contents to hand over; small files, they are all held in memory. */
  readonly wantsContent?: (entry: { readonly path: string }) => boolean;
  readonly signal?: AbortSignal;
}

export interface OpenTree {
  /** Host path of the merged tree, read-only; for this process and the programs that it starts. */
  readonly hostPath: string;
  /** The same place for programs that must be started inside: a process whose mount namespace has it, and its path there. */
  readonly inside: { readonly pid: number; readonly path: string };
  close(): Promise<void>;
}

/** Reads the trees of images. */
export interface ImageTrees {
  /** Entries of a layer as its tar has them, whiteouts included. @throws ARCHIVE_INVALID, STORE_DAMAGED when the blob is missing */
  layer(diff: DiffId, options?: ListOptions): Promise<readonly ListedEntry[]>;
  /** Entries of a release volume, by path below its own root. */
  volume(blob: Sha256, options?: ListOptions): Promise<readonly ListedEntry[]>;
  /** Content of a regular file of the merged diffs (without the volume); undefined if there is none. */
  readFile(diffs: readonly DiffId[], path: string): Promise<string | undefined>;
  /**
   * Mounts the merged tree where nobody else sees it; it is gone when this process dies.
   *
   * @param options.uncovered  a host path that must be seen by programs started `inside`
   */
  open(source: TreeSource, options?: { readonly uncovered?: string }): Promise<OpenTree>;
  /** Unpacks diffs whose folder is missing from their blobs again. @returns their ids */
  ensureUnpacked(diffs: readonly DiffId[]): Promise<readonly DiffId[]>;
}
