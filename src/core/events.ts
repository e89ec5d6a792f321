import type { CheckPlatform, Verdict } from "./checks/verdict.ts";
import type { DiffId, ImageDigest } from "./digest.ts";

/** Why a step was not taken from the cache: the inputs that changed, with short old and new values. */
export interface InputChange {
  readonly input: string;
  readonly before: string;
  readonly after: string;
}

export type MissReason =
  | { readonly kind: "never-baked" }
  | { readonly kind: "parent-changed"; readonly parent: string }
  | { readonly kind: "inputs-changed"; readonly changes: readonly InputChange[] }
  | { readonly kind: "asked"; readonly by: "--no-cache" | "--from" }
  | { readonly kind: "gone"; readonly what: string };

interface Common {
  /** ISO 8601, UTC. */
  readonly at: string;
  /** Id of the bake, or of the run of checks. */
  readonly bake: string;
}

/** Everything that the engine tells; reporters print, stream or store it. */
export type BakehouseEvent = Common &
  (
    | { readonly type: "bake-started"; readonly recipe: string; readonly file: string; readonly steps: number }
    | { readonly type: "packages-fetching"; readonly count: number; readonly totalBytes: number }
    | { readonly type: "packages-progress"; readonly doneBytes: number; readonly totalBytes: number }
    | { readonly type: "step-cached"; readonly step: string; readonly diffId: DiffId; readonly sizeBytes: number }
    | { readonly type: "step-waiting"; readonly step: string; readonly owner: string }
    | { readonly type: "step-started"; readonly step: string; readonly reason: MissReason }
    | { readonly type: "step-progress"; readonly step: string; readonly message: string; readonly fraction?: number }
    | { readonly type: "step-output"; readonly step: string; readonly line: string }
    | {
        readonly type: "step-baked";
        readonly step: string;
        readonly diffId: DiffId;
        readonly sizeBytes: number;
        readonly durationMs: number;
      }
    | { readonly type: "step-failed"; readonly step: string; readonly code: string; readonly message: string; readonly durationMs: number }
    | {
        readonly type: "image-baked";
        readonly layer: string;
        readonly image: ImageDigest;
        readonly cached: boolean;
        readonly sizeBytes: number;
        readonly durationMs: number;
        readonly hermetic: boolean;
      }
    | {
        readonly type: "volume-baked";
        readonly layer: string;
        readonly volume: ImageDigest;
        readonly root: ImageDigest;
        readonly path: string;
        readonly sizeBytes: number;
      }
    | {
        readonly type: "launch-made";
        readonly layer: string;
        readonly launch: ImageDigest;
        readonly cached: boolean;
        readonly sizeBytes: number;
      }
    | { readonly type: "checks-started"; readonly image: ImageDigest; readonly name: string; readonly checks: number }
    | { readonly type: "cell-starting"; readonly name: string }
    | { readonly type: "cell-started"; readonly cell: string; readonly state: string; readonly durationMs: number }
    | { readonly type: "check-started"; readonly check: string; readonly platform: CheckPlatform }
    | { readonly type: "check-progress"; readonly check: string; readonly message: string }
    | {
        readonly type: "check-answered";
        readonly check: string;
        readonly verdict: Verdict;
        readonly summary: string;
        readonly attempts: number;
        readonly durationMs: number;
      }
    | { readonly type: "checks-ended"; readonly image: ImageDigest; readonly verdict: Verdict; readonly durationMs: number }
    | { readonly type: "tidied"; readonly kind: string; readonly id: string }
    | { readonly type: "warning"; readonly message: string }
    | { readonly type: "bake-ended"; readonly outcome: "completed" | "failed" | "cancelled"; readonly durationMs: number }
  );

/** Distributes over the union, which Omit alone does not. */
export type EventBody = BakehouseEvent extends infer E ? (E extends BakehouseEvent ? Omit<E, "at" | "bake"> : never) : never;
