import { openWindows } from "../channel/freeze.ts";
import type { Channel } from "../channel/model.ts";
import { shortDigest, type Sha256 } from "../digest.ts";
import { checkGates, weighEvidence } from "./check-gates.ts";
import type { PromotionFacts, Revocation } from "./facts.ts";
import type { Gate } from "./gate.ts";
import { distinctPeople, isNamed, isSamePerson } from "./people.ts";
import { sbomGates } from "./sbom-gates.ts";
import { lengthOf, staysOf } from "./stays.ts";
import { fewOf, shownMoment, shownTime } from "./words.ts";

/**
 * Every gate of a channel, met or not, for one image. Pure: reads no store and no clock.
 *
 * @param now  as the wall clock stands; one that stands before a record was set back, and then no gate about time is met
 * @returns at least the one about revoked images. What is not known is `inconclusive`, and that is not met
 * @see     docs/decisions/0026-channels-and-audit.md; the longest of all stays counts as in Kargo's soak times
 * @example unmetGates(gatesFor(channel, facts, new Date()))
 */
export function gatesFor(channel: Channel, facts: PromotionFacts, now: Date): readonly Gate[] {
  return [
    revocationGate(facts, now),
    ...(facts.before === undefined ? [] : orderGates(channel, facts.before, facts, now)),
    ...checkGates(channel, facts, weighEvidence(channel, facts, now)),
    ...sbomGates(channel, facts, now),
    ...approvalGate(channel, facts),
    ...freezeGate(channel, now),
  ].map((gate) => (isAboutTime(gate.gate, channel) ? distrustClock(gate, facts, now) : gate));
}

/** The gates that keep an image out. */
export const unmetGates = (gates: readonly Gate[]): readonly Gate[] => gates.filter(({ verdict }) => verdict !== "passed");

/** Papers that the gates of checks rest on. */
export const evidenceFor = (channel: Channel, facts: PromotionFacts, now: Date): readonly Sha256[] => [
  ...new Set(weighEvidence(channel, facts, now).results.map(({ paper }) => paper)),
];

const isAboutTime = (gate: string, channel: Channel): boolean =>
  gate === "min-time" ||
  gate === "freeze" ||
  gate === "security-updates" ||
  (channel.evidenceMaxAgeMs !== undefined && gate.startsWith("check"));

function distrustClock(gate: Gate, { latestRecordAt }: PromotionFacts, now: Date): Gate {
  if (gate.verdict !== "passed" || latestRecordAt === undefined || now.getTime() >= Date.parse(latestRecordAt)) return gate;
  return {
    gate: gate.gate,
    verdict: "inconclusive",
    why: `the clock stands at ${shownMoment(now.toISOString())}, before the last record (${shownMoment(latestRecordAt)}): it was set back`,
  };
}

/** Revocations that reach an image, by itself or by what it stands on, at a time. */
export function revocationsOf(lineage: PromotionFacts["lineage"], revocations: readonly Revocation[], atMs: number): readonly Revocation[] {
  const line = new Set(lineage.map(({ digest }) => digest));
  return revocations.filter(
    ({ digest, reaches, from }) => Date.parse(from) <= atMs && (line.has(digest) || reaches.some((reached) => line.has(reached))),
  );
}

function revocationGate({ lineage, revocations, latestRecordAt, image }: PromotionFacts, now: Date): Gate {
  // a clock that was set back must not bring a revocation back into the future
  const atMs = Math.max(now.getTime(), latestRecordAt === undefined ? 0 : Date.parse(latestRecordAt));
  const [revoked] = revocationsOf(lineage, revocations, atMs);
  const gate = "revocation";
  if (revoked !== undefined)
    return {
      gate,
      verdict: "failed",
      why: `${revoked.digest === image.digest ? "it" : `${revoked.name || "an image"} (${shortDigest(revoked.digest)}), which it stands on,`} is revoked: ${revoked.reason}`,
      command: `bakehouse restore ${shortDigest(revoked.digest)}`,
    };
  const missing = lineage.find(({ here }) => !here);
  if (missing !== undefined)
    return {
      gate,
      verdict: "inconclusive",
      why: `${shortDigest(missing.digest)}, which it stands on, is not in this store: nobody can say whether what is below is revoked`,
    };
  return { gate, verdict: "passed", why: "neither it nor what it stands on is revoked" };
}

