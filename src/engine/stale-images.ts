import { shortDigest, type ImageDigest } from "../core/digest.ts";
import { compareVersions } from "../core/debian/version.ts";
import { ANNOTATIONS, type IndexEntry } from "../core/image/oci.ts";
import type { ChannelParts } from "./channel-parts.ts";
import { findPointer, nameOf } from "./find-image.ts";
import { readSbom } from "./promotion-facts.ts";
import { parentsOf } from "./references.ts";
import { revocationsOfImage } from "./require-not-revoked.ts";

export type StaleReason =
  | { readonly kind: "revoked"; readonly image: ImageDigest; readonly reason: string }
  /** The channel that it was baked from points to another image now. */
  | { readonly kind: "channel-moved"; readonly channel: string; readonly before: ImageDigest; readonly now: ImageDigest }
  /** The name of what it stands on has moved on to a newer image. */
  | { readonly kind: "parent-baked"; readonly parent: string; readonly before: ImageDigest; readonly now: ImageDigest }
  | { readonly kind: "parent-stale"; readonly parent: string; readonly image: ImageDigest }
  | {
      readonly kind: "security";
      readonly updates: readonly { readonly name: string; readonly version: string; readonly newest: string }[];
      readonly asOf: string;
    };

export interface StaleImage {
  readonly digest: ImageDigest;
  readonly name: string;
  /** Channels that point to it. */
  readonly channels: readonly string[];
  readonly why: readonly StaleReason[];
}

/**
 * Images that must be baked again, with why, in the order in which to bake them. Looked at are those that have their name or are
 * in a channel.
 *
 * @returns also how many could not be looked at for security updates, for want of an SBOM or lists
 */
export async function staleImages(
  parts: ChannelParts,
): Promise<{ readonly images: readonly StaleImage[]; readonly unknown: number; readonly looked: number }> {
  const { store } = parts;
  const entries = store.images.entries();
  const { channels } = store.marks();
  const inChannels = (digest: ImageDigest): readonly string[] =>
    channels.filter((each) => each.digest === digest).map(({ channel }) => channel);
  const found = new Map<ImageDigest, StaleImage>();
  let unknown = 0;
  const used = parentsFirst(parts, entries).filter(
    (entry) => entry.annotations[ANNOTATIONS.name] !== undefined || inChannels(entry.digest).length > 0,
  );
  for (const entry of used) {
    const security = await missingUpdates(parts, entry);
    if (security === "unknown") unknown += 1;
    const why = [
      ...revoked(parts, entry),
      ...movedParents(parts, entries, entry),
      ...staleParents(parts, entry, found),
      ...(security === "unknown" ? [] : security),
    ];
    if (why.length > 0) found.set(entry.digest, { digest: entry.digest, name: nameOf(entry), channels: inChannels(entry.digest), why });
  }
  return { images: [...found.values()], unknown, looked: used.length };
}

function parentsFirst({ store }: ChannelParts, entries: readonly IndexEntry[]): readonly IndexEntry[] {
  const byDigest = new Map(entries.map((entry) => [entry.digest, entry]));
  const ordered = new Set<IndexEntry>();
  const visit = (entry: IndexEntry, above: ReadonlySet<ImageDigest>): void => {
    if (ordered.has(entry) || above.has(entry.digest)) return;
    for (const parent of parentsOf(store, entry)) {
      const found = byDigest.get(parent);
      if (found !== undefined) visit(found, new Set([...above, entry.digest]));
    }
    ordered.add(entry);
  };
  for (const entry of entries) visit(entry, new Set());
  return [...ordered];
}

const revoked = ({ store, clock }: ChannelParts, entry: IndexEntry): readonly StaleReason[] =>
  revocationsOfImage(store, entry.digest, clock.now()).map(({ digest, reason }) => ({ kind: "revoked", image: digest, reason }));

function movedParents({ store }: ChannelParts, entries: readonly IndexEntry[], entry: IndexEntry): readonly StaleReason[] {
  const parent = entry.annotations[ANNOTATIONS.baseDigest] as ImageDigest | undefined;
  if (parent === undefined || parent === entry.digest) return [];
  const reference = entry.annotations[ANNOTATIONS.baseReference];
  if (reference?.includes("@") === true) {
    // through a channel: only that decides, whatever else was baked
    const pointer = quietly(() => findPointer(store.marks().channels, reference));
    return pointer === undefined || pointer.digest === parent
      ? []
      : [{ kind: "channel-moved", channel: reference, before: parent, now: pointer.digest }];
  }
  const name = entries.filter((each) => each.digest === parent).map(nameOf)[0];
  const current = entries.find((each) => name !== undefined && each.annotations[ANNOTATIONS.name] === name);
  if (name === undefined || current === undefined || current.digest === parent) return [];
  return [{ kind: "parent-baked", parent: name, before: parent, now: current.digest }];
}

function staleParents({ store }: ChannelParts, entry: IndexEntry, found: ReadonlyMap<ImageDigest, StaleImage>): readonly StaleReason[] {
  return parentsOf(store, entry).flatMap((parent): readonly StaleReason[] => {
    const stale = found.get(parent);
    return stale === undefined ? [] : [{ kind: "parent-stale", parent: stale.name, image: parent }];
  });
}

async function missingUpdates(parts: ChannelParts, entry: IndexEntry): Promise<readonly StaleReason[] | "unknown"> {
  const sbom = readSbom(await parts.papers(), entry.digest);
  if (sbom?.release === undefined) return "unknown";
  const index = await parts.securityUpdates({ release: sbom.release, packages: sbom.packages.map(({ name }) => name) });
  if (index === undefined) return "unknown";
  const updates = sbom.packages.flatMap(({ name, version }) => {
    const newest = index.versions.get(name);
    return newest === undefined || compareVersions(version, newest) >= 0 ? [] : [{ name, version, newest }];
  });
  return updates.length === 0 ? [] : [{ kind: "security", updates, asOf: index.date }];
}

function quietly<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined; // the channel points to nothing now
  }
}

/** One line for people. */
export function staleReasonText(reason: StaleReason): string {
  switch (reason.kind) {
    case "revoked":
      return `${shortDigest(reason.image)} is revoked: ${reason.reason}`;
    case "channel-moved":
      return `${reason.channel} has moved from ${shortDigest(reason.before)} to ${shortDigest(reason.now)}`;
    case "parent-baked":
      return `${reason.parent} was baked again: ${shortDigest(reason.before)} → ${shortDigest(reason.now)}`;
    case "parent-stale":
      return `${reason.parent}, which it stands on, must be baked again`;
    case "security": {
      const [first] = reason.updates;
      const rest = reason.updates.length - 1;
      return `security updates of ${reason.asOf.slice(0, 10)}: ${first?.name ?? ""} ${first?.version ?? ""} → ${first?.newest ?? ""}${rest === 0 ? "" : ` and ${rest} more`}`;
    }
  }
}
