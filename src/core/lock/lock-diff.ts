import { compareVersions } from "../debian/version.ts";
import { shortDigest } from "../digest.ts";
import type { Lock, LockedPackage, LockedStep, RecordedResponse } from "./model.ts";

/** `rebuilt`: the same version with other bytes. */
export type PackageChange =
  | { readonly kind: "added"; readonly name: string; readonly after: string }
  | { readonly kind: "removed"; readonly name: string; readonly before: string }
  | { readonly kind: "upgraded" | "downgraded" | "rebuilt"; readonly name: string; readonly before: string; readonly after: string };

export interface StepChanges {
  readonly address: string;
  /** Whether the step as a whole came or went. */
  readonly step: "added" | "removed" | "changed";
  readonly packages: readonly PackageChange[];
  readonly lent: readonly PackageChange[];
  /** `GET https://…` of recorded answers that came, went, or have other bytes. */
  readonly recorded: readonly { readonly kind: "added" | "removed" | "changed"; readonly name: string }[];
  readonly image?: { readonly before?: string; readonly after?: string };
}

export interface LockChanges {
  readonly steps: readonly StepChanges[];
  /** Other values of `epochs` and `parents`, by layer. */
  readonly epochs: readonly { readonly layer: string; readonly before?: number; readonly after?: number }[];
  readonly parents: readonly { readonly layer: string; readonly before?: string; readonly after?: string }[];
}

export const hasChanges = (changes: LockChanges): boolean => changes.steps.length + changes.epochs.length + changes.parents.length > 0;

/** What is different in `after`, by step address. Without `before` everything is added. */
export function diffLocks(before: Lock | undefined, after: Lock): LockChanges {
  const addresses = [...new Set([...Object.keys(before?.steps ?? {}), ...Object.keys(after.steps)])].sort();
  return {
    steps: addresses.flatMap((address) => stepChanges(address, before?.steps[address], after.steps[address])),
    epochs: recordChanges(before?.epochs ?? {}, after.epochs),
    parents: recordChanges<string>(before?.parents ?? {}, after.parents),
  };
}

function recordChanges<T>(
  before: Readonly<Record<string, T>>,
  after: Readonly<Record<string, T>>,
): readonly { readonly layer: string; readonly before?: T; readonly after?: T }[] {
  const layers = [...new Set([...Object.keys(before), ...Object.keys(after)])].sort();
  return layers.flatMap((layer) => {
    const [old, now] = [before[layer], after[layer]];
    return old === now ? [] : [{ layer, ...(old === undefined ? {} : { before: old }), ...(now === undefined ? {} : { after: now }) }];
  });
}

function stepChanges(address: string, before: LockedStep | undefined, after: LockedStep | undefined): readonly StepChanges[] {
  const [old, now] = [before?.image?.digest, after?.image?.digest];
  const image =
    old === now ? {} : { image: { ...(old === undefined ? {} : { before: old }), ...(now === undefined ? {} : { after: now }) } };
  const changes: StepChanges = {
    address,
    step: before === undefined ? "added" : after === undefined ? "removed" : "changed",
    packages: packageChanges(before?.packages ?? [], after?.packages ?? []),
    lent: packageChanges(before?.lent ?? [], after?.lent ?? []),
    recorded: recordedChanges(before?.recorded ?? [], after?.recorded ?? []),
    ...image,
  };
  const isSame =
    changes.step === "changed" &&
    changes.image === undefined &&
    changes.packages.length + changes.lent.length + changes.recorded.length === 0;
  return isSame ? [] : [changes];
}

function packageChanges(before: readonly LockedPackage[], after: readonly LockedPackage[]): readonly PackageChange[] {
  const [old, now] = [byName(before), byName(after)];
  return [...new Set([...old.keys(), ...now.keys()])].sort().flatMap((name) => packageChange(name, old.get(name), now.get(name)));
}

const byName = (packages: readonly LockedPackage[]): ReadonlyMap<string, LockedPackage> =>
  new Map(packages.map((item) => [item.name, item]));