function orderGates(channel: Channel, before: NonNullable<PromotionFacts["before"]>, facts: PromotionFacts, now: Date): readonly Gate[] {
  const { stays, takenBack } = staysOf(before.moves, facts.image.digest);
  const command = `bakehouse promote ${facts.image.reference} --to ${before.channel}`;
  const order: Gate =
    stays.length > 0
      ? { gate: "order", verdict: "passed", why: `it has been in ${before.channel}` }
      : {
          gate: "order",
          verdict: "failed",
          why:
            takenBack === undefined
              ? `it has not been in ${before.channel}, the channel before`
              : `${before.channel} was taken back from it at ${shownMoment(takenBack.at)}`,
          command,
        };
  if (channel.minTimeMs === 0) return [order];
  const lengths = stays.map((stay) => lengthOf(stay, { at: now, ...(facts.clock === undefined ? {} : { clock: facts.clock }) }));
  const longest = Math.max(-1, ...lengths.filter((length) => length !== undefined));
  const needed = shownTime(channel.minTimeMs);
  if (longest >= channel.minTimeMs)
    return [order, { gate: "min-time", verdict: "passed", why: `${shownTime(longest)} in ${before.channel}, at least ${needed}` }];
  if (lengths.includes(undefined))
    return [order, { gate: "min-time", verdict: "inconclusive", why: `the clock went backwards while it was in ${before.channel}` }];
  const why =
    stays.length === 0
      ? `it must be in ${before.channel} for ${needed}`
      : `${shownTime(longest)} in ${before.channel}, at least ${needed} are asked for`;
  return [order, { gate: "min-time", verdict: "failed", why }];
}

function approvalGate(channel: Channel, facts: PromotionFacts): readonly Gate[] {
  const { count, by } = channel.approvals;
  if (count === 0) return [];
  const { bakedBy, digest, reference } = facts.image;
  const given = facts.approvals
    .filter((approval) => approval.digest === digest && approval.channel === channel.name)
    .map(({ person }) => person)
    .filter((person) => !isSamePerson(person, bakedBy) && (by.length === 0 || by.some((entry) => isNamed(entry, person))));
  const people = distinctPeople(given);
  const said = people.length === 0 ? "nobody has approved" : `approved by ${people.join(", ")}`;
  if (people.length >= count) return [{ gate: "approvals", verdict: "passed", why: said }];
  const others = by.filter((entry) => !isSamePerson(entry, bakedBy) && !people.some((person) => isNamed(entry, person)));
  const who =
    by.length === 0 ? `anybody but ${bakedBy}, who baked it` : others.length === 0 ? "nobody who is named is left" : fewOf(others);
  return [
    {
      gate: "approvals",
      verdict: "failed",
      why: `${people.length} of ${count}: ${said}; may still: ${who}`,
      command: `bakehouse approve ${reference} --to ${channel.name} --as ${others[0] ?? "NAME"}`,
    },
  ];
}

function freezeGate({ freeze }: Channel, now: Date): readonly Gate[] {
  if (freeze.length === 0) return [];
  const open = openWindows(freeze, now);
  const [first] = open;
  if (first === undefined) return [{ gate: "freeze", verdict: "passed", why: "no freeze window is open" }];
  const until = open.map((window) => window.until.toISOString()).reduce((a, b) => (a > b ? a : b));
  return [
    {
      gate: "freeze",
      verdict: "failed",
      why: `frozen until ${shownMoment(until)}${first.window.reason === undefined ? "" : `: ${first.window.reason}`}`,
    },
  ];
}
