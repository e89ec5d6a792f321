import { spawn } from "node:child_process";
import { once } from "node:events";
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
  const stop = (): void => {
    if (child.pid === undefined) return;
    try {
      process.kill(-child.pid, "SIGKILL");
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
    }
  };
  options.signal.addEventListener("abort", stop, { once: true });
  if (options.signal.aborted) stop();
  const ended = once(child, "close");
  createInterface({ input: child.stdout }).on("line", options.onLine);
  await ended;
  options.signal.removeEventListener("abort", stop);
}
