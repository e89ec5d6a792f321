import type { BootOutcome, Expected, WatchedBoot } from "../core/boot/watched-boot.ts";
import type { Cell, ExecResult } from "./cells.ts";
import type { ImageRoot } from "./image-root.ts";
import type { Acceleration } from "./machines.ts";

/** One entry of an image's merged tree. `path` is absolute inside the image. */
export interface TreeEntry {
  readonly path: string;
  readonly kind: "file" | "directory" | "symlink" | "device" | "fifo";
  /** Permission bits with setuid, setgid and sticky. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly sizeBytes: number;
}

/** The file system of an image, mounted read-only, nothing started. */
export interface CheckTree {
  /** Reads by path inside the image, links followed inside the image. */
  readonly root: Pick<ImageRoot, "read" | "readText" | "stat" | "lstat" | "readLink" | "list">;
  /** For programs of the host. */
  readonly hostPath: string;
  /** Hex SHA-256 of a regular file, links followed; undefined if there is none. */
  sha256(path: string): string | undefined;
  /** Everything in it, parents first; walked once and kept. */
  entries(): readonly TreeEntry[];
  /** Content of a file of `entries()`: where it lies is known, so no path is looked up. */
  contentOf(entry: TreeEntry): Uint8Array;
}

/** Programs of this machine that look at an image from outside. */
export interface HostPrograms {
  /** Absolute path of a program on the PATH, or of a file that a package brings; undefined when it is not there. */
  find(name: string): string | undefined;
  readText(path: string): string | undefined;
  /** Ends with everything that it started when the time is over. @throws Error when it cannot be started */
  run(
    argv: readonly string[],
    options: {
      readonly timeoutMs: number;
      readonly environment?: Readonly<Record<string, string>>;
      readonly stdin?: string;
      readonly signal?: AbortSignal;
    },
  ): Promise<ExecResult>;
  /** An empty folder that is gone when the run of checks is over. */
  scratchFolder(): string;
}

/** Secrets that were used in the bake, where their values are given on this machine. */
export interface KnownSecrets {
  /** Files of a tree that hold one of them, plain or encoded. */
  findIn(directory: string): Promise<readonly { readonly path: string; readonly secret: string; readonly form: string }[]>;
  /** Names of those whose values are not given, so that nobody takes silence for a promise. */
  readonly missing: readonly string[];
  readonly names: readonly string[];
}

/** One start of the image as a virtual machine. */
export interface VmBootRequest {
  readonly kernel: "direct" | "firmware";
  readonly trimmed: boolean;
  readonly memoryMiB: number;
  readonly expected: Expected;
  /** From the moment when the machine is switched on. */
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

export interface VmBootReport extends Omit<WatchedBoot, "outcome"> {
  readonly outcome: BootOutcome;
  readonly acceleration: Acceleration;
  /** Lines of the serial console. */
  readonly serial: readonly string[];
}

/** The image has none that a machine could start. */
export interface NoKernel {
  /** How it gets one. */
  readonly remedy: string;
}

/** The image as virtual machines, each switched off when its boot was watched. */
export interface VmBoots {
  /**
   * Makes what machines start from, which takes this host's time and says nothing about the image. Once is enough.
   *
   * @returns what is wrong with the image; undefined when it can be started
   * @throws SETUP_INCOMPLETE, STORE_FULL
   */
  prepare(request: Pick<VmBootRequest, "kernel" | "signal">): Promise<NoKernel | undefined>;
  /** @throws SETUP_INCOMPLETE (no QEMU), VM_FAILED (QEMU refuses): nothing was learned about the image */
  boot(request: VmBootRequest): Promise<VmBootReport>;
}

/** Everything that checks can ask for. The engine opens each of them once per run, when the first check needs it. */
export interface CheckServices {
  readonly cell: Cell;
  readonly tree: CheckTree;
  readonly host: HostPrograms;
  readonly secrets: KnownSecrets;
  readonly vm: VmBoots;
}
