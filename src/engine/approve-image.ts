import type { AuditRecord } from "../core/audit/record.ts";
import type { ImageDigest } from "../core/digest.ts";
import { shortDigest } from "../core/digest.ts";
import { BakehouseError } from "../core/errors.ts";
import { ANNOTATIONS } from "../core/image/oci.ts";
import type { Gate } from "../core/promotion/gate.ts";
import { gatesFor } from "../core/promotion/gates-for.ts";
import { isNamed, isSamePerson } from "../core/promotion/people.ts";
import type { ChannelParts } from "./channel-parts.ts";
import { findChannel } from "./find-channel.ts";
import { findImage, nameOf } from "./find-image.ts";
import { promotionFacts } from "./promotion-facts.ts";
import { record } from "./record.ts";

export interface ApproveOptions {
  readonly image: string;
  readonly to: string;
  /** Who approves; default whoever gives the command. */
  readonly as?: string;
  /** Takes an approval back. */
  readonly withdraw: boolean;
}

export interface ApprovalResult {
  readonly name: string;
  readonly image: ImageDigest;
  readonly channel: string;
  readonly person: string;
  readonly withdrawn: boolean;
  /** Absent when it stood so already. */
  readonly record?: AuditRecord;
  /** How the channel's gate stands now. */
  readonly gate?: Gate;
}

/**
 * Records that somebody approves of one image for one channel, or no longer does. Approvals that could never count are refused.
 *
 * @throws PROMOTION_BLOCKED (they baked it, or are not among those who may), CHANNEL_NOT_FOUND, IMAGE_NOT_FOUND
 */
export async function approveImage(parts: ChannelParts, options: ApproveOptions): Promise<ApprovalResult> {
  const entry = findImage(parts.store, options.image);
  const { ledger } = await parts.catalog();
  const person = options.as ?? (await parts.baker());
  const name = nameOf(entry);
  const { record: written } = await record(parts, ledger, async () => {
    const { channel } = await findChannel(ledger, entry, options.to);
    const { by } = channel.approvals;
    const bakedBy = entry.annotations[ANNOTATIONS.bakedBy] ?? "";
    const refuse = (why: string, hint: string): BakehouseError =>
      new BakehouseError(
        "PROMOTION_BLOCKED",
        `${person} cannot approve ${name} (${shortDigest(entry.digest)}) for "${channel.name}": ${why}`,
        { hint },
      );
    if (!options.withdraw && isSamePerson(person, bakedBy)) throw refuse(`${bakedBy} baked it`, "somebody else must: --as NAME");
    if (!options.withdraw && by.length > 0 && !by.some((each) => isNamed(each, person)))
      throw refuse("the recipe does not name them", `those who may: ${by.join(", ")}`);
    const given = (await ledger.approvals(entry.digest)).some((each) => each.channel === channel.name && each.person === person);
    if (given !== options.withdraw) return { result: undefined };
    const action = options.withdraw ? "approval-withdrawn" : "approved";
    return { body: { action, subject: entry.digest, details: { name, channel: channel.name, person } }, result: undefined };
  });
  const { channel, policy } = await findChannel(ledger, entry, options.to);
  const gate = gatesFor(channel, await promotionFacts(parts, entry, policy, channel), parts.clock.now()).find(
    (each) => each.gate === "approvals",
  );
  return {
    name,
    image: entry.digest,
    channel: channel.name,
    person,
    withdrawn: options.withdraw,
    ...(written === undefined ? {} : { record: written }),
    ...(gate === undefined ? {} : { gate }),
  };
}
