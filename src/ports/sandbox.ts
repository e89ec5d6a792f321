import type { NetworkPolicy } from "../core/recipe/model.ts";
import type { Sha256 } from "../core/digest.ts";

export interface SandboxMount {
  readonly hostPath: string;
  /** Where it appears inside; made for the time of the command and removed again. */
  readonly path: string;
  /** Default true. */
  readonly readOnly?: boolean;
}

/**
 * A command inside the image. The environment is exactly: PATH, HOME=/root, LC_ALL=C.UTF-8, TZ=UTC, TERM=dumb,
 * SOURCE_DATE_EPOCH, DEBIAN_FRONTEND=noninteractive, and `environment` on top. umask 022, host name `bakehouse`,
 * /tmp, /run and /dev/shm are empty tmpfs, /proc and a small /dev are there, no other process is visible.
 */
export interface SandboxCommand {
  readonly argv: readonly [string, ...string[]];
  readonly environment?: Readonly<Record<string, string>>;
  /** Default `/`. */
  readonly workingDirectory?: string;
  readonly stdin?: string | Uint8Array;
  /** Default: the step's policy. */
  readonly network?: NetworkPolicy;
  readonly mounts?: readonly SandboxMount[];
  /** Files put into a tmpfs at /run/<path>, mode 0400 unless given; gone with the command. */
  readonly memoryFiles?: readonly { readonly path: string; readonly content: string | Uint8Array; readonly mode?: number }[];
  /** Digest of a tree of lent tools (see LentTools) that lies beneath the image for this command. */
  readonly lent?: Sha256;
  /** Each line of stdout and stderr, without its end; binary and escape codes made harmless; secrets masked. */
  readonly onLine?: (line: string) => void;
  /** Raw stdout instead of lines, for commands whose output is data; stderr still goes to onLine. At most 64 MiB. */
  readonly captureStdout?: boolean;
}

export interface SandboxResult {
  readonly exitCode: number;
  readonly signal?: string;
  /** Present with captureStdout. */
  readonly stdout?: string;
  /** The last lines (at most 40) of what it said, for error messages. */
  readonly tail: readonly string[];
}

/**
 * Runs commands in the image that is being baked. Kills everything that a command started when it ends.
 *
 * @throws BakehouseError STEP_TIMEOUT when the step's time is over, CANCELLED when its signal aborts
 */
export interface Sandbox {
  run(command: SandboxCommand): Promise<SandboxResult>;
  /** Like run, but throws STEP_FAILED with the tail of the output unless the exit code is 0. */
  check(command: SandboxCommand): Promise<SandboxResult>;
}
