import type { DiskFormat, RootType } from "../core/artifact/artifact-record.ts";
import type { ImageDigest } from "../core/digest.ts";
import type { ImageContents } from "./image-contents.ts";
import type { Exported, ExportOptions } from "./image-exports.ts";
import type { OpenTree } from "./image-trees.ts";

export interface DiskRequest {
  readonly format: DiskFormat;
  readonly root: RootType;
  readonly image: ImageDigest;
  /** As the recipe calls it. */
  readonly name: string;
  readonly contents: ImageContents;
  readonly epochSeconds: number;
  /** The root file system alone. */
  readonly tree: OpenTree;
  /** A release volume: its erofs image, and where it is mounted. */
  readonly volume?: { readonly hostPath: string; readonly path: string };
  /** Of a partition that keeps what is written above a read-only root; 0: in memory. */
  readonly dataBytes: number;
  /** Of the whole disk, at least. */
  readonly sizeBytes: number;
  /**
   * Host path of a disk, raw or qcow2, whose root file system is replaced by the tree in a copy of it: everything else on it stays,
   * down to the root's own UUID and label. Then nothing above but the tree counts.
   */
  readonly onto?: string;
  /** Further words for the kernel's command line. */
  readonly append: readonly string[];
}

/** Makes disks that machines start from, of files only: nothing is mounted for writing, no loop device is used. */
export interface DiskImages {
  /** @throws DISK_INVALID (`onto`), INPUT_INVALID (no kernel; a root that cannot hold the content), SETUP_INCOMPLETE, STORE_FULL, CANCELLED */
  write(request: DiskRequest, options: ExportOptions): Promise<Exported>;
}
