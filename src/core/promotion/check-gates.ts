import { z } from "zod";
import type { Channel, RequiredChecks } from "../channel/model.ts";
import type { CheckPlatform, Verdict } from "../checks/verdict.ts";
import { worstVerdict } from "../checks/verdict.ts";
import { hexOf, type Sha256 } from "../digest.ts";
import type { Evidence, PromotionFacts } from "./facts.ts";
import type { Gate } from "./gate.ts";
import { shownTime } from "./words.ts";

/** Of a CheckRun, what a gate reads; the rest may be anything. */
const runSchema = z.object({
  image: z.string(),
  endedAt: z.iso.datetime(),
  results: z.array(
    z.object({
      name: z.string(),
      platform: z.enum(["cell", "vm", "tree"]),
      verdict: z.enum(["passed", "failed", "error", "inconclusive"]),
      summary: z.string(),
      startedAt: z.iso.datetime(),
    }),
  ),
});

/** Clocks of machines that share a store may differ by so much (a guess). */
const FUTURE_TOLERANCE_MS = 5 * 60_000;

interface Result {
  readonly paper: Sha256;
  readonly name: string;
  readonly platform: CheckPlatform;
  readonly verdict: Verdict;
  readonly summary: string;
  readonly at: string;
}

/** What of the evidence counts, and why the rest does not. */
export interface Weighed {
  readonly results: readonly Result[];
  readonly refused: readonly string[];
}

/** Evidence counts when it is signed by a trusted key, about exactly this image, and not too old. */
export function weighEvidence(channel: Channel, { image, evidence }: Pick<PromotionFacts, "image" | "evidence">, now: Date): Weighed {
  const results: Result[] = [];
  const refused: string[] = [];
  for (const piece of evidence) {
    const run = runSchema.safeParse(piece.predicate);
    const problem =
      problemWith(piece, image.digest) ?? (run.success ? timeProblem(run.data.endedAt, channel, now) : "evidence cannot be read");
    if (problem !== undefined || !run.success) {
      refused.push(problem ?? "evidence cannot be read");
      continue;
    }
    if (run.data.image !== image.digest) refused.push("evidence is about another image");
    else for (const { startedAt, ...result } of run.data.results) results.push({ ...result, paper: piece.digest, at: startedAt });
  }
  return { results, refused: [...new Set(refused)] };
}

function problemWith({ trust, keyId, subjects }: Evidence, digest: Sha256): string | undefined {
  if (trust === "bad-signature") return "evidence was changed after it was signed";
  if (trust === "wrong-subject") return "evidence is about another image";
  if (trust !== "signed") return `evidence is signed by ${keyId === "" ? "nobody" : `key ${keyId.slice(0, 12)}`}, who is not trusted here`;
  if (subjects === undefined) return "evidence cannot be read";
  return subjects.length === 1 && subjects[0] === hexOf(digest) ? undefined : "evidence is about another image";
}

function timeProblem(endedAt: string, { evidenceMaxAgeMs }: Channel, now: Date): string | undefined {
  const ageMs = now.getTime() - Date.parse(endedAt);
  if (ageMs < -FUTURE_TOLERANCE_MS) return "evidence is dated in the future: a clock was set";
  if (evidenceMaxAgeMs === undefined || ageMs <= evidenceMaxAgeMs) return undefined;
  return `evidence is ${shownTime(ageMs)} old, at most ${shownTime(evidenceMaxAgeMs)} count`;
}

/** One gate for each check that the channel asks for. */
export function checkGates(channel: Channel, facts: PromotionFacts, weighed: Weighed): readonly Gate[] {
  const gates = channel.checks.flatMap((required) => gatesOf(required, facts, weighed));
  return gates.filter(({ gate }, index) => gates.findIndex((other) => other.gate === gate) === index);
}

function gatesOf({ platform, names }: RequiredChecks, facts: PromotionFacts, weighed: Weighed): readonly Gate[] {
  const suffix = platform === "any" ? "" : ` (${platform})`;
  if (names !== "all") return names.map((name) => judge(name, platform === "any" ? undefined : [platform], suffix, facts, weighed));
  const declared = (facts.declared ?? []).filter(
    (check) => platform === "any" || check.platform === undefined || check.platform === platform,
  );
  if (declared.length === 0)
    return [
      {
        gate: `checks${suffix}`,
        verdict: "inconclusive",
        why: `all checks must have passed, and the recipe declares none${platform === "any" ? "" : ` for ${platform}`}`,
      },
    ];
  return declared.map((check) => judge(check.name, platformsOf(platform, check.platform), suffix, facts, weighed));
}

const platformsOf = (asked: RequiredChecks["platform"], own: CheckPlatform | undefined): readonly CheckPlatform[] | undefined =>
  asked !== "any" ? [asked] : own === undefined ? undefined : [own];

/** @param platforms  each of these must have passed; undefined: wherever it ran, and it must have run */
function judge(
  name: string,
  platforms: readonly CheckPlatform[] | undefined,
  suffix: string,
  facts: PromotionFacts,
  weighed: Weighed,
): Gate {
  const own = weighed.results.filter((result) => result.name === name);
  const asked = platforms ?? [...new Set(own.map(({ platform }) => platform))];
  const newest = asked.map((platform) => own.filter((result) => result.platform === platform).reduce<Result | undefined>(newer, undefined));
  const gate = `check ${name}${suffix}`;
  const command = `bakehouse check ${facts.image.reference}`;
  const missing = asked.filter((_, index) => newest[index] === undefined);
  const found = newest.filter((result) => result !== undefined);
  const bad = found.find(({ verdict }) => verdict === worstVerdict(found.map((result) => result.verdict)) && verdict !== "passed");
  if (bad !== undefined) return { gate, verdict: bad.verdict, why: bad.summary, command };
  if (asked.length === 0 || missing.length > 0) {
    const where = platforms === undefined || suffix !== "" || missing.length === 0 ? "" : ` (${missing.join(", ")})`;
    const refused = weighed.refused.length === 0 ? "" : `; ${weighed.refused.join("; ")}`;
    return { gate, verdict: "inconclusive", why: `has not run on this image${where}${refused}`, command };
  }
  return { gate, verdict: "passed", why: found.map(({ summary }) => summary).join("; ") };
}

/** Of equal times the worse one. */
function newer(a: Result | undefined, b: Result): Result {
  if (a === undefined || b.at > a.at) return b;
  return b.at === a.at && worstVerdict([a.verdict, b.verdict]) === b.verdict ? b : a;
}
