import type { StoreMarks } from "../core/audit/marks.ts";
import type { DiffId, ImageDigest, Sha256 } from "../core/digest.ts";
import type { StepInputs } from "../core/cache/step-inputs.ts";
import type { Descriptor, ImageConfig, ImageManifest, IndexEntry } from "../core/image/oci.ts";

/** What baking a step gave, by its cache key. */
export interface StepRecord {
  readonly key: Sha256;
  readonly address: string;
  readonly diffId: DiffId;
  /** Bytes of the diff's tar. */
  readonly sizeBytes: number;
  readonly entries: number;
  readonly inputs: StepInputs;
  readonly bakedAt: string;
  readonly durationMs: number;
  readonly tool: string;
}

/** Who holds something: a process, told apart from a later one with the same number by its start time and the boot. */
export interface Owner {
  readonly pid: number;
  /** Clock ticks after boot (field 22 of /proc/<pid>/stat). */
  readonly startTime: number;
  readonly bootId: string;
  readonly host: string;
  readonly what: string;
}

/**
 * Everything that bakes leave on disk. Folder layout (format 1), all below one root:
 *
 *     format                 "1"; a greater number is refused with STORE_TOO_NEW
 *     oci/                   OCI image layout: oci-layout, index.json, blobs/sha256/<hex>
 *     diffs/<16 hex>/        an unpacked diff, an overlay lower directory
 *     steps/<hex>.json       StepRecord by cache key; written last, so what it names is whole
 *     plans/<hex>.json       the inputs of the last bake of a recipe file, to say what changed
 *     packages/ apt/ recorded/ downloads/ lent/   what the lock names
 *     work/<bake>/           of one bake; owner.json says whose; anybody removes it when the owner is dead
 *     logs/<bake>/           log.txt, events.jsonl
 *     keys/                  for signing papers; see local-keys
 *     catalog.db             SQLite; rebuilt from oci/ when damaged
 *
 * Files are written beside their place and renamed into it; whoever finds the same content there already, drops theirs.
 */
export interface Store {
  readonly root: string;
  readonly readOnly: boolean;
  /** Whether the disk has no room for anything more. */
  isFull(): boolean;
  path(...parts: readonly string[]): string;
  /** Small JSON files of the engine's own, by path below the root; undefined when absent or unreadable. */
  readNote(path: string): unknown;
  writeNote(path: string, value: unknown): void;
  readonly steps: {
    find(key: Sha256): StepRecord | undefined;
    save(record: StepRecord): void;
    all(): readonly StepRecord[];
    remove(key: Sha256): void;
  };
  readonly blobs: {
    path(digest: Sha256): string;
    has(digest: Sha256): boolean;
    sizeBytes(digest: Sha256): number;
    /** Moves a finished file in. */
    adopt(file: string, digest: Sha256): void;
    putJson(value: unknown): { readonly digest: Sha256; readonly sizeBytes: number };
    /** Keeps a text under its digest. */
    putText(text: string): { readonly digest: Sha256; readonly sizeBytes: number };
    readJson(digest: Sha256): unknown;
    list(): readonly Sha256[];
    remove(digest: Sha256): void;
  };
  readonly diffs: {
    /** Folder name below `diffs/`. */
    name(diff: DiffId): string;
    folder(diff: DiffId): string;
    has(diff: DiffId): boolean;
    /** Moves a finished directory in. */
    adopt(directory: string, diff: DiffId): void;
    list(): readonly string[];
    remove(name: string): void;
  };
  readonly images: {
    entries(): readonly IndexEntry[];
    /** Adds or replaces entries in index.json, under a lock; a name moves to the newest. */
    put(entries: readonly IndexEntry[]): Promise<void>;
    remove(digests: readonly ImageDigest[]): Promise<void>;
    manifest(digest: ImageDigest): ImageManifest;
    config(digest: ImageDigest): ImageConfig;
  };
  /**
   * What is attached to images (`subject`), by the referrers tag schema of the OCI distribution specification 1.1, in this layout:
   * one entry of index.json for each image that has any, called `sha256-<hex of the image>`; it leads to an image index that
   * lists the manifests. `images.entries()` leaves these entries out.
   */
  readonly referrers: {
    /** Images that have any, each with the digest of the image index that lists them. */
    indexes(): ReadonlyMap<ImageDigest, Sha256>;
    /** The newest first; empty when there are none. @throws STORE_DAMAGED */
    of(subject: ImageDigest): readonly Descriptor[];
    /** Under the lock of index.json: two writers lose nothing. What is listed already stays where it is. */
    add(subject: ImageDigest, manifests: readonly Descriptor[]): Promise<void>;
    /** Takes these manifests off the list, or the whole list. The blobs stay for `gc`. */
    remove(subject: ImageDigest, manifests?: readonly Sha256[]): Promise<void>;
  };
  /** Where channels point, and what is revoked. The ledger of the catalog is the truth; this is the quick way to read it. */
  marks(): StoreMarks;
  /** A folder for one bake, owned by this process. */
  workFolder(bake: string): string;
  releaseWorkFolder(bake: string): void;
  /** Whether a dead owner left a work folder: then there may be more to tidy. Reads one folder. */
  hasLeftovers(): boolean;
  /** Removes what dead owners left: work folders, and files that were on their way to their place. Returns what was removed. */
  tidy(): readonly { readonly kind: string; readonly id: string }[];
  /** Work folders that were kept for a look (`--keep-on-failure`), newest first. */
  kept(): readonly { readonly bake: string; readonly folder: string }[];
  keepWorkFolder(bake: string, about: unknown): void;
  /** Runs `work` while this process alone holds `name`; a dead holder's lock is taken over. */
  withLock<T>(name: string, options: { readonly signal?: AbortSignal; onWait?(owner: Owner): void }, work: () => Promise<T>): Promise<T>;
  close(): void;
}
