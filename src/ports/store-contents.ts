import type { DiffId, ImageDigest, Sha256 } from "../core/digest.ts";
import type { StepRecord } from "./store.ts";

/** Parts of a store whose files are found by age rather than by reference. */
export type StoreArea = "packages" | "recorded" | "downloads" | "lent" | "apt" | "plans" | "logs" | "artifacts" | "snapshots" | "temporary";

export interface StoreItem {
  /** Below the store's root. */
  readonly path: string;
  readonly sizeBytes: number;
  /** When it was last written or read, as far as the file system tells; ISO 8601, UTC. */
  readonly usedAt: string;
  /** Of a snapshot: what it was made from, and an instance that runs from it. */
  readonly image?: ImageDigest;
  readonly usedBy?: string;
}

export interface WorkFolder {
  readonly id: string;
  readonly sizeBytes: number;
  /** What is at work in it, such as `process 123 on host`; undefined when its owner is dead. */
  readonly owner?: string;
  /** When it was kept for a look at a failed step, or last looked at; milliseconds. */
  readonly keptAtMs?: number;
  /** Diffs and blobs that it stands on, as far as it says so. */
  readonly uses: readonly Sha256[];
}

export interface StepFile {
  /** File name below `steps/`. */
  readonly file: string;
  readonly record?: StepRecord;
  readonly problem?: string;
}

/** Looks at what a store holds, byte by byte, for `verify` and `gc`. */
export interface StoreContents {
  hashBlob(digest: Sha256, options: { readonly signal: AbortSignal; readonly onBytes: (count: number) => void }): Promise<Sha256>;
  /**
   * Compares an unpacked diff with its tar: names, kinds, sizes, modes, owners, times, link targets; with `deep` also contents
   * and extended attributes. One line for each difference, the first 20.
   */
  compareDiff(diff: DiffId, options: { readonly deep: boolean; readonly signal: AbortSignal }): Promise<readonly string[]>;
  /** Unpacks a diff from its blob again, in place of what is there. */
  restoreDiff(diff: DiffId): Promise<void>;
  stepFiles(): readonly StepFile[];
  removeStepFile(file: string): void;
  /** index.json as it stands: its entries, or why it cannot be read. */
  readIndex(): { readonly entries: readonly unknown[] } | { readonly problem: string };
  /** Sets a damaged index.json aside and starts an empty one. */
  resetIndex(): void;
  /** Sizes of all files of a diff's folder. */
  diffSizeBytes(name: string): number;
  blobTime(digest: Sha256): number;
  diffTime(name: string): number;
  items(area: StoreArea): readonly StoreItem[];
  removeItem(item: StoreItem): void;
  workFolders(): readonly WorkFolder[];
  removeWorkFolder(id: string): void;
}
