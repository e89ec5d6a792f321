import { BakehouseError } from "../core/errors.ts";
import { didYouMean } from "../core/text/did-you-mean.ts";
import type { BakeLogs } from "../ports/bake-logs.ts";

export interface LogLine {
  /** `<layer>/<step>` that printed it. */
  readonly step: string;
  readonly line: string;
}

export interface BakeLogText {
  readonly bake: string;
  /** The file, for other programs. */
  readonly file: string;
  readonly lines: readonly LogLine[];
}

export interface ReadLogsOptions {
  /** Bake id or its beginning; default the newest. */
  readonly bake?: string;
  /** Only lines of this step: its address, or its name within a layer. */
  readonly step?: string;
}

/** @throws BAKE_NOT_FOUND, INPUT_INVALID (no such step in the log) */
export function readLogs(logs: BakeLogs, options: ReadLogsOptions): BakeLogText {
  const bake = findBake(logs.list(), options.bake);
  const all = logs.readText(bake, 0).lines.map(lineOf);
  return { bake, file: logs.path(bake), lines: options.step === undefined ? all : ofStep(all, options.step, bake, stepsOf(logs, bake)) };
}

/**
 * Hands over the lines of a log as they come, until the bake ends, `isRunning` says that its process is gone, or the signal
 * aborts. What was there before comes first.
 */
export async function followLogs(
  logs: BakeLogs,
  options: ReadLogsOptions & {
    readonly signal: AbortSignal;
    pause(): Promise<void>;
    isRunning(bake: string): Promise<boolean>;
    onLine(line: LogLine): void;
  },
): Promise<{ readonly bake: string; readonly lines: number }> {
  const bake = findBake(logs.list(), options.bake);
  let next = 0;
  let count = 0;
  const drain = (): void => {
    const read = logs.readText(bake, next);
    next = read.next;
    for (const line of read.lines.map(lineOf)) {
      if (options.step !== undefined && !isStep(line.step, options.step)) continue;
      count += 1;
      options.onLine(line);
    }
  };
  for (let running = true; running && !options.signal.aborted;) {
    running = !hasEnded(logs, bake) && (await options.isRunning(bake));
    drain(); // after the look: nothing is written once a bake has ended
    if (running) await options.pause();
  }
  return { bake, lines: count };
}

const hasEnded = (logs: BakeLogs, bake: string): boolean =>
  logs.readEvents(bake).some((event) => (event as { readonly type?: unknown } | null)?.type === "bake-ended");

/** Finds a bake by id or by its beginning; the newest if none is asked for. `ids` newest first. */
export function findBake(ids: readonly string[], wanted: string | undefined): string {
  if (wanted === undefined || wanted === "last") {
    const [newest] = ids;
    if (newest !== undefined) return newest;
    throw new BakehouseError("BAKE_NOT_FOUND", "Nothing was baked in this store yet", { hint: "bakehouse bake" });
  }
  const found = ids.includes(wanted) ? [wanted] : ids.filter((id) => id.startsWith(wanted) || id.endsWith(`-${wanted}`));
  const [bake] = found;
  if (bake !== undefined && found.length === 1) return bake;
  if (found.length > 1)
    throw new BakehouseError("REFERENCE_AMBIGUOUS", `${wanted} stands for ${found.length} bakes: ${found.slice(0, 8).join(", ")}`, {
      hint: "use more of the id",
      details: found,
    });
  const near = didYouMean(wanted, ids);
  throw new BakehouseError("BAKE_NOT_FOUND", `No bake of this store has the id ${JSON.stringify(wanted)}`, {
    hint: near === undefined ? "bakehouse bakes" : `did you mean ${near}? \`bakehouse bakes\` shows all`,
  });
}

/** Lines are `<address>: <text>`. */
function lineOf(text: string): LogLine {
  const colon = text.indexOf(": ");
  return colon < 0 ? { step: "", line: text } : { step: text.slice(0, colon), line: text.slice(colon + 2) };
}

const isStep = (address: string, wanted: string): boolean => address === wanted || address.endsWith(`/${wanted}`);

const stepsOf = (logs: BakeLogs, bake: string): readonly string[] => [
  ...new Set(
    logs.readEvents(bake).flatMap((event) => {
      const step = (event as { readonly step?: unknown } | null)?.step;
      return typeof step === "string" ? [step] : [];
    }),
  ),
];

function ofStep(lines: readonly LogLine[], wanted: string, bake: string, steps: readonly string[]): readonly LogLine[] {
  const found = lines.filter(({ step }) => isStep(step, wanted));
  if (found.length > 0 || steps.some((step) => isStep(step, wanted))) return found;
  const near = didYouMean(wanted, steps);
  throw new BakehouseError("INPUT_INVALID", `Bake ${bake} has no step ${JSON.stringify(wanted)}`, {
    hint:
      near === undefined ? (steps.length === 0 ? `bakehouse bakes ${bake}` : `its steps: ${steps.join(", ")}`) : `did you mean ${near}?`,
  });
}
