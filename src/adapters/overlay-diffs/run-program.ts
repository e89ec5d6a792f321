import { spawn } from "node:child_process";
import { BakehouseError } from "../../core/errors.ts";

export interface ProgramOptions {
  readonly input?: string | Uint8Array;
  readonly cwd?: string;
  readonly signal?: AbortSignal;
  readonly environment?: NodeJS.ProcessEnv;
}

/** The Debian package that has a program, for hints. */
const PACKAGE_OF: Readonly<Record<string, string>> = {
  getfattr: "attr",
  setfattr: "attr",
  "mkfs.erofs": "erofs-utils",
  mksquashfs: "squashfs-tools",
  "qemu-img": "qemu-utils",
  xz: "xz-utils",
  zstd: "zstd",
  xargs: "findutils",
  sh: "dash",
};

export function missingProgram(program: string, cause?: unknown): BakehouseError {
  return new BakehouseError(
    "SETUP_INCOMPLETE",
    `The program ${program} is not installed`,
    { hint: `apt-get install ${PACKAGE_OF[program] ?? program}` },
    cause,
  );
}

/** Kills what a cancelled call started, and says which of the two it was. */
export function cancelledError(signal: AbortSignal): Error {
  return signal.reason instanceof BakehouseError
    ? signal.reason
    : new BakehouseError("CANCELLED", "Stopped before it was done", {}, signal.reason);
}

export function throwIfCancelled(signal: AbortSignal | undefined): void {
  if (signal?.aborted === true) throw cancelledError(signal);
}

/** A full disk is the user's to know; anything else passes as it is. */
export function diskError(error: unknown, what: string): unknown {
  const code = (error as NodeJS.ErrnoException | undefined)?.code;
  if (code === "ENOSPC" || code === "EDQUOT") {
    return new BakehouseError("STORE_FULL", `No space left while writing ${what}`, { hint: "bakehouse gc" }, error);
  }
  return error;
}

/**
 * Runs a program of the host to its end with LC_ALL=C.
 *
 * @returns stdout, one character per byte
 * @throws BakehouseError SETUP_INCOMPLETE, CANCELLED; plain Error with stderr when it fails
 */
export function runProgram(argv: readonly [string, ...string[]], options: ProgramOptions = {}): Promise<string> {
  const [program, ...rest] = argv;
  return new Promise((resolve, reject) => {
    const child = spawn(program, rest, {
      stdio: ["pipe", "pipe", "pipe"],
      env: { ...(options.environment ?? process.env), LC_ALL: "C" },
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
      ...(options.signal === undefined ? {} : { signal: options.signal }),
    });
    const output: Buffer[] = [];
    let complaint = "";
    child.stdout.on("data", (chunk: Buffer) => output.push(chunk));
    child.stderr.on("data", (chunk: Buffer) => (complaint = (complaint + chunk.toString("latin1")).slice(-4000)));
    // a program that ends early closes its stdin; its exit code says why
    child.stdin.on("error", () => undefined);
    child.stdin.end(options.input ?? "");
    child.on("error", (error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") reject(missingProgram(program, error));
      else reject(options.signal?.aborted === true ? cancelledError(options.signal) : error);
    });
    child.on("close", (code, signalName) => {
      if (code === 0) resolve(Buffer.concat(output).toString("latin1"));
      else
        reject(
          options.signal?.aborted === true
            ? cancelledError(options.signal)
            : new Error(`${program} ended with ${signalName ?? code}: ${complaint.trim()}`),
        );
    });
  });
}
