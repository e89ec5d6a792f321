import { spawn } from "node:child_process";
import type { Readable } from "node:stream";
import type { ExecResult } from "../../ports/cells.ts";
import { killQuietly } from "./keeper.ts";

/** How a program is started inside: in all namespaces of the machine's first process, with nothing of this process's environment. */
export const enterArgv = (init: number, argv: readonly string[], environment: Readonly<Record<string, string>> = {}): readonly string[] => [
  "nsenter",
  ...["--target", String(init), "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--"],
  ...["env", "-i", ...Object.entries({ ...ENVIRONMENT, ...environment }).map(([name, value]) => `${name}=${value}`)],
  ...argv,
];

const ENVIRONMENT = {
  PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
  HOME: "/root",
  USER: "root",
  LANG: "C.UTF-8",
};

/** Bytes of each stream that are kept: a program that prints without end must not take this one's memory. */
const OUTPUT_AT_MOST = 16 * 1024 * 1024;

/**
 * A machine that shuts down stops its processes for a moment; nsenter stops itself when the program does, and would wait in that
 * state for a shell to wake it, with a dead program that systemd-shutdown waits for (seen: 90 s).
 */
const WAKE_MS = 500;

export interface RunOptions {
  readonly timeoutMs: number;
  readonly stdin?: string;
  readonly signal?: AbortSignal;
}

/** Runs a program in the machine whose first process is `init`. */
export async function runInCell(init: number, argv: readonly string[], options: RunOptions): Promise<ExecResult> {
  options.signal?.throwIfAborted();
  const [program = "", ...words] = enterArgv(init, argv);
  // a group of its own: the program inside is in it too, and can be ended with it
  const child = spawn(program, words, {
    stdio: ["pipe", "pipe", "pipe"],
    detached: true,
    cwd: "/",
    env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin" },
  });
  const kill = (): void => (child.pid === undefined ? undefined : killQuietly(-child.pid));
  let timedOut = false;
  const timer = setTimeout(() => ((timedOut = true), kill()), options.timeoutMs);
  const waker = setInterval(() => child.kill("SIGCONT"), WAKE_MS);
  options.signal?.addEventListener("abort", kill, { once: true });
  child.stdin.on("error", () => undefined); // it may not read all of it
  child.stdin.end(options.stdin ?? "");
  try {
    const closed = new Promise<number>((resolve, reject) => {
      child.once("error", reject);
      child.once("close", (code) => resolve(code ?? 128 + 9));
    });
    const [code, stdout, stderr] = await Promise.all([closed, collect(child.stdout), collect(child.stderr)]);
    options.signal?.throwIfAborted();
    return { code, stdout, stderr, timedOut };
  } finally {
    clearTimeout(timer);
    clearInterval(waker);
    options.signal?.removeEventListener("abort", kill);
  }
}

async function collect(stream: Readable): Promise<string> {
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    if (sizeBytes < OUTPUT_AT_MOST) chunks.push(chunk);
    sizeBytes += chunk.length;
  }
  return Buffer.concat(chunks).toString("utf8");
}
