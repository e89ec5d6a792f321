import { describeCause, type Cause } from "../core/cycle/decide.ts";
import { STAGES, type StageName } from "../core/cycle/stages.ts";
import { BakehouseError } from "../core/errors.ts";
import type { JsonValue } from "../core/json.ts";
import type { Happening } from "../core/notices/notice.ts";
import type { ReachPoint } from "../ports/crash-points.ts";
import type { Candidate, CycleRecords, CycleRun, KnownCycle, RunOutcome, RunStage } from "../ports/cycle-records.ts";
import type { Baker, Clock } from "../ports/host.ts";
import type { CheckedCandidate, CycleWork, MovedLock, Promoted } from "./cycle-work.ts";

export interface CycleParts {
  readonly clock: Clock;
  readonly baker: Baker;
  readonly reach: ReachPoint;
  /** Fresh, sortable by time. */
  newId(): string;
  records(): CycleRecords;
}

export interface RunCycleOptions {
  readonly signal: AbortSignal;
  /** Asked before each stage: why the run has to stop here for now; nothing to go on. */
  readonly mustPause?: () => string | undefined;
  readonly report: (event: CycleEvent) => void;
}

/** What a run tells while it is at it. */
export type CycleEvent =
  | {
      readonly type: "run-begun";
      readonly run: string;
      readonly recipe: string;
      readonly causes: readonly string[];
      readonly resumed: boolean;
    }
  | { readonly type: "stage-begun"; readonly run: string; readonly stage: StageName }
  | { readonly type: "stage-done"; readonly run: string; readonly stage: StageName; readonly summary: string }
  | { readonly type: "run-ended"; readonly run: string; readonly result: CycleResult };

export interface CycleResult {
  readonly run: string;
  readonly recipe: string;
  readonly outcome: Exclude<RunOutcome, "running">;
  readonly message?: string;
  readonly candidates: readonly Candidate[];
  readonly channel?: string;
  readonly stages: readonly RunStage[];
}

/**
 * Begins a run. @returns undefined when another process has claimed the same run of the schedule
 */
export async function beginRun(
  parts: CycleParts,
  work: CycleWork,
  causes: readonly Cause[],
  cycle: KnownCycle,
): Promise<CycleRun | undefined> {
  const run: CycleRun = {
    id: parts.newId(),
    file: work.file,
    recipe: work.recipe,
    causes,
    startedAt: parts.clock.now().toISOString(),
    outcome: "running",
    by: parts.baker,
    resumed: 0,
    candidates: [],
  };
  const data = { recipe: work.recipe, run: run.id, causes: causes.map(describeCause), by: parts.baker };
  const begun = await parts.records().begin(run, cycle, [work.notice({ type: "cycle.started", subject: work.recipe, data })]);
  if (!begun) return undefined;
  parts.reach("cycle-begun");
  return run;
}

/**
 * Does what is left of a run, stage by stage. Each stage is recorded before it begins and when it is done, so that a run that
 * died goes on where it was. A run that is stopped in order, or has to pause, goes on later; one that fails has ended.
 *
 * @returns how it ended; a failure is a result. @throws what is no failure of the work (a broken invariant), after recording it
 */
export async function runCycle(parts: CycleParts, work: CycleWork, run: CycleRun, options: RunCycleOptions): Promise<CycleResult> {
  const { report } = options;
  report({ type: "run-begun", run: run.id, recipe: run.recipe, causes: run.causes.map(describeCause), resumed: run.resumed > 0 });
  const attempt = new Attempt(parts, work, run, options);
  const result = await attempt.perform();
  report({ type: "run-ended", run: run.id, result });
  return result;
}

class Paused extends Error {}

/** What the stages hand on. */
interface Outcome {
  lock: MovedLock;
  candidates: readonly Candidate[];
  /** The candidates are those of the last run that had any. */
  known: boolean;
  /** Where the last run with these candidates left them. */
  standsIn?: string;
  /** How many candidates have checks. */
  checked: number;
  notPassed: readonly string[];
  promoted: readonly (Promoted | undefined)[];
  notes: readonly string[];
}

