import { decideCycle, type Cause } from "../core/cycle/decide.ts";
import { windowAt } from "../core/cycle/window.ts";
import { describeSpan } from "../core/cycle/schedule-text.ts";
import type { CycleRun, KnownCycle } from "../ports/cycle-records.ts";
import type { Store } from "../ports/store.ts";
import type { CycleWork } from "./cycle-work.ts";
import { beginRun, runCycle, type CycleParts, type CycleResult, type RunCycleOptions } from "./run-cycle.ts";

export interface TurnParts extends CycleParts {
  readonly store: Pick<Store, "withLock">;
  digestOf(text: string): string;
}

export interface TurnOptions extends Pick<RunCycleOptions, "signal" | "report"> {
  readonly onWait?: (owner: string) => void;
  /** Something that is no run, for people: a look that failed, a clock that was set back. */
  readonly note: (message: string) => void;
}

/** What a turn did, and when to ask again at the latest. */
export interface Turn {
  readonly results: readonly CycleResult[];
  readonly until?: Date;
  readonly why: string;
}

/**
 * Deals with one recipe's cycle as a scheduler does: goes on with what was left behind, looks at triggers in time, makes the run
 * that is due. Holds the cycle's lock of the store meanwhile; the claim in the catalog keeps others from the same run even where
 * that lock is not shared.
 */
export function takeTurn(parts: TurnParts, work: CycleWork, options: TurnOptions): Promise<Turn> {
  return alone(parts, work, options, async () => {
    const results = [...(await finishOthers(parts, work, options, true))];
    for (;;) {
      const cycle = await cycleOf(parts, work);
      const now = parts.clock.now();
      const decision = decideCycle(work.settings, cycle, now);
      if (decision.action === "wait" || options.signal.aborted) {
        const why = decision.action === "wait" ? decision.why : "stopped";
        const until = decision.action === "wait" ? decision.until : undefined;
        return { results, why, ...(until === undefined ? {} : { until }) };
      }
      if (decision.action === "set-back") {
        options.note(`The clock is ${describeSpan(decision.by)} behind what this cycle has dealt with: it goes on from now`);
        await parts.records().save({ file: cycle.file, recipe: cycle.recipe, considered: now, found: [] });
      } else if (decision.action === "look") await look(parts, work, cycle, options);
      else {
        const result = await oneRun(parts, work, decision.causes, cycle, options, true);
        if (result !== undefined) results.push(result);
        if (result?.outcome === "paused") return { results, why: result.message ?? "paused" };
      }
    }
  });
}

/** Runs a cycle now because somebody asked for it, whatever schedule and windows say. */
export function runNow(
  parts: TurnParts,
  work: CycleWork,
  causes: readonly [Cause, ...Cause[]],
  options: TurnOptions,
): Promise<readonly CycleResult[]> {
  return alone(parts, work, options, async () => {
    const results = [...(await finishOthers(parts, work, options, false))];
    // what was left behind has just been finished: that is what was asked for
    if (results.some(({ outcome }) => outcome !== "failed")) return results;
    const result = await oneRun(parts, work, causes, await cycleOf(parts, work), options, false);
    return result === undefined ? results : [...results, result];
  });
}

const alone = <T>(parts: TurnParts, work: CycleWork, { signal, onWait }: TurnOptions, doIt: () => Promise<T>): Promise<T> =>
  parts.store.withLock(
    `cycle-${parts.digestOf(work.file).slice("sha256:".length, "sha256:".length + 16)}`,
    { signal, ...(onWait === undefined ? {} : { onWait: (owner) => onWait(`${owner.what} (process ${owner.pid})`) }) },
    doIt,
  );

/** A cycle that is seen for the first time has dealt with everything up to now. */
async function cycleOf(parts: TurnParts, work: CycleWork): Promise<KnownCycle> {
  const known = await parts.records().find(work.file);
  if (known !== undefined) return known;
  const fresh: KnownCycle = { file: work.file, recipe: work.recipe, considered: parts.clock.now(), found: [] };
  await parts.records().save(fresh);
  return fresh;
}

async function look(parts: TurnParts, work: CycleWork, cycle: KnownCycle, { signal, note }: TurnOptions): Promise<void> {
  const lookedAt = parts.clock.now();
  try {
    const found = await work.look(signal);
    await parts.records().save({ ...cycle, lookedAt, found });
  } catch (error) {
    if (signal.aborted) return;
    // no answer is no news: the next look may have one
    note(`${work.recipe}: the triggers cannot be looked at: ${error instanceof Error ? error.message : String(error)}`);
    await parts.records().save({ ...cycle, lookedAt });
  }
}

async function oneRun(
  parts: TurnParts,
  work: CycleWork,
  causes: readonly Cause[],
  cycle: KnownCycle,
  options: TurnOptions,
  inWindows: boolean,
): Promise<CycleResult | undefined> {
  const now = parts.clock.now();
  // a run deals with the schedule and with everything that triggers have found
  const dealtWith: KnownCycle = { file: cycle.file, recipe: work.recipe, considered: now, lookedAt: now, found: [] };
  const run = await beginRun(parts, work, causes, dealtWith);
  if (run !== undefined) return runCycle(parts, work, run, runOptions(parts, work, options, inWindows));
  await parts.records().save(dealtWith);
  return undefined;
}

/** Runs that paused, or whose process died: they go on, the oldest first. */
async function finishOthers(parts: TurnParts, work: CycleWork, options: TurnOptions, inWindows: boolean): Promise<readonly CycleResult[]> {
  const results: CycleResult[] = [];
  const all = await parts.records().runs({ file: work.file, limit: 1000 });
  for (const run of all.filter(({ outcome, alive }) => outcome === "paused" || (outcome === "running" && !alive)).toReversed()) {
    const isScheduled = inWindows && !wasAsked(run);
    if (options.signal.aborted || (isScheduled && windowAt(work.settings.windows, parts.clock.now()).state !== "open")) continue;
    if (!(await parts.records().takeOver(run.id))) continue;
    results.push(await runCycle(parts, work, { ...run, resumed: run.resumed + 1 }, runOptions(parts, work, options, isScheduled)));
  }
  return results;
}

const wasAsked = ({ causes }: CycleRun): boolean => causes.some(({ kind }) => kind === "asked");

function runOptions(parts: TurnParts, work: CycleWork, { signal, report }: TurnOptions, inWindows: boolean): RunCycleOptions {
  const mustPause = (): string | undefined =>
    windowAt(work.settings.windows, parts.clock.now()).state === "closed" ? "the maintenance window is over" : undefined;
  return { signal, report, ...(inWindows ? { mustPause } : {}) };
}
