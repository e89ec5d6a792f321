import type { ImageDigest } from "../digest.ts";
import type { JsonValue } from "../json.ts";

/**
 * What a check says. `error`: no answer could be had (a tool is missing, the cell did not come up for another reason than the
 * image). `inconclusive`: there were answers, and they do not decide (a health that flaps). Only `passed` opens a gate.
 */
export type Verdict = "passed" | "failed" | "error" | "inconclusive";

/** Where a check ran: in a cell, in a virtual machine, or by reading the tree without starting anything. */
export type CheckPlatform = "cell" | "vm" | "tree";

/** One check as it ran. */
export interface CheckResult {
  /** Type of the check, such as `http`. */
  readonly check: string;
  /** Unique among the checks of an image: the check's `name`, else its type, with `-2`, `-3`… for repeats. */
  readonly name: string;
  /** The layer that declares it. */
  readonly layer: string;
  readonly platform: CheckPlatform;
  readonly verdict: Verdict;
  /** One line for people: what was found. */
  readonly summary: string;
  /** What was asked, and what was answered (the last attempt). */
  readonly asked: JsonValue;
  readonly answered: JsonValue;
  /** Lines of the journal or of a tool's output that explain the verdict. */
  readonly excerpt: readonly string[];
  /** What to do about it, with the next command. */
  readonly remedy?: string;
  readonly attempts: number;
  /** ISO 8601, UTC. */
  readonly startedAt: string;
  readonly durationMs: number;
}

/** One run of checks against one image: the predicate of a piece of evidence. */
export interface CheckRun {
  readonly image: ImageDigest;
  readonly platform: CheckPlatform;
  /** The worst of its results: failed, then error, then inconclusive, then passed. No results at all is inconclusive. */
  readonly verdict: Verdict;
  readonly results: readonly CheckResult[];
  /** Names or types that were asked for; absent when all declared checks were run. */
  readonly only?: readonly string[];
  readonly startedAt: string;
  readonly endedAt: string;
  /** `user@host` */
  readonly by: string;
  /** `bakehouse 0.1.0` */
  readonly tool: string;
}

/** A type of check, shown a change of the image that it must find, and one that it must not. */
export interface TestedCheck {
  readonly check: string;
  /** Of the check's definition: another one is another check. */
  readonly version: number;
  readonly sound: { readonly verdict: Verdict; readonly summary: string };
  readonly faulty: { readonly verdict: Verdict; readonly summary: string };
  /** It passed the sound one and failed the faulty one. */
  readonly trusted: boolean;
}

/** Whether checks can be trusted on an image: the predicate of a paper that gates may ask for. */
export interface SelfTest {
  readonly image: ImageDigest;
  readonly tested: readonly TestedCheck[];
  readonly startedAt: string;
  readonly endedAt: string;
  /** `user@host` */
  readonly by: string;
  /** `bakehouse 0.1.0` */
  readonly tool: string;
}

const ORDER: readonly Verdict[] = ["failed", "error", "inconclusive", "passed"];

/** The worst of several verdicts. No verdict at all is no good news. */
export const worstVerdict = (verdicts: readonly Verdict[]): Verdict =>
  ORDER.find((verdict) => verdicts.includes(verdict)) ?? "inconclusive";
