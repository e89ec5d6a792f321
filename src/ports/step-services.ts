import type { Sha256 } from "../core/digest.ts";
import type { RootChoice } from "../core/disk/find-root.ts";
import type { Attributes } from "./image-root.ts";

/** One entry of a tree in the recipe's folder. `path` is relative to the tree (`""` for a single file). */
export interface InputEntry {
  readonly path: string;
  readonly kind: "file" | "directory" | "symlink";
  readonly hostPath: string;
  /** Whether the owner may execute it; all other mode bits of the host are ignored (they depend on the umask). */
  readonly executable: boolean;
  readonly sizeBytes: number;
  readonly linkTarget?: string;
}

/** Files of the recipe's folder that the step declared in `requires`. Never outside of that folder. */
export interface Inputs {
  /** Entries sorted by path, parents first. @throws INPUT_INVALID */
  tree(path: string, excludes?: readonly string[]): readonly InputEntry[];
  readText(path: string): string;
  read(path: string): Uint8Array;
  /** Absolute host path of a declared file or folder. */
  hostPath(path: string): string;
}

export interface Downloads {
  /** Host path of a declared download, verified. */
  file(sha256: Sha256): string;
}

export interface UnpackOptions {
  /** Directory inside the image; default `/`. */
  readonly into?: string;
  /** Leading path components to drop; default 0. */
  readonly strip?: number;
  readonly owner?: Attributes;
  /** Allow device nodes (a root file system has them); default false. Absolute names and `..` are always refused. */
  readonly devices?: boolean;
  /** Interpret `.wh.` entries as OCI whiteouts; default false. */
  readonly whiteouts?: boolean;
}

export interface Archives {
  /** Unpacks a tar (plain, gzip, xz, zstd) into the image. @throws ARCHIVE_UNSAFE, all bad entries at once, before anything is written */
  unpack(hostPath: string, options?: UnpackOptions): Promise<void>;
}

export interface DiskTree {
  /** For people: `partition 2 ext4 "root" 1c3f… 900 MB`. */
  readonly from: string;
}

/** Disk images of machines that somebody else has made. */
export interface Disks {
  /**
   * Copies the tree of a disk's root file system into the image. The disk is only read: what has to be replayed or unpacked
   * for that happens to a copy.
   *
   * @param choice  which file system; absent: the only one that a machine could start from
   * @throws DISK_INVALID, SETUP_INCOMPLETE
   */
  copyTree(hostPath: string, choice: RootChoice | undefined): Promise<DiskTree>;
}

export interface Secrets {
  /** @throws SECRET_MISSING */
  get(name: string): string;
  readonly names: readonly string[];
}

/** Trees of tools that lie beneath the image while a command runs (see SandboxCommand.lent). */
export interface LentTools {
  /** Extracts the step's lent packages once per set; the name to give to a command. */
  readonly digest: Sha256 | undefined;
  /** Host path of the extracted tree. */
  readonly hostPath: string | undefined;
}