class Attempt {
  readonly #parts: CycleParts;
  readonly #work: CycleWork;
  readonly #run: CycleRun;
  readonly #options: RunCycleOptions;
  readonly #outcome: Outcome = {
    lock: { changed: false, changes: [] },
    candidates: [],
    known: false,
    checked: 0,
    notPassed: [],
    promoted: [],
    notes: [],
  };
  #stage: StageName = "lock";

  constructor(parts: CycleParts, work: CycleWork, run: CycleRun, options: RunCycleOptions) {
    this.#parts = parts;
    this.#work = work;
    this.#run = run;
    this.#options = options;
  }

  async perform(): Promise<CycleResult> {
    try {
      await this.#stages();
    } catch (error) {
      const { signal } = this.#options;
      if (error instanceof Paused) return this.#pause(error.message);
      if (signal.aborted) return this.#pause("stopped by a signal");
      await this.#fail(error);
      if (!(error instanceof BakehouseError)) throw error;
      return this.#result("failed", error.message);
    }
    return this.#end();
  }

  async #stages(): Promise<void> {
    const { id } = this.#run;
    const records = this.#parts.records();
    const before = new Map((await records.stages(id)).map((stage) => [stage.stage, stage]));
    for (const stage of STAGES) {
      this.#stage = stage;
      const done = before.get(stage);
      if (done?.outcome === "done") {
        this.#take(stage, done.data);
        continue;
      }
      this.#options.signal.throwIfAborted();
      const why = this.#options.mustPause?.();
      if (why !== undefined) throw new Paused(why);
      if (this.#isNeedless(stage)) continue;
      await this.#perform(stage);
      if (this.#outcome.notPassed.length > 0) throw notPassed(this.#outcome.notPassed);
    }
  }

  async #perform(stage: StageName): Promise<void> {
    const { id } = this.#run;
    const { clock, reach } = this.#parts;
    const records = this.#parts.records();
    this.#options.report({ type: "stage-begun", run: id, stage });
    await records.startStage(id, { stage, startedAt: clock.now().toISOString(), data: null });
    reach("cycle-stage-begun", stage);
    const data = await this.#do(stage);
    this.#take(stage, data);
    const isBad = this.#outcome.notPassed.length > 0;
    await records.endStage(id, { stage, outcome: isBad ? "failed" : "done", endedAt: clock.now().toISOString(), data });
    reach("cycle-stage-done", stage);
    this.#options.report({ type: "stage-done", run: id, stage, summary: summaryOf(stage, this.#outcome) });
  }

  /** What has nothing to do in this run leaves no trace. */
  #isNeedless(stage: StageName): boolean {
    const { known, standsIn, lock } = this.#outcome;
    if (stage === "check" || stage === "papers") return known;
    if (stage === "publish") return !lock.changed;
    return stage === "promote" && known && standsIn !== undefined;
  }

  async #do(stage: StageName): Promise<JsonValue> {
    const { signal } = this.#options;
    const work = this.#work;
    const { candidates } = this.#outcome;
    if (stage === "lock") return plain(await work.lock(this.#run.id, signal));
    if (stage === "bake") return plain(await this.#bake());
    if (stage === "check") return plain(await eachOf(candidates, (candidate) => work.check(candidate, signal)));
    if (stage === "papers") return plain(await eachOf(candidates, (candidate) => work.papers(candidate, signal)));
    if (stage === "publish") return await work.publish(this.#run.id);
    return plain(await eachOf(candidates, (candidate) => work.promote(candidate, signal)));
  }

  /** Whether the candidates are new is decided here, once, and kept with them. */
  async #bake(): Promise<Pick<Outcome, "candidates" | "known" | "standsIn">> {
    const candidates = await this.#work.bake(this.#run.id, this.#options.signal);
    const runs = await this.#parts.records().runs({ file: this.#run.file, limit: 1000 });
    const last = runs.find(({ outcome }) => outcome === "candidate" || outcome === "unchanged");
    const isSame = last !== undefined && digestsOf(last.candidates) === digestsOf(candidates);
    const known = isSame && (await eachOf(candidates, (candidate) => this.#work.isChecked(candidate))).every(Boolean);
    return { candidates, known, ...(known && last?.channel !== undefined ? { standsIn: last.channel } : {}) };
  }

  /** Reads back what a stage gave, now or before a crash. */
  #take(stage: StageName, data: JsonValue): void {
    const outcome = this.#outcome;
    if (stage === "lock") outcome.lock = data as unknown as MovedLock;
    else if (stage === "bake") Object.assign(outcome, data as unknown as Pick<Outcome, "candidates" | "known" | "standsIn">);
    else if (stage === "check") {
      const checked = data as unknown as readonly (CheckedCandidate | null)[];
      outcome.checked = checked.filter((one) => one !== null).length;
      outcome.notPassed = badOf(outcome.candidates, checked);
    } else if (stage === "publish" && data === "edited")
      outcome.notes = [...outcome.notes, "the recipe's lock was changed meanwhile and is left as it is"];
    else if (stage === "promote") outcome.promoted = (data as unknown as readonly (Promoted | null)[]).map((one) => one ?? undefined);
  }

  async #pause(message: string): Promise<CycleResult> {
    await this.#parts.records().pause(this.#run.id, message);
    return this.#result("paused", message);
  }

  async #fail(error: unknown): Promise<void> {
    const { id } = this.#run;
    const { recipe } = this.#work;
    const message = error instanceof Error ? error.message : String(error);
    const code = error instanceof BakehouseError ? error.code : "FAULT";
    const stages = await this.#parts.records().stages(id);
    const endedAt = this.#parts.clock.now().toISOString();
    const current = stages.find(({ stage, outcome }) => stage === this.#stage && outcome === "running");
    if (current !== undefined)
      await this.#parts.records().endStage(id, { stage: this.#stage, outcome: "failed", endedAt, data: { code, message } });
    await this.#finish("failed", `${this.#stage}: ${message}`, {
      type: "cycle.failed",
      subject: recipe,
      data: { recipe, run: id, stage: this.#stage, code, message },
    });
  }

  async #end(): Promise<CycleResult> {
    const { candidates, known, standsIn, promoted, lock, notes } = this.#outcome;
    const { recipe } = this.#work;
    const run = this.#run.id;
    const channel = standsIn ?? channelOf(promoted);
    const unmet = [...new Set(promoted.flatMap((one) => one?.unmet ?? []))];
    const image = candidates[0]?.digest ?? "";
    const isNews = !known || (standsIn === undefined && channel !== undefined);
    const message = [...notes, ...(unmet.length === 0 ? [] : [`not promoted: ${unmet.join("; ")}`])].join("; ");
    const happening: Happening = isNews
      ? {
          type: "cycle.candidate",
          subject: recipe,
          data: { recipe, run, image, channel: channel ?? null, unmet, changes: [...lock.changes] },
        }
      : { type: "cycle.unchanged", subject: recipe, data: { recipe, run, image } };
    const outcome = isNews ? "candidate" : "unchanged";
    await this.#finish(outcome, message === "" ? undefined : message, happening, channel);
    return this.#result(outcome, message === "" ? undefined : message, channel);
  }

  async #finish(
    outcome: "candidate" | "unchanged" | "failed",
    message: string | undefined,
    happening: Happening,
    channel?: string,
  ): Promise<void> {
    const { candidates } = this.#outcome;
    const endedAt = this.#parts.clock.now().toISOString();
    const end = {
      outcome,
      endedAt,
      candidates,
      ...(message === undefined ? {} : { message }),
      ...(channel === undefined ? {} : { channel }),
    };
    await this.#parts.records().end(this.#run.id, end, [this.#work.notice(happening)]);
    this.#parts.reach("cycle-ended");
    this.#work.clean(this.#run.id);
  }

  async #result(outcome: CycleResult["outcome"], message?: string, channel?: string): Promise<CycleResult> {
    const { id, recipe } = this.#run;
    return {
      run: id,
      recipe,
      outcome,
      ...(message === undefined ? {} : { message }),
      candidates: this.#outcome.candidates,
      ...(channel === undefined ? {} : { channel }),
      stages: await this.#parts.records().stages(id),
    };
  }
}

