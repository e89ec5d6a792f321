import { spawn } from "node:child_process";
import { BakehouseError } from "../../core/errors.ts";

export interface ProgramResult {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Exactly this and what the caller adds: neither the host's language nor its apt settings reach the program. */
const ENVIRONMENT = { PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", LC_ALL: "C", HOME: "/nonexistent" };

/**
 * Runs a program of the host to its end.
 *
 * @param debianPackage  what to install when the program is not there
 * @throws BakehouseError SETUP_INCOMPLETE, CANCELLED
 */
export function runProgram(
  argv: readonly [string, ...string[]],
  options: { readonly debianPackage: string; readonly environment?: Readonly<Record<string, string>>; readonly signal: AbortSignal },
): Promise<ProgramResult> {
  const [program, ...rest] = argv;
  return new Promise((resolve, reject) => {
    const child = spawn(program, rest, {
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...ENVIRONMENT, ...options.environment },
      signal: options.signal,
    });
    const stdout: Buffer[] = [];
    const stderr: Buffer[] = [];
    child.stdout.on("data", (chunk: Buffer) => stdout.push(chunk));
    child.stderr.on("data", (chunk: Buffer) => stderr.push(chunk));
    child.on("error", (error: NodeJS.ErrnoException) => reject(startError(error, program, options)));
    child.on("close", (code) =>
      resolve({ exitCode: code ?? 1, stdout: Buffer.concat(stdout).toString(), stderr: Buffer.concat(stderr).toString() }),
    );
  });
}

function startError(
  error: NodeJS.ErrnoException,
  program: string,
  options: { readonly debianPackage: string; readonly signal: AbortSignal },
): Error {
  if (options.signal.aborted) return new BakehouseError("CANCELLED", `Stopped while running ${program}`, {}, error);
  if (error.code !== "ENOENT") return error;
  return new BakehouseError(
    "SETUP_INCOMPLETE",
    `${program} is not on this machine`,
    { hint: `apt-get install ${options.debianPackage}` },
    error,
  );
}
