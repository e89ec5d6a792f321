import type { ArtifactRecord } from "../core/artifact/artifact-record.ts";
import type { Sha256 } from "../core/digest.ts";
import type { IndexEntry } from "../core/image/oci.ts";
import type { OpenTree } from "./image-trees.ts";

export const TREE_FORMATS = ["tar", "dir", "squashfs", "erofs"] as const;
export type TreeFormat = (typeof TREE_FORMATS)[number];

export interface ExportOptions {
  /** Must not exist, unless `replace`. */
  readonly target: string;
  readonly replace: boolean;
  readonly signal: AbortSignal;
  /** Bytes written so far. */
  readonly onBytes: (doneBytes: number) => void;
}

export interface Exported {
  readonly target: string;
  readonly sizeBytes: number;
  /** Of the file; absent for a directory. */
  readonly digest?: Sha256;
}

export interface TreeAbout {
  readonly epochSeconds: number;
  /** What the ids of file systems are made of. */
  readonly identity: Sha256;
  /** What the file is to say about itself, where its format has a place for it. */
  readonly mark?: { readonly record: ArtifactRecord; readonly listing: string };
}

/** Brings images out of the store. The target appears whole or not at all; equal content gives equal bytes. */
export interface ImageExports {
  tree(tree: Pick<OpenTree, "hostPath" | "inside">, format: TreeFormat, about: TreeAbout, options: ExportOptions): Promise<Exported>;
  /** An OCI layout that holds these entries and blobs and nothing else: a folder, or a tar of it when the target ends in `.tar`. */
  layout(
    content: { readonly entries: readonly IndexEntry[]; readonly blobs: readonly Sha256[] },
    options: ExportOptions,
  ): Promise<Exported>;
  /** One blob as it is. */
  blob(digest: Sha256, options: ExportOptions): Promise<Exported>;
}
