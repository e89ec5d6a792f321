import type { AuditBody, AuditRecord, Emergency } from "../core/audit/record.ts";
import type { ImageDigest } from "../core/digest.ts";
import { shortDigest } from "../core/digest.ts";
import { BakehouseError } from "../core/errors.ts";
import type { IndexEntry } from "../core/image/oci.ts";
import { commandsInTurn, type Gate } from "../core/promotion/gate.ts";
import { evidenceFor, gatesFor, unmetGates } from "../core/promotion/gates-for.ts";
import { distinctPeople, isSamePerson } from "../core/promotion/people.ts";
import type { ChannelState } from "../ports/ledger.ts";
import type { ChannelParts } from "./channel-parts.ts";
import { findChannel } from "./find-channel.ts";
import { findImage, nameOf } from "./find-image.ts";
import { promotionFacts } from "./promotion-facts.ts";
import { record } from "./record.ts";

export interface PromoteOptions {
  readonly image: string;
  readonly to: string;
  /** Only if the channel still points to this image; `none`: to nothing. */
  readonly expect?: string;
  /** Gates that are not met are passed over, all but the one about revoked images, and this is recorded for ever. */
  readonly emergency?: { readonly reason: string; readonly approvers: readonly string[] };
}

export interface Promotion {
  readonly name: string;
  readonly channel: string;
  readonly image: ImageDigest;
  /** What the channel pointed to before. */
  readonly before?: ImageDigest;
  readonly gates: readonly Gate[];
  /** Names of gates that an emergency passed over. */
  readonly waived: readonly string[];
  /** Absent when the channel pointed to it already. */
  readonly record?: AuditRecord;
  /** Who brought it there, when it was there already. */
  readonly already?: { readonly who: string; readonly since: string };
}

/**
 * Points a channel to an image, when all of the channel's gates are met for exactly this digest. What was decided on and what is
 * written are one: when anything was recorded meanwhile, it is decided again, and when the channel was moved, it is refused.
 *
 * @throws PROMOTION_BLOCKED with every gate that is not met, CHANNEL_MOVED, CHANNEL_NOT_FOUND, IMAGE_NOT_FOUND, REFERENCE_AMBIGUOUS
 */
export async function promoteImage(parts: ChannelParts, options: PromoteOptions): Promise<Promotion> {
  const entry = findImage(parts.store, options.image);
  const { ledger } = await parts.catalog();
  const name = nameOf(entry);
  const expected = expectedDigest(parts, options.expect);
  let seen: { readonly pointer: ChannelState | undefined } | undefined;
  const { record: written, result } = await record<Omit<Promotion, "record">>(parts, ledger, async ({ now, latestAt }) => {
    const { channel, policy, sequence } = await findChannel(ledger, entry, options.to);
    const pointer = (await ledger.channels()).find((each) => each.name === name && each.channel === channel.name);
    seen ??= { pointer };
    if (pointer?.sequence !== seen.pointer?.sequence || (expected !== undefined && (pointer?.digest ?? "none") !== expected))
      throw channelMoved(name, channel.name, pointer);
    const common = { name, channel: channel.name, image: entry.digest, ...(pointer === undefined ? {} : { before: pointer.digest }) };
    if (pointer?.digest === entry.digest)
      return { result: { ...common, gates: [], waived: [], already: { who: pointer.who, since: pointer.since } } };
    const facts = await promotionFacts(parts, entry, policy, channel, latestAt);
    const gates = gatesFor(channel, facts, now);
    const waived = waive(entry, channel.name, gates, facts.image.bakedBy, options.emergency);
    parts.reach("ledger-decided");
    const clock = parts.machineClock();
    const body: AuditBody = {
      action: "promoted",
      subject: entry.digest,
      details: {
        name,
        channel: channel.name,
        digest: entry.digest,
        before: pointer?.digest ?? null,
        ...(clock === undefined ? {} : { clock }),
        gates: gates.map(({ gate, verdict, why }) => ({ gate, verdict, why })),
        evidence: evidenceFor(channel, facts, now),
        policy: sequence,
        ...(waived === undefined ? {} : { emergency: waived }),
      },
    };
    return { body, result: { ...common, gates, waived: waived?.waived ?? [] } };
  });
  return { ...result, ...(written === undefined ? {} : { record: written }) };
}

function expectedDigest({ store }: ChannelParts, expect: string | undefined): string | undefined {
  return expect === undefined || expect === "none" ? expect : findImage(store, expect).digest;
}

/** @throws PROMOTION_BLOCKED */
function waive(
  entry: IndexEntry,
  channel: string,
  gates: readonly Gate[],
  bakedBy: string,
  emergency: PromoteOptions["emergency"],
): Emergency | undefined {
  const unmet = unmetGates(gates);
  if (unmet.length === 0) return undefined;
  // Whatever the hurry: what is revoked goes nowhere. `restore` is the way, and it is recorded, too.
  if (emergency === undefined || unmet.some(({ gate }) => gate === "revocation")) throw promotionBlocked(entry, channel, unmet);
  const people = distinctPeople(emergency.approvers).filter((person) => !isSamePerson(person, bakedBy));
  if (people.length < EMERGENCY_APPROVERS)
    throw new BakehouseError(
      "PROMOTION_BLOCKED",
      `An emergency needs ${EMERGENCY_APPROVERS} approvers who are different people and did not bake the image; ${people.length === 0 ? "nobody" : people.join(", ")} counts`,
      { hint: `--approver NAME --approver NAME, neither of them ${bakedBy}` },
    );
  return { reason: emergency.reason, approvers: people, waived: unmet.map(({ gate }) => gate) };
}

const EMERGENCY_APPROVERS = 2;

function promotionBlocked(entry: IndexEntry, channel: string, unmet: readonly Gate[]): BakehouseError {
  const commands = commandsInTurn(unmet);
  const lines = unmet.map(({ gate, verdict, why }, index) => {
    const command = commands[index];
    return `  ${gate}: ${verdict}: ${why}${command === undefined ? "" : `\n    ${command}`}`;
  });
  const next = unmet.find(({ command }) => command !== undefined)?.command;
  return new BakehouseError(
    "PROMOTION_BLOCKED",
    `${nameOf(entry)} (${shortDigest(entry.digest)}) cannot go to "${channel}", ${unmet.length === 1 ? "a gate is" : `${unmet.length} gates are`} not met:\n${lines.join("\n")}`,
    {
      ...(next === undefined ? {} : { hint: next }),
      details: { image: entry.digest, channel, gates: unmet.map((gate) => ({ ...gate })) },
    },
  );
}

const channelMoved = (name: string, channel: string, pointer: ChannelState | undefined): BakehouseError =>
  new BakehouseError(
    "CHANNEL_MOVED",
    pointer === undefined
      ? `${name}@${channel} points to nothing`
      : `${name}@${channel} points to ${shortDigest(pointer.digest)} since ${pointer.since}, moved by ${pointer.who}`,
    {
      hint: "bakehouse channels, to see where it stands; promote again if it is still right",
      details: { name, channel, image: pointer?.digest ?? null },
    },
  );
