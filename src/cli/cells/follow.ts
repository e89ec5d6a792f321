import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import type { Cell } from "../../ports/cells.ts";

export interface FollowOptions {
  readonly unit?: string;
  /** How many lines of before come first. */
  readonly lines: number;
  readonly signal: AbortSignal;
  onLine(line: string): void;
}

/** Hands over the lines of a cell's journal as they come, until the cell ends or the signal aborts. */
export async function followCell(cell: Cell, options: FollowOptions): Promise<void> {
  const [program = "", ...argv] = await cell.commandLine([
    ...["journalctl", "--follow", "--no-pager", "--quiet", "--output=short-iso", `--lines=${options.lines}`],
    ...(options.unit === undefined ? [] : [`--unit=${options.unit}`]),
  ]);
  // a group of its own, which Ctrl-C of the terminal does not reach: journalctl inside is in it too
  const child = spawn(program, argv, {
    stdio: ["ignore", "pipe", "ignore"],
    detached: true,
    env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin" },
  });
  const stop = (): void => (child.pid === undefined ? undefined : endInside(child.pid));
  options.signal.addEventListener("abort", stop, { once: true });
  if (options.signal.aborted) stop();
  const ended = once(child, "close");
  createInterface({ input: child.stdout }).on("line", options.onLine);
  await ended;
  options.signal.removeEventListener("abort", stop);
}

/**
 * Ends the program, and lets the one that started it inside (nsenter) take note and end by itself. Were both killed, whatever is
 * process 1 of the host would have to take note, at its leisure, and a machine that shuts down waits 10 s for a process that is dead.
 */
function endInside(outer: number): void {
  const inner = childrenOf(outer);
  for (const pid of inner.length > 0 ? inner : [-outer]) kill(pid);
}

function childrenOf(pid: number): readonly number[] {
  try {
    return readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ").filter(Boolean).map(Number);
  } catch {
    return []; // it has ended
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}