const digestsOf = (candidates: readonly Candidate[]): string =>
  candidates
    .map(({ digest }) => digest)
    .toSorted()
    .join(" ");

/** One after another: each may take the whole machine. */
async function eachOf<T>(candidates: readonly Candidate[], work: (candidate: Candidate) => Promise<T>): Promise<readonly T[]> {
  const results: T[] = [];
  for (const candidate of candidates) results.push(await work(candidate));
  return results;
}

/** As it is kept: without `undefined`, which is null in a list. */
const plain = (value: unknown): JsonValue => JSON.parse(JSON.stringify(value)) as JsonValue;

const badOf = (candidates: readonly Candidate[], checked: readonly (CheckedCandidate | null)[]): readonly string[] =>
  checked.flatMap((one, index) =>
    one === null || one.verdict === "passed"
      ? []
      : [
          `${candidates[index]?.name ?? "the candidate"} is ${one.verdict}: ${one.notPassed.length === 0 ? "no check has an answer" : one.notPassed.join("; ")}`,
        ],
  );

const notPassed = (what: readonly string[]): BakehouseError =>
  new BakehouseError("CHECK_NOT_PASSED", what.join("\n"), { details: [...what] });

/** The channel, when every candidate got there. */
function channelOf(promoted: readonly (Promoted | undefined)[]): string | undefined {
  const [first] = promoted;
  return first !== undefined && promoted.every((one) => one !== undefined && one.unmet.length === 0) ? first.channel : undefined;
}

function summaryOf(stage: StageName, { lock, candidates, known, checked, notPassed: bad, promoted }: Outcome): string {
  if (stage === "lock") return lock.changed ? (lock.changes.length === 1 ? "1 change" : `${lock.changes.length} changes`) : "nothing newer";
  if (stage === "bake") return known ? "the same images as before" : candidates.map(({ name }) => name).join(", ");
  if (stage === "check") return bad.length > 0 ? bad.join("; ") : checked === 0 ? "none declared" : "passed";
  if (stage === "promote") return channelOf(promoted) ?? promoted.flatMap((one) => one?.unmet ?? ["no channels"]).join("; ");
  return "";
}
