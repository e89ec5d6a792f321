import type { CheckAnswer } from "../core/checks/check.ts";
import type { CheckResult } from "../core/checks/verdict.ts";
import type { EventBody } from "../core/events.ts";
import { BakehouseError } from "../core/errors.ts";
import type { Cell, Cells } from "../ports/cells.ts";
import type { CheckTree } from "../ports/check-services.ts";
import type { Clock } from "../ports/host.ts";
import type { ImageContent } from "./image-content.ts";
import { resultOf } from "./run-check.ts";

/** A minute: the start of a cell takes half a second; who needs more waits for something that does not come (measured, feasibility §2). */
const BOOT_MS = 60_000;

/** For a question that a living machine answers in milliseconds, on a busy one (a guess). */
const STILL_THERE_MS = 20_000;

export interface CheckedMachineRequest {
  cells(): Promise<Cells>;
  tree(): Promise<CheckTree>;
  readonly content: ImageContent;
  readonly layer: string;
  readonly architecture: string;
  readonly keep: boolean;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** The machine starts by itself from here on, or will not: a good moment for work that keeps this process busy. */
  onStarting(): void;
  tell(body: EventBody): void;
}

/** The cell that checks are asked of, or why there is none. */
export interface CheckedMachine {
  readonly cell?: Cell;
  /** What every check of the cell says in its place. */
  readonly problem?: CheckAnswer;
  /** Whether the machine, once up, has ended or is about to. */
  hasEnded(): Promise<boolean>;
  /** The start as a result of its own, `boot`; asked when all is done, since a machine may end by itself meanwhile. */
  result(): Promise<CheckResult>;
}

/** Starts the cell and waits until systemd has started everything. Whose fault it is when that fails is told apart. */
export async function checkedMachine(request: CheckedMachineRequest): Promise<CheckedMachine> {
  const { clock, content } = request;
  const startedMs = clock.elapsedMs();
  const startedAt = clock.now().toISOString();
  const result = (answer: CheckAnswer, durationMs: number): CheckResult =>
    resultOf({ declared: { check: "boot", name: "boot", layer: request.layer, options: {} }, platform: "cell" }, answer, {
      attempts: 1,
      startedAt,
      durationMs,
      asked: { timeoutMs: BOOT_MS },
    });
  const none = (problem: CheckAnswer, durationMs?: number): Pick<CheckedMachine, "problem" | "hasEnded" | "result"> => ({
    problem,
    hasEnded: () => Promise.resolve(true),
    result: () => Promise.resolve(told(problem, durationMs)),
  });
  const told = (answer: CheckAnswer, durationMs = clock.elapsedMs() - startedMs): CheckResult => {
    const made = result(answer, durationMs);
    request.tell({
      type: "check-answered",
      check: "boot",
      verdict: made.verdict,
      summary: made.summary,
      attempts: 1,
      durationMs: made.durationMs,
    });
    return made;
  };
  const { architecture } = content.config;
  if (architecture !== request.architecture) {
    const problem = noCell(
      `the image is for ${architecture}, this machine is ${request.architecture}`,
      "check it on a machine of its kind",
    );
    return none(problem);
  }
  request.tell({ type: "cell-starting", name: content.name });
  let cell: Cell;
  try {
    cell = await (
      await request.cells()
    ).start(
      {
        image: { digest: content.entry.digest, name: content.name },
        source: content.source,
        purpose: request.keep ? "run" : "check",
        publish: [],
        files: {},
      },
      request.signal,
    );
  } catch (cause) {
    if (request.signal.aborted) throw cause;
    const problem = (await withoutInit(request)) ?? startProblem(cause);
    return none(problem);
  }
  request.onStarting();
  const state = await cell.booted(BOOT_MS);
  const bootMs = cell.bootMs ?? clock.elapsedMs() - startedMs;
  request.tell({ type: "cell-started", cell: cell.state.name, state, durationMs: bootMs });
  if (state === "dead" || state === "starting") {
    const problem = (await withoutInit(request)) ?? (await neverUp(cell, state));
    return { cell, ...none(problem, bootMs) };
  }
  const up: CheckAnswer = {
    verdict: "passed",
    summary: `up in ${Math.round(bootMs)} ms${state === "degraded" ? ", degraded: a unit failed" : ""}`,
    answered: { state, bootMs: Math.round(bootMs) },
  };
  const started = told(up, bootMs);
  // systemd, once up, is running or degraded; on its way down it says so or does not answer, and the cell lives a little longer
  const hasEnded = async (): Promise<boolean> =>
    !cell.isAlive() || !["running", "degraded"].includes(await cell.booted(STILL_THERE_MS).catch(() => "dead"));
  return { cell, hasEnded, result: async () => ((await hasEnded()) ? told(endedByItself(cell), bootMs) : started) };
}

const noCell = (summary: string, remedy: string): CheckAnswer => ({ verdict: "error", summary, remedy });

/** The host's fault: nothing was learned about the image. */
function startProblem(cause: unknown): CheckAnswer {
  const hint = cause instanceof BakehouseError ? cause.help.hint : undefined;
  return noCell(`the cell could not be started: ${cause instanceof Error ? cause.message : String(cause)}`, hint ?? "bakehouse doctor");
}

/** The image's fault, and easy to say. */
async function withoutInit({ tree }: CheckedMachineRequest): Promise<CheckAnswer | undefined> {
  const { root } = await tree();
  if (["/usr/lib/systemd/systemd", "/lib/systemd/systemd"].some((path) => root.stat(path) !== undefined)) return undefined;
  return {
    verdict: "failed",
    summary: "the image cannot boot: it has no systemd",
    remedy: "apt: [systemd, systemd-sysv]; or check only its files with --check hygiene",
  };
}

async function neverUp(cell: Cell, state: "dead" | "starting"): Promise<CheckAnswer> {
  const console = cell.console().split("\n").slice(-30);
  const excerpt = state === "dead" ? console : [...(await cell.journal({ lines: 30 }).catch(() => console))];
  return {
    verdict: "failed",
    summary: state === "dead" ? "the machine ended while it started" : `the machine is not up after ${BOOT_MS / 1000} s`,
    answered: { state },
    excerpt,
    remedy: "bakehouse check --keep leaves it for a look",
  };
}

const endedByItself = (cell: Cell): CheckAnswer => ({
  verdict: "failed",
  summary: "the machine started, and ended by itself while it was checked",
  answered: { state: "dead" },
  excerpt: cell.console().split("\n").slice(-30),
});
