import { BakehouseError } from "../errors.ts";
import type { LockChanges } from "../lock/lock-diff.ts";
import type { Lock } from "../lock/model.ts";

/** When the suite below a layer was published, as its mirror says now. Seconds since 1970. */
export type ReleaseDates = Readonly<Record<string, number>>;

/**
 * What shows that a mirror is older than the lock: a release file from before the locked one, or versions lower than locked ones. A
 * mirror that lags behind, or somebody who replays old lists to hold back security fixes, would take fixes out again.
 *
 * @returns a line each; none when all is as new as the lock
 */
export function setbacksOf(before: Lock | undefined, changes: LockChanges, releases: ReleaseDates): readonly string[] {
  const dates = Object.entries(releases).flatMap(([layer, seconds]) => {
    const locked = before?.epochs[layer];
    return locked !== undefined && seconds < locked ? [`${layer}: the suite is of ${day(seconds)}, the lock of ${day(locked)}`] : [];
  });
  const versions = changes.steps.flatMap(({ address, packages, lent }) =>
    [...packages, ...lent].flatMap((change) =>
      change.kind === "downgraded" ? [`${address}: ${change.name} ${change.after} is lower than the locked ${change.before}`] : [],
    ),
  );
  return [...dates, ...versions];
}

/** @throws MIRROR_WENT_BACK with every reason */
export function refuseSetbacks(setbacks: readonly string[]): void {
  if (setbacks.length === 0) return;
  throw new BakehouseError("MIRROR_WENT_BACK", `The mirror is older than the lock:\n${setbacks.map((line) => `  ${line}`).join("\n")}`, {
    hint: "name a current mirror with BAKEHOUSE_MIRROR=URL; to go back on purpose: bakehouse lock --update",
    details: [...setbacks],
  });
}

const day = (seconds: number): string => new Date(seconds * 1000).toISOString().replace(".000Z", "Z");
