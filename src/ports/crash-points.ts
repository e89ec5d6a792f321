/**
 * Moments of a bake at which a test lets the process die, to see that the next run finds whole results only. In the order
 * in which a step, and then its layer, comes through them. Those of locks and of the ledger (promotions and their like) come last.
 */
export const CRASH_POINTS = [
  "bake-recorded",
  "work-folder-made",
  "workspace-open",
  "step-ran",
  "workspace-closed",
  "normalised",
  "diff-written",
  "blob-adopted",
  "diff-adopted",
  "record-saved",
  "config-written",
  "manifest-written",
  "index-written",
  "catalog-written",
  "plans-saved",
  "work-folder-released",
  "bake-ended",
  "lock-resolved",
  "lock-text-written",
  "ledger-decided",
  "ledger-written",
  "ledger-committed",
  "ledger-mirrored",
  "cycle-begun",
  "cycle-stage-begun",
  "cycle-stage-done",
  "cycle-ended",
  "gc-set-aside",
  "gc-index-written",
  "gc-records-removed",
  "gc-blob-removed",
  "check-cell-started",
  "check-answered",
  "check-attached",
  "rollout-begun",
  "rollout-ticked",
] as const;

export type CrashPoint = (typeof CRASH_POINTS)[number];

/** Called at each point. `where`: the address of the step, the name of the layer, or nothing for what happens once a bake. */
export type ReachPoint = (point: CrashPoint, where?: string) => void;
