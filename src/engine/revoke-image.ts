import type { AuditRecord } from "../core/audit/record.ts";
import { isSha256, shortDigest, type ImageDigest } from "../core/digest.ts";
import type { IndexEntry } from "../core/image/oci.ts";
import { earlierImages } from "../core/promotion/stays.ts";
import type { Store } from "../ports/store.ts";
import type { ChannelParts } from "./channel-parts.ts";
import { findImage, nameOf } from "./find-image.ts";
import { record } from "./record.ts";
import { nearestEarlier } from "./roll-back-channel.ts";
import { parentsOf } from "./references.ts";
import { replacementFor, revocationsOfImage } from "./require-not-revoked.ts";

/** Where a revoked image is in use, and what to do about it. */
export interface RevokedUse {
  readonly kind: "channel" | "mount" | "cell" | "fleet";
  readonly where: string;
  readonly image: ImageDigest;
  readonly command: string;
}

export interface RevokedImage {
  readonly digest: ImageDigest;
  readonly name: string;
  /** The newest image of the same name that is not revoked. */
  readonly replacement?: ImageDigest;
  /** That one was baked before, and may have the same fault. */
  readonly replacementIsOlder?: true;
}

export interface RevokeResult {
  readonly image: RevokedImage;
  readonly reason: string;
  readonly from: string;
  /** What stands on it. */
  readonly reaches: readonly RevokedImage[];
  readonly uses: readonly RevokedUse[];
  readonly record?: AuditRecord;
}

export interface RevokeParts extends ChannelParts {
  /** What is started or mounted from images. */
  uses(): Promise<readonly RevokedUse[]>;
}

/**
 * Revokes an image and everything that stands on it: from `from` on it is not promoted, not run and not rolled out. Machines and
 * channels that have it stay as they are, and are told.
 *
 * @throws IMAGE_NOT_FOUND (a whole digest needs not be in the store), REFERENCE_AMBIGUOUS
 */
export async function revokeImage(
  parts: RevokeParts,
  options: { readonly image: string; readonly reason: string; readonly from?: Date },
): Promise<RevokeResult> {
  const { store } = parts;
  const { ledger } = await parts.catalog();
  const image = revocable(store, options.image);
  const done = await record(parts, ledger, async ({ now }) => {
    const reaches = descendantsOf(store, image.digest);
    const from = (options.from ?? now).toISOString();
    return {
      body: {
        action: "revoked",
        subject: image.digest,
        details: { name: image.name, reason: options.reason, from, reaches: reaches.map(({ digest }) => digest) },
      },
      result: { from, reaches },
    };
  });
  const { from, reaches } = done.result;
  const all = new Set([image.digest, ...reaches.map(({ digest }) => digest)]);
  const channels = await Promise.all(
    (await ledger.channels()).map(async ({ name, channel, digest }): Promise<RevokedUse> => {
      const back = nearestEarlier(parts, earlierImages(await ledger.moves(name, channel)));
      const verb = back === undefined ? "demote" : "rollback";
      return { kind: "channel", where: `${name}@${channel}`, image: digest, command: `bakehouse ${verb} ${name}@${channel}` };
    }),
  );
  const withReplacement = (one: { readonly digest: ImageDigest; readonly name: string }): RevokedImage => {
    const instead = replacementFor(store, one.digest, new Date(Math.max(Date.parse(from), parts.clock.now().getTime())));
    return {
      ...one,
      ...(instead === undefined ? {} : { replacement: instead.digest }),
      ...(instead?.older === true ? { replacementIsOlder: true } : {}),
    };
  };
  return {
    image: withReplacement(image),
    reason: options.reason,
    from,
    reaches: reaches.map(withReplacement),
    uses: [...channels, ...(await parts.uses())].filter((use) => all.has(use.image)),
    ...(done.record === undefined ? {} : { record: done.record }),
  };
}

export interface RestoreResult {
  readonly image: ImageDigest;
  readonly name: string;
  /** Absent when it was not revoked by itself. */
  readonly record?: AuditRecord;
  /** What it stands on and is still revoked. */
  readonly stillRevoked: readonly { readonly digest: ImageDigest; readonly reason: string }[];
}

/** Takes a revocation back. */
export async function restoreImage(
  parts: ChannelParts,
  options: { readonly image: string; readonly reason?: string },
): Promise<RestoreResult> {
  const { ledger } = await parts.catalog();
  const known = (await ledger.revocations()).find(({ digest }) => digest.slice(7).startsWith(options.image.replace(/^sha256:/, "")));
  const image = known !== undefined && options.image.length >= 4 ? known : revocable(parts.store, options.image);
  const { record: written } = await record(parts, ledger, async () => {
    const isRevoked = (await ledger.revocations()).some(({ digest }) => digest === image.digest);
    if (!isRevoked) return { result: undefined };
    const { reason } = options;
    return {
      body: { action: "restored", subject: image.digest, details: { name: image.name, ...(reason === undefined ? {} : { reason }) } },
      result: undefined,
    };
  });
  return {
    image: image.digest,
    name: image.name,
    ...(written === undefined ? {} : { record: written }),
    stillRevoked: revocationsOfImage(parts.store, image.digest, parts.clock.now()).map(({ digest, reason }) => ({ digest, reason })),
  };
}

/** An image of the store; or a whole digest, of one that is elsewhere. */
function revocable(store: Store, reference: string): { readonly digest: ImageDigest; readonly name: string } {
  const here = isSha256(reference) && !store.images.entries().some(({ digest }) => digest === reference);
  if (here) return { digest: reference, name: "" };
  const entry = findImage(store, reference);
  return { digest: entry.digest, name: nameOf(entry) };
}

/** Everything that stands on an image, the nearest first. */
export function descendantsOf(store: Store, digest: ImageDigest): readonly { readonly digest: ImageDigest; readonly name: string }[] {
  const childrenOf = new Map<ImageDigest, IndexEntry[]>();
  for (const entry of store.images.entries())
    for (const parent of parentsOf(store, entry)) childrenOf.set(parent, [...(childrenOf.get(parent) ?? []), entry]);
  const found = new Map<ImageDigest, string>();
  const queue = [digest];
  for (let at = queue.shift(); at !== undefined; at = queue.shift())
    for (const child of childrenOf.get(at) ?? []) {
      if (child.digest === digest || found.has(child.digest)) continue;
      found.set(child.digest, nameOf(child) || shortDigest(child.digest));
      queue.push(child.digest);
    }
  return [...found].map(([each, name]) => ({ digest: each, name }));
}
