import { spawn } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { BakehouseError } from "../../core/errors.ts";
import { LOOK_AT_FAILURE } from "../../core/look-at-failure.ts";
import type { Sandbox, SandboxCommand, SandboxResult } from "../../ports/sandbox.ts";
import type { SandboxSettings } from "../../ports/workspaces.ts";
import type { Holder } from "./holder.ts";
import { lineReader } from "./output.ts";

export interface CommandParts {
  readonly argv: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  readonly epochSeconds: number;
  readonly workingDirectory: string;
  readonly binds: readonly { readonly hostPath: string; readonly path: string; readonly readOnly: boolean }[];
  readonly network: SandboxSettings["network"];
}

export interface OverlaySandboxParts {
  readonly settings: SandboxSettings;
  readonly holder: Holder;
  /** A tmpfs in the holder's mount namespace: reached through /proc, seen by nobody else, gone with it. */
  readonly memoryFolder: string;
  withLent<T>(lent: SandboxCommand["lent"], work: () => Promise<T>): Promise<T>;
  /** The host argv that runs a command inside. */
  command(parts: CommandParts): readonly string[];
}

export function overlaySandbox(parts: OverlaySandboxParts): Sandbox {
  const startedAt = performance.now();
  const run = (command: SandboxCommand): Promise<SandboxResult> =>
    parts.withLent(command.lent, () => runCommand(parts, command, startedAt));
  return {
    run,
    check: async (command) => {
      const result = await run(command);
      if (result.exitCode !== 0) throw commandFailed(parts.settings.address, command, result);
      return result;
    },
  };
}

let sequence = 0;

async function runCommand(parts: OverlaySandboxParts, command: SandboxCommand, startedAt: number): Promise<SandboxResult> {
  const { settings } = parts;
  settings.signal.throwIfAborted();
  const memory = placeMemoryFiles(parts, command);
  try {
    const argv = parts.command({
      argv: command.argv,
      environment: command.environment ?? {},
      epochSeconds: settings.epochSeconds,
      workingDirectory: command.workingDirectory ?? "/",
      network: command.network ?? settings.network,
      binds: [
        ...(command.mounts ?? []).map((mount) => ({ hostPath: mount.hostPath, path: mount.path, readOnly: mount.readOnly ?? true })),
        ...memory.binds,
      ],
    });
    return await runProcess(parts, command, argv, settings.timeoutMs - (performance.now() - startedAt));
  } finally {
    memory.remove();
  }
}

function placeMemoryFiles(parts: OverlaySandboxParts, command: SandboxCommand): { readonly binds: CommandParts["binds"]; remove(): void } {
  const files = command.memoryFiles ?? [];
  const inside = join(parts.memoryFolder, String(sequence++));
  const outside = `/proc/${parts.holder.pid}/root${inside}`;
  const binds = files.map((file, index) => {
    const name = String(index);
    mkdirSync(outside, { recursive: true, mode: 0o700 });
    writeFileSync(join(outside, name), file.content);
    chmodSync(join(outside, name), file.mode ?? 0o400);
    return { hostPath: join(inside, name), path: join("/run", file.path), readOnly: true };
  });
  return {
    binds,
    remove: () => {
      if (files.length > 0 && existsSync(dirname(outside))) rmSync(outside, { recursive: true, force: true });
    },
  };
}

/** Enough of the end of the output to show why something failed. */
const TAIL_LINES = 40;
const CAPTURE_LIMIT_BYTES = 64 * 1024 * 1024;

function runProcess(
  parts: OverlaySandboxParts,
  command: SandboxCommand,
  argv: readonly string[],
  timeoutMs: number,
): Promise<SandboxResult> {
  const { settings, holder } = parts;
  return new Promise((resolve, reject) => {
    const [program = "nsenter", ...words] = argv;
    const child = spawn(program, words, {
      stdio: [command.stdin === undefined ? "ignore" : "pipe", "pipe", "pipe"],
      detached: true,
      env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin" },
    });
    const tail: string[] = [];
    const say = (raw: string): void => {
      const line = settings.mask(raw);
      tail.push(line);
      if (tail.length > TAIL_LINES) tail.shift();
      (command.onLine ?? settings.onLine)(line);
    };
    let failure: Error | undefined;
    // The whole workspace ends: whatever the command has started, in whatever group or session, goes with it.
    const end = (error: Error): void => {
      failure ??= error;
      holder.kill();
    };
    const onAbort = (): void => end(new BakehouseError("CANCELLED", `${settings.address}: stopped`));
    const timer = setTimeout(() => end(timeoutError(settings, tail)), Math.max(0, timeoutMs));
    settings.signal.addEventListener("abort", onAbort, { once: true });
    if (settings.signal.aborted) onAbort();
    const captured: Buffer[] = [];
    let capturedBytes = 0;
    const stdout = lineReader(say);
    const stderr = lineReader(say);
    child.stdout?.on("data", (chunk: Buffer) => {
      if (!command.captureStdout) return stdout.push(chunk);
      capturedBytes += chunk.length;
      if (capturedBytes > CAPTURE_LIMIT_BYTES) return end(new Error(`${command.argv.join(" ")} printed more than 64 MiB`));
      captured.push(chunk);
    });
    child.stderr?.on("data", (chunk: Buffer) => stderr.push(chunk));
    child.stdin?.on("error", () => undefined); // a command need not read what it is given
    child.stdin?.end(command.stdin);
    child.once("error", (error) => (failure ??= error));
    child.once("close", (code, signal) => {
      clearTimeout(timer);
      settings.signal.removeEventListener("abort", onAbort);
      stdout.end();
      stderr.end();
      if (failure !== undefined) return reject(failure);
      resolve({
        exitCode: code ?? 128,
        tail,
        ...(signal === null ? {} : { signal }),
        ...(command.captureStdout ? { stdout: Buffer.concat(captured).toString("utf8") } : {}),
      });
    });
  });
}

const timeoutError = (settings: SandboxSettings, tail: readonly string[]): BakehouseError =>
  new BakehouseError("STEP_TIMEOUT", `${settings.address}: not done after ${settings.timeoutMs / 1000} s${quoted(tail.slice(-5))}`, {
    hint: "set `timeout:` on the step if it needs longer",
    details: { step: settings.address, timeoutMs: settings.timeoutMs },
  });

const commandFailed = (address: string, command: SandboxCommand, result: SandboxResult): BakehouseError =>
  new BakehouseError(
    "STEP_FAILED",
    `${address}: \`${command.argv.join(" ").slice(0, 200)}\` ended with ${result.signal ?? `exit code ${result.exitCode}`}${quoted(result.tail)}`,
    {
      hint: LOOK_AT_FAILURE,
      details: { step: address, exitCode: result.exitCode },
    },
  );

const quoted = (lines: readonly string[]): string => (lines.length === 0 ? "" : `\n${lines.map((line) => `  | ${line}`).join("\n")}`);
