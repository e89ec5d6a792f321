import type { LockChanges, PackageChange } from "../lock/lock-diff.ts";
import type { Lock } from "../lock/model.ts";
import { shortDigest } from "../digest.ts";
import type { Finding } from "./decide.ts";
import type { Trigger } from "./model.ts";

/** What the lock calls the suite with security fixes. */
const SECURITY = "debian-security";

/**
 * What triggers see in the difference between the lock as it is and as an update would make it, one finding for each trigger.
 *
 * @param after  the lock that the update would give: it says which repository a newer version comes from
 */
export function findingsOf(changes: LockChanges, after: Lock): readonly Finding[] {
  const packages = changes.steps.flatMap((step) =>
    [...step.packages, ...step.lent].map((change) => ({ change, isSecurity: repositoryOf(after, step.address, change.name) === SECURITY })),
  );
  const parents = changes.parents.map(({ layer, before, after: now }) => `${layer}: ${short(before)} → ${short(now)}`);
  const images = changes.steps.flatMap(({ address, image }) =>
    image === undefined ? [] : [`${address}: ${short(image.before)} → ${short(image.after)}`],
  );
  return [
    ...finding(
      "security",
      packages.filter(({ isSecurity }) => isSecurity).map(({ change }) => describe(change)),
    ),
    ...finding("parent", parents),
    ...finding("sources", images),
    ...finding(
      "packages",
      packages.map(({ change }) => describe(change)),
    ),
  ];
}

/** More names than this say no more. */
const NAMED = 3;

function finding(trigger: Trigger, what: readonly string[]): readonly Finding[] {
  const distinct = [...new Set(what)];
  if (distinct.length === 0) return [];
  const rest = distinct.length - NAMED;
  return [{ trigger, what: `${distinct.slice(0, NAMED).join(", ")}${rest > 0 ? ` and ${rest} more` : ""}` }];
}

function repositoryOf(lock: Lock, address: string, name: string): string | undefined {
  const step = lock.steps[address];
  return [...(step?.packages ?? []), ...(step?.lent ?? [])].find((item) => item.name === name)?.repository;
}

function describe(change: PackageChange): string {
  if (change.kind === "added") return `${change.name} ${change.after} is new`;
  if (change.kind === "removed") return `${change.name} ${change.before} is gone`;
  return `${change.name} ${change.before} → ${change.after}`;
}

const short = (digest: string | undefined): string => (digest === undefined ? "none" : shortDigest(digest as `sha256:${string}`));
