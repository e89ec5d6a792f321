import { spawnSync } from "node:child_process";
import { join } from "node:path";

export interface Measurement {
  readonly wallSeconds: number;
  /** user + sys of the command and all that it started. */
  readonly cpuSeconds: number;
  /** Largest resident set of any single process among them. */
  readonly largestBytes: number;
}

const SCRIPT = join(import.meta.dirname, "measure.py");

export interface Command {
  readonly argv: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** What has to be so before each run, not measured. */
  readonly before?: () => void;
}

/** One run. @throws when the command fails: a figure of a failure is no figure */
export function measureOnce(command: Command, log: string): Measurement {
  command.before?.();
  const result = spawnSync("python3", [SCRIPT, ...command.argv], {
    encoding: "utf8",
    cwd: command.cwd,
    env: { ...process.env, ...command.env, BENCH_LOG: log },
    maxBuffer: 1 << 24,
  });
  const measured = JSON.parse(result.stdout || "{}") as Measurement & { readonly status: number };
  if (measured.status !== 0)
    throw new Error(`${command.argv.join(" ").slice(0, 200)} ended with ${measured.status}; what it said is in ${log}`);
  return measured;
}

/** The median run by CPU seconds of several. */
export function measure(command: Command, runs: number, log: string): Measurement {
  const all = Array.from({ length: runs }, () => measureOnce(command, log)).sort((a, b) => a.cpuSeconds - b.cpuSeconds);
  const median = all[Math.floor((all.length - 1) / 2)];
  if (median === undefined) throw new Error("no runs");
  const walls = all.map((run) => run.wallSeconds).sort((a, b) => a - b);
  return { ...median, wallSeconds: walls[Math.floor((walls.length - 1) / 2)] ?? median.wallSeconds };
}
