import type { AuditRecord } from "../core/audit/record.ts";
import type { ImageDigest } from "../core/digest.ts";
import { shortDigest } from "../core/digest.ts";
import { BakehouseError } from "../core/errors.ts";
import { earlierImages } from "../core/promotion/stays.ts";
import type { Ledger } from "../ports/ledger.ts";
import type { ChannelParts } from "./channel-parts.ts";
import { findImage, findPointer } from "./find-image.ts";
import { record } from "./record.ts";
import { revocationsOfImage } from "./require-not-revoked.ts";

export interface ChannelMoveResult {
  readonly name: string;
  readonly channel: string;
  readonly before: ImageDigest;
  /** Where it points now; absent: to nothing. */
  readonly image?: ImageDigest;
  readonly record: AuditRecord;
}

/**
 * Points a channel to an image that it pointed to before: the one before, or a given one. Its gates were met then and are not
 * asked again, and no freeze window keeps it back; one that was revoked meanwhile is passed over.
 *
 * @throws CHANNEL_NOT_FOUND, PROMOTION_BLOCKED (it never pointed there, or there is nothing earlier), IMAGE_REVOKED
 */
export async function rollBackChannel(
  parts: ChannelParts,
  options: { readonly channel: string; readonly to?: string; readonly reason?: string },
): Promise<ChannelMoveResult> {
  const { ledger } = await parts.catalog();
  return moved(
    parts,
    ledger,
    async () => {
      const pointer = findPointer(await ledger.channels(), options.channel);
      const earlier = earlierImages(await ledger.moves(pointer.name, pointer.channel));
      const target = options.to === undefined ? nearestEarlier(parts, earlier) : given(parts, earlier, options.to, pointer);
      if (target === undefined)
        throw new BakehouseError("PROMOTION_BLOCKED", `${pointer.name}@${pointer.channel} has no earlier image to go back to`, {
          hint: `bakehouse demote ${pointer.name}@${pointer.channel}, to leave it pointing to nothing`,
        });
      return { pointer, target };
    },
    options.reason,
  );
}

/** Takes the image out of a channel, which points to nothing then. @throws CHANNEL_NOT_FOUND */
export async function demoteChannel(
  parts: ChannelParts,
  options: { readonly channel: string; readonly reason?: string },
): Promise<ChannelMoveResult> {
  const { ledger } = await parts.catalog();
  return moved(parts, ledger, async () => ({ pointer: findPointer(await ledger.channels(), options.channel) }), options.reason);
}

async function moved(
  parts: ChannelParts,
  ledger: Ledger,
  decide: () => Promise<{
    readonly pointer: { readonly name: string; readonly channel: string; readonly digest: ImageDigest };
    readonly target?: ImageDigest;
  }>,
  reason: string | undefined,
): Promise<ChannelMoveResult> {
  const { record: written, result } = await record(parts, ledger, async () => {
    const { pointer, target } = await decide();
    const { name, channel, digest: before } = pointer;
    const clock = parts.machineClock();
    parts.reach("ledger-decided");
    const details = {
      name,
      channel,
      digest: target ?? null,
      before,
      ...(clock === undefined ? {} : { clock }),
      ...(reason === undefined ? {} : { reason }),
    };
    const body = { action: target === undefined ? "demoted" : "rolled-back", subject: target ?? before, details } as const;
    return { body, result: { name, channel, before, ...(target === undefined ? {} : { image: target }) } };
  });
  if (written === undefined) throw new Error("a move of a channel was not recorded");
  return { ...result, record: written };
}

const isHere = ({ store }: ChannelParts, digest: ImageDigest): boolean => store.images.entries().some((entry) => entry.digest === digest);

/** The first that is here and not revoked. */
export const nearestEarlier = (parts: ChannelParts, earlier: readonly ImageDigest[]): ImageDigest | undefined =>
  earlier.find((digest) => isHere(parts, digest) && revocationsOfImage(parts.store, digest, parts.clock.now()).length === 0);

function given(
  parts: ChannelParts,
  earlier: readonly ImageDigest[],
  reference: string,
  { name, channel }: { readonly name: string; readonly channel: string },
): ImageDigest {
  const { digest } = findImage(parts.store, reference);
  if (!earlier.includes(digest))
    throw new BakehouseError("PROMOTION_BLOCKED", `${name}@${channel} did not point to ${shortDigest(digest)} before`, {
      hint:
        earlier.length === 0
          ? `bakehouse promote ${shortDigest(digest)} --to ${channel}`
          : `it pointed to ${earlier.map(shortDigest).join(", ")}`,
    });
  const [revoked] = revocationsOfImage(parts.store, digest, parts.clock.now());
  if (revoked !== undefined)
    throw new BakehouseError("IMAGE_REVOKED", `${shortDigest(digest)} is revoked: ${revoked.reason}`, {
      hint: `bakehouse restore ${shortDigest(revoked.digest)}`,
    });
  return digest;
}
