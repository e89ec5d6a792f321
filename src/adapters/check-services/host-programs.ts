import { spawn } from "node:child_process";
import { accessSync, constants, existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ExecResult } from "../../ports/cells.ts";
import type { HostPrograms } from "../../ports/check-services.ts";

/** What a tool prints beyond it is cut off: nobody reads it, and evidence is kept. */
const MOST_OUTPUT_BYTES = 8 * 1024 * 1024;
/** Where Debian keeps what only root runs; not on everybody's PATH. */
const MORE_FOLDERS = ["/usr/sbin", "/sbin"];

/**
 * Programs of this machine.
 *
 * @param environment  its PATH says where to look
 */
export function hostPrograms(environment: Readonly<Record<string, string | undefined>>): HostPrograms & { close(): void } {
  const folders = [...(environment["PATH"] ?? "").split(":"), ...MORE_FOLDERS].filter((folder) => folder !== "");
  const scratch: string[] = [];
  return {
    find: (name) =>
      name.startsWith("/") ? (existsSync(name) ? name : undefined) : folders.map((folder) => join(folder, name)).find(isProgram),
    readText: (path) => {
      try {
        return readFileSync(path, "utf8");
      } catch {
        return undefined;
      }
    },
    run: (argv, options) =>
      run(argv, { ...options, environment: { PATH: folders.join(":"), LC_ALL: "C", HOME: "/", ...options.environment } }),
    scratchFolder: () => {
      const folder = mkdtempSync(join(tmpdir(), "bakehouse-check-"));
      scratch.push(folder);
      return folder;
    },
    close: () => {
      for (const folder of scratch.splice(0)) rmSync(folder, { recursive: true, force: true });
    },
  };
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

type RunOptions = Parameters<HostPrograms["run"]>[1];

/** A group of its own, so that nothing that the program started is left when its time is over; setpriv ends it with this process. */
function run(argv: readonly string[], { timeoutMs, environment, stdin, signal }: RunOptions): Promise<ExecResult> {
  return new Promise((resolve, reject) => {
    const child = spawn("setpriv", ["--pdeathsig", "KILL", "--", ...argv], {
      stdio: ["pipe", "pipe", "pipe"],
      env: { ...environment },
      detached: true,
    });
    const output = { stdout: [] as Buffer[], stderr: [] as Buffer[] };
    const collect = (chunks: Buffer[]): ((chunk: Buffer) => void) => {
      let size = 0;
      return (chunk) => {
        if (size < MOST_OUTPUT_BYTES) chunks.push(chunk);
        size += chunk.length;
      };
    };
    child.stdout.on("data", collect(output.stdout));
    child.stderr.on("data", collect(output.stderr));
    // a program that ends early closes its stdin; its exit code says why
    child.stdin.on("error", () => undefined);
    child.stdin.end(stdin ?? "");
    let timedOut = false;
    const end = (): void => {
      if (child.pid === undefined) return;
      try {
        process.kill(-child.pid, "SIGKILL");
      } catch {
        // it ended by itself meanwhile
      }
    };
    const timer = setTimeout(() => {
      timedOut = true;
      end();
    }, timeoutMs);
    signal?.addEventListener("abort", end, { once: true });
    if (signal?.aborted === true) end();
    const done = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", end);
    };
    child.on("error", (cause) => {
      done();
      reject(cause);
    });
    child.on("close", (code) => {
      done();
      const text = (chunks: readonly Buffer[]): string => Buffer.concat(chunks).toString("utf8");
      resolve({ code: code ?? KILLED, stdout: text(output.stdout), stderr: text(output.stderr), timedOut });
    });
  });
}

/** As a shell tells of a program that SIGKILL ended. */
const KILLED = 137;