function packageChange(name: string, before: LockedPackage | undefined, after: LockedPackage | undefined): readonly PackageChange[] {
  if (before === undefined) return after === undefined ? [] : [{ kind: "added", name, after: after.version }];
  if (after === undefined) return [{ kind: "removed", name, before: before.version }];
  const order = compareVersions(before.version, after.version);
  if (order === 0 && before.sha256 === after.sha256) return [];
  return [{ kind: order < 0 ? "upgraded" : order > 0 ? "downgraded" : "rebuilt", name, before: before.version, after: after.version }];
}

function recordedChanges(before: readonly RecordedResponse[], after: readonly RecordedResponse[]): StepChanges["recorded"] {
  const digests = (list: readonly RecordedResponse[]): ReadonlyMap<string, string> => {
    const found = new Map<string, string>();
    for (const { method, url, status, sha256 } of list)
      found.set(`${method} ${url}`, `${found.get(`${method} ${url}`) ?? ""} ${status} ${sha256}`);
    return found;
  };
  const [old, now] = [digests(before), digests(after)];
  return [...new Set([...old.keys(), ...now.keys()])].sort().flatMap((name) => {
    if (old.get(name) === now.get(name)) return [];
    return [{ kind: !old.has(name) ? ("added" as const) : !now.has(name) ? ("removed" as const) : ("changed" as const), name }];
  });
}

/** At most this many lines of one kind for a step; a first lock has hundreds that nobody reads. A guess. */
const SHOWN = 12;

/**
 * The difference for people, a line each: `+ jq 1.6-2.1`, `- …`, `↑ curl 7.88.1-10 → 7.88.1-11`. A long run of equal kind is cut.
 *
 * @returns no lines when nothing changed
 */
export function formatLockChanges(changes: LockChanges): readonly string[] {
  return [
    ...changes.steps.flatMap(formatStep),
    ...changes.parents.map(({ layer, before, after }) => `${layer}: parent image ${shown(before)} → ${shown(after)}`),
    ...changes.epochs.map(({ layer, before, after }) => `${layer}: dated ${dayOf(before)} → ${dayOf(after)}`),
  ];
}

function formatStep(step: StepChanges): readonly string[] {
  const lines = [
    ...formatPackages(step.packages, ""),
    ...formatPackages(step.lent, " (lent)"),
    ...capped(step.recorded.map(({ kind, name }) => `${SIGNS[kind]} ${name}`)),
  ];
  const image = step.image === undefined ? [] : [`image ${shown(step.image.before)} → ${shown(step.image.after)}`];
  const note = step.step === "changed" ? "" : ` (${step.step})`;
  return [`${step.address}${note}`, ...[...lines, ...image].map((line) => `  ${line}`)];
}

const SIGNS = { added: "+", removed: "-", upgraded: "↑", downgraded: "↓", rebuilt: "≠", changed: "≠" } as const;

function formatPackages(changes: readonly PackageChange[], suffix: string): readonly string[] {
  const kinds = ["removed", "downgraded", "upgraded", "rebuilt", "added"] as const;
  return kinds.flatMap((kind) =>
    capped(
      changes
        .filter((change) => change.kind === kind)
        .map((change) => {
          const versions =
            change.kind === "added" ? change.after : change.kind === "removed" ? change.before : `${change.before} → ${change.after}`;
          return `${SIGNS[kind]} ${change.name} ${versions}${suffix}`;
        }),
    ),
  );
}

const capped = (lines: readonly string[]): readonly string[] =>
  lines.length <= SHOWN + 1 ? lines : [...lines.slice(0, SHOWN), `${lines[0]?.[0] ?? ""} … and ${lines.length - SHOWN} more`];

const shown = (digest: string | undefined): string => (digest === undefined ? "(none)" : shortDigest(digest as `sha256:${string}`));
const dayOf = (seconds: number | undefined): string =>
  seconds === undefined ? "(none)" : new Date(seconds * 1000).toISOString().slice(0, 10);
