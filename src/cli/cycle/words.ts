import { ERROR_CODES, type ErrorCode } from "../../core/errors.ts";
import { shortDigest } from "../../core/digest.ts";
import type { CycleEvent, CycleResult } from "../../engine/run-cycle.ts";
import type { RunOutcome, RunStage } from "../../ports/cycle-records.ts";
import type { Delivery } from "../../ports/notice-log.ts";
import type { Terminal } from "../terminal.ts";

export function outcomeWord(outcome: RunOutcome, { green, red, yellow, dim }: Terminal["colors"]): string {
  const color = { candidate: green, unchanged: dim, failed: red, paused: yellow, running: yellow }[outcome];
  return color(outcome);
}

/** A run as it ended, in one or a few lines. */
export function describeResult(result: CycleResult, { colors }: Terminal): string {
  const what = {
    candidate: `${colors.green("Candidate")} ${result.candidates.map(({ name, digest }) => `${name} ${shortDigest(digest)}`).join(", ")}${result.channel === undefined ? "" : ` in ${colors.bold(result.channel)}`}`,
    unchanged: `${colors.bold("No candidate, because nothing changed")}${result.candidates.length === 0 ? "" : colors.dim(` (${result.candidates.map(({ name, digest }) => `${name} ${shortDigest(digest)}`).join(", ")})`)}`,
    failed: `${colors.red("No candidate, because it failed")}`,
    paused: `${colors.yellow("Paused")}`,
  }[result.outcome];
  const more = result.message === undefined ? "" : `\n  ${result.message.replaceAll("\n", "\n  ")}`;
  return `${result.recipe}: ${what}${more}\n  ${colors.dim(`bakehouse cycle history ${result.run}`)}\n`;
}

/** Progress, a line each, on stderr. */
export function tellCycle(event: CycleEvent, terminal: Terminal): void {
  const { dim } = terminal.errorColors;
  if (event.type === "run-begun")
    terminal.err(`${event.recipe}: ${event.resumed ? "going on with" : "run"} ${event.run} ${dim(`(${event.causes.join("; ")})`)}\n`);
  else if (event.type === "stage-done")
    terminal.err(`  ${event.stage}${event.summary === "" ? "" : ` ${dim(event.summary.split("\n")[0] ?? "")}`}\n`);
}

export function tellGivenUp(failed: readonly Delivery[], terminal: Terminal): void {
  for (const { target, notice, message, attempts } of failed)
    terminal.err(
      `${terminal.errorColors.yellow("warning")} notify.${target} was not told of ${notice.type} (${attempts === 1 ? "1 try" : `${attempts} tries`}): ${message ?? ""}\n`,
    );
}

/** The exit code of a run that failed is that of its error; of one that paused, of something that was stopped. */
export function exitCodeOf(results: readonly CycleResult[]): number {
  const failed = results.find(({ outcome }) => outcome === "failed");
  if (failed !== undefined) return exitOf(failed.stages);
  return results.some(({ outcome }) => outcome === "paused") ? ERROR_CODES.CANCELLED.exit : 0;
}

function exitOf(stages: readonly RunStage[]): number {
  const failed = stages.find(({ outcome }) => outcome === "failed");
  if (failed?.stage === "check") return ERROR_CODES.CHECK_NOT_PASSED.exit;
  const data = failed?.data;
  const code = typeof data === "object" && data !== null && "code" in data ? String(data["code"]) : "";
  return Object.hasOwn(ERROR_CODES, code) ? ERROR_CODES[code as ErrorCode].exit : 1;
}
