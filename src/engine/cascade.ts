import type { Cause } from "../core/cycle/decide.ts";
import type { CycleWork } from "./cycle-work.ts";
import { runNow, takeTurn, type Turn, type TurnOptions, type TurnParts } from "./cycle-turn.ts";
import type { CycleResult } from "./run-cycle.ts";

export interface CascadeParts extends TurnParts {
  /** Recipes that stand on images of this one and want to be baked again when those move. */
  standingOn(recipe: string): Promise<readonly CycleWork[]>;
}

/** Runs a cycle because somebody asked for it, then those that stand on what it gave. */
export async function runCascade(
  parts: CascadeParts,
  work: CycleWork,
  causes: readonly [Cause, ...Cause[]],
  options: TurnOptions & { readonly alone: boolean },
): Promise<readonly CycleResult[]> {
  const results = await runNow(parts, work, causes, options);
  return options.alone ? results : [...results, ...(await carryOn(parts, work, results, options))];
}

/** Takes a scheduler's turn, then one of each cycle that stands on what it gave. */
export async function turnCascade(parts: CascadeParts, work: CycleWork, options: TurnOptions): Promise<Turn> {
  const turn = await takeTurn(parts, work, options);
  return { ...turn, results: [...turn.results, ...(await carryOn(parts, work, turn.results, options))] };
}

/** From recipe to recipe, each once, in the order in which they stand on each other. A failure ends only what stands on it. */
async function carryOn(
  parts: CascadeParts,
  first: CycleWork,
  given: readonly CycleResult[],
  options: TurnOptions,
): Promise<readonly CycleResult[]> {
  const results: CycleResult[] = [];
  const done = new Set([first.file]);
  const queue = hasCandidate(given) ? [first] : [];
  for (let below = queue.shift(); below !== undefined; below = queue.shift()) {
    for (const above of await parts.standingOn(below.recipe)) {
      if (done.has(above.file) || options.signal.aborted) continue;
      done.add(above.file);
      await tellParentMoved(parts, above, below.recipe);
      const turn = await takeTurn(parts, above, options);
      results.push(...turn.results);
      if (hasCandidate(turn.results)) queue.push(above);
    }
  }
  return results;
}

const hasCandidate = (results: readonly CycleResult[]): boolean => results.some(({ outcome }) => outcome === "candidate");

/** Makes it due at once, or as soon as its window opens. */
async function tellParentMoved(parts: TurnParts, work: CycleWork, parent: string): Promise<void> {
  const now = parts.clock.now();
  const known = (await parts.records().find(work.file)) ?? { file: work.file, recipe: work.recipe, considered: now, found: [] };
  await parts.records().save({ ...known, found: [...known.found, { trigger: "parent", what: `${parent} has a new image` }] });
}
