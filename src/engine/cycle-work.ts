import type { Finding } from "../core/cycle/decide.ts";
import type { CycleSettings } from "../core/cycle/model.ts";
import type { Happening } from "../core/notices/notice.ts";
import type { Verdict } from "../core/checks/verdict.ts";
import type { Candidate } from "../ports/cycle-records.ts";
import type { NoticeToSend } from "../ports/notice-log.ts";

/** What moved a run's lock. */
export interface MovedLock {
  readonly changed: boolean;
  /** The difference, a line each. */
  readonly changes: readonly string[];
}

export interface CheckedCandidate {
  readonly verdict: Verdict;
  /** Names of checks that did not pass, each with what was found. */
  readonly notPassed: readonly string[];
}

/** Where a candidate ended: in a channel, or before one with what is missing. */
export interface Promoted {
  readonly channel: string;
  readonly unmet: readonly string[];
}

/**
 * What a run of one recipe's cycle does, stage by stage; a preset puts it together. Every method may be called again after a
 * crash and then comes to the same result.
 */
export interface CycleWork {
  /** Absolute path of the recipe. */
  readonly file: string;
  readonly recipe: string;
  readonly settings: CycleSettings;
  /** What the triggers see now. Changes neither lock nor images. */
  look(signal: AbortSignal): Promise<readonly Finding[]>;
  /** Moves the run's own lock to the newest. @throws MIRROR_WENT_BACK, and what locking throws */
  lock(run: string, signal: AbortSignal): Promise<MovedLock>;
  /** Bakes with the run's own lock; the images that nothing else of the recipe stands on. */
  bake(run: string, signal: AbortSignal): Promise<readonly Candidate[]>;
  /** Whether its newest evidence is about all that it promises by now. */
  isChecked(candidate: Candidate): Promise<boolean>;
  /** Undefined: the recipe declares no checks for it. */
  check(candidate: Candidate, signal: AbortSignal): Promise<CheckedCandidate | undefined>;
  /** Writes and signs what is said about an image; how many papers. */
  papers(candidate: Candidate, signal: AbortSignal): Promise<number>;
  /** Puts the run's lock into the place of the recipe's. `edited`: that was changed meanwhile and is left alone. */
  publish(run: string): Promise<"written" | "unchanged" | "edited">;
  /** Promotes to the first channel if its gates allow. Undefined: the recipe has no channels. */
  promote(candidate: Candidate, signal: AbortSignal): Promise<Promoted | undefined>;
  /** Throws away what the run kept for itself. */
  clean(run: string): void;
  /** A notice for everybody who wants to be told of this recipe. */
  notice(happening: Happening): NoticeToSend;
}
