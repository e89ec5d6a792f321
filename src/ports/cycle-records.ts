import type { Cause, CycleState } from "../core/cycle/decide.ts";
import type { StageName } from "../core/cycle/stages.ts";
import type { ImageDigest } from "../core/digest.ts";
import type { JsonValue } from "../core/json.ts";
import type { NoticeToSend } from "./notice-log.ts";

/** A recipe that has a cycle here. `file`: absolute path of the recipe, which names the cycle. */
export interface KnownCycle extends CycleState {
  readonly file: string;
  readonly recipe: string;
}

/**
 * `running`: a process is at it, or was when it died. `paused`: it stopped in order (a signal, the end of a window) and goes on
 * from its last finished stage. The others are ends.
 */
export type RunOutcome = "running" | "paused" | "candidate" | "unchanged" | "failed";

/** An image that a run gave. */
export interface Candidate {
  /** `<recipe>/<layer>` */
  readonly name: string;
  readonly digest: ImageDigest;
}

export interface CycleRun {
  readonly id: string;
  readonly file: string;
  readonly recipe: string;
  readonly causes: readonly Cause[];
  readonly startedAt: string;
  readonly endedAt?: string;
  readonly outcome: RunOutcome;
  /** Why there is no candidate, or why it was not promoted. */
  readonly message?: string;
  readonly by: string;
  /** How often another process went on with it. */
  readonly resumed: number;
  readonly candidates: readonly Candidate[];
  /** The channel that all candidates were promoted to. */
  readonly channel?: string;
}

/** One stage of a run. It is recorded before it begins, and again when it is done. */
export interface RunStage {
  readonly stage: StageName;
  readonly startedAt: string;
  readonly endedAt?: string;
  readonly outcome: "running" | "done" | "failed";
  /** What it found, for the stages after it and for people. */
  readonly data: JsonValue;
}

/** What is known of cycles and their runs. Of all processes that share a catalog, one holds a run. */
export interface CycleRecords {
  known(): Promise<readonly KnownCycle[]>;
  find(file: string): Promise<KnownCycle | undefined>;
  save(cycle: KnownCycle): Promise<void>;
  /**
   * Claims a run of the schedule and records that it began, together with what the cycle has dealt with by then.
   *
   * @returns false when another process has claimed the same run of the schedule: then nothing is recorded
   */
  begin(run: CycleRun, cycle: KnownCycle, notices: readonly NoticeToSend[]): Promise<boolean>;
  /** Claims a paused run, or one whose process died. @returns false when another process was faster */
  takeOver(id: string): Promise<boolean>;
  /** Lets go of a run, for whoever comes next. */
  pause(id: string, message: string): Promise<void>;
  startStage(id: string, stage: Pick<RunStage, "stage" | "startedAt" | "data">): Promise<void>;
  endStage(id: string, stage: Pick<RunStage, "stage" | "outcome" | "data"> & { readonly endedAt: string }): Promise<void>;
  end(
    id: string,
    end: Pick<CycleRun, "outcome" | "message" | "candidates" | "channel"> & { readonly endedAt: string },
    notices: readonly NoticeToSend[],
  ): Promise<void>;
  stages(id: string): Promise<readonly RunStage[]>;
  /** Newest first. `alive`: a process is at it now. */
  runs(options?: { readonly file?: string; readonly limit?: number }): Promise<readonly (CycleRun & { readonly alive: boolean })[]>;
}
