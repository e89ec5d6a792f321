import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Channel } from "../channel/model.ts";
import type { CheckResult, CheckRun, Verdict } from "../checks/verdict.ts";
import type { ImageDigest } from "../digest.ts";
import type { Approval, ChannelMove, Evidence, PromotionFacts, Revocation } from "./facts.ts";
import { gatesFor, unmetGates } from "./gates-for.ts";
import { isSamePerson } from "./people.ts";
import { earlierImages, staysOf } from "./stays.ts";

const digest = (digit: string): ImageDigest => `sha256:${digit.repeat(64)}`;
const IMAGE = digest("a");
const HOUR = 3_600_000;
const NOW = new Date("2026-11-25T12:00:00.000Z");
const ago = (ms: number): string => new Date(NOW.getTime() - ms).toISOString();

const channel = (rules: Partial<Channel> = {}): Channel => ({
  name: "qa",
  checks: [],
  minTimeMs: 0,
  approvals: { count: 0, by: [] },
  sbom: { packages: [], licences: [] },
  freeze: [],
  ...rules,
});

const facts = (known: Partial<PromotionFacts> = {}): PromotionFacts => ({
  image: { digest: IMAGE, reference: "shop/release", bakedBy: "max@desk", contentFrom: ago(48 * HOUR) },
  lineage: [
    { digest: digest("f"), name: "shop/base", here: true },
    { digest: IMAGE, name: "shop/release", here: true },
  ],
  revocations: [],
  evidence: [],
  approvals: [],
  ...known,
});

const verdicts = (rules: Partial<Channel>, known: Partial<PromotionFacts> = {}, now = NOW): Readonly<Record<string, string>> =>
  Object.fromEntries(gatesFor(channel(rules), facts(known), now).map(({ gate, verdict }) => [gate, verdict]));

const reasonOf = (gate: string, rules: Partial<Channel>, known: Partial<PromotionFacts> = {}, now = NOW): string =>
  gatesFor(channel(rules), facts(known), now).find((each) => each.gate === gate)?.why ?? "";

const result = (name: string, verdict: Verdict, more: Partial<CheckResult> = {}): CheckResult => ({
  check: "http",
  name,
  layer: "release",
  platform: "cell",
  verdict,
  summary: `${name} ${verdict}`,
  asked: null,
  answered: null,
  excerpt: [],
  attempts: 1,
  startedAt: ago(HOUR),
  durationMs: 5,
  ...more,
});

const evidence = (results: readonly CheckResult[], more: Partial<Evidence> = {}, run: Partial<CheckRun> = {}): Evidence => ({
  digest: digest("e"),
  trust: "signed",
  keyId: "0123456789abcdef",
  subjects: ["a".repeat(64)],
  predicate: {
    image: IMAGE,
    platform: "cell",
    verdict: "passed",
    results,
    startedAt: ago(HOUR),
    endedAt: ago(HOUR),
    by: "max@desk",
    tool: "bakehouse test",
    ...run,
  } satisfies CheckRun,
  ...more,
});

const move = (kind: ChannelMove["kind"], to: ImageDigest | undefined, at: string, more: Partial<ChannelMove> = {}): ChannelMove => ({
  sequence: 1,
  name: "shop/release",
  channel: "dev",
  kind,
  ...(to === undefined ? {} : { digest: to }),
  at,
  who: "max@desk",
  emergency: false,
  ...more,
});

describe("gates of checks", () => {
  const rules = { checks: [{ platform: "any", names: ["http"] }] } as const;

  it.each<readonly [string, readonly Evidence[], Verdict, string]>([
    ["passed", [evidence([result("http", "passed")])], "passed", "http passed"],
    ["failed", [evidence([result("http", "failed")])], "failed", "http failed"],
    ["no answer", [evidence([result("http", "error")])], "error", "http error"],
    ["undecided", [evidence([result("http", "inconclusive")])], "inconclusive", "http inconclusive"],
    ["not run", [], "inconclusive", "has not run on this image"],
    ["another check ran", [evidence([result("tcp", "passed")])], "inconclusive", "has not run"],
    [
      "another digest in the statement",
      [evidence([result("http", "passed")], { subjects: ["b".repeat(64)] })],
      "inconclusive",
      "about another image",
    ],
    [
      "two digests in the statement",
      [evidence([result("http", "passed")], { subjects: ["a".repeat(64), "b".repeat(64)] })],
      "inconclusive",
      "about another image",
    ],
    [
      "another digest in the run",
      [evidence([result("http", "passed")], {}, { image: digest("b") })],
      "inconclusive",
      "about another image",
    ],
    ["an unknown key", [evidence([result("http", "passed")], { trust: "unknown-key" })], "inconclusive", "key 0123456789ab"],
    ["one byte changed", [evidence([result("http", "passed")], { trust: "bad-signature" })], "inconclusive", "changed after it was signed"],
    ["a wrong subject", [evidence([result("http", "passed")], { trust: "wrong-subject" })], "inconclusive", "another image"],
    ["no statement", [{ digest: digest("e"), trust: "signed", keyId: "k" }], "inconclusive", "cannot be read"],
    ["another predicate", [evidence([], { predicate: { results: "all passed" } })], "inconclusive", "cannot be read"],
    ["from the future", [evidence([result("http", "passed")], {}, { endedAt: ago(-HOUR) })], "inconclusive", "dated in the future"],
    [
      "passed, then failed",
      [evidence([result("http", "failed", { startedAt: ago(60_000) })]), evidence([result("http", "passed")])],
      "failed",
      "http failed",
    ],
    [
      "failed, then passed",
      [evidence([result("http", "failed")]), evidence([result("http", "passed", { startedAt: ago(60_000) })])],
      "passed",
      "http passed",
    ],
    [
      "passed in a cell and failed as a machine",
      [evidence([result("http", "passed"), result("http", "failed", { platform: "vm" })])],
      "failed",
      "failed",
    ],
  ])("%s", (_what, given, verdict, why) => {
    expect(verdicts(rules, { evidence: given })["check http"]).toBe(verdict);
    expect(reasonOf("check http", rules, { evidence: given })).toContain(why);
  });

  it("counts nothing that is too old", () => {
    const old = { ...rules, evidenceMaxAgeMs: HOUR / 2 };
    expect(verdicts(old, { evidence: [evidence([result("http", "passed")])] })["check http"]).toBe("inconclusive");
    expect(reasonOf("check http", old, { evidence: [evidence([result("http", "passed")])] })).toContain("60 min old, at most 30 min count");
  });

  it("asks for all that the image promises, and for something to be promised", () => {
    const all = { checks: [{ platform: "any", names: "all" }] } as const;
    const declared = [{ name: "http" }, { name: "vm-boot", platform: "vm" }] as const;
    expect(verdicts(all)).toMatchObject({ checks: "inconclusive" });
    expect(verdicts(all, { declared: [] })).toMatchObject({ checks: "inconclusive" });
    expect(verdicts(all, { declared, evidence: [evidence([result("http", "passed")])] })).toMatchObject({
      "check http": "passed",
      "check vm-boot": "inconclusive",
    });
  });

  it("asks per platform", () => {
    const both = {
      checks: [
        { platform: "cell", names: "all" },
        { platform: "vm", names: ["http"] },
      ],
    } as const;
    const declared = [
      { name: "http", platform: "cell" },
      { name: "users", platform: "tree" },
    ] as const;
    expect(verdicts(both, { declared, evidence: [evidence([result("http", "passed")])] })).toEqual({
      revocation: "passed",
      "check http (cell)": "passed",
      "check http (vm)": "inconclusive",
    });
  });
});

describe("order and time", () => {
  const rules = { minTimeMs: 2 * HOUR };
  const dev = (moves: readonly ChannelMove[]): Partial<PromotionFacts> => ({ before: { channel: "dev", moves } });

  it.each<readonly [string, readonly ChannelMove[], string, string]>([
    ["never there", [], "failed", "failed"],
    ["another one is", [move("promoted", digest("b"), ago(9 * HOUR))], "failed", "failed"],
    ["there for too short", [move("promoted", IMAGE, ago(HOUR))], "passed", "failed"],
    ["there for long enough", [move("promoted", IMAGE, ago(2 * HOUR))], "passed", "passed"],
    [
      "was there for long enough",
      [move("promoted", IMAGE, ago(9 * HOUR)), move("promoted", digest("b"), ago(6 * HOUR))],
      "passed",
      "passed",
    ],
    [
      "two short stays are not a long one",
      [move("promoted", IMAGE, ago(9 * HOUR)), move("promoted", digest("b"), ago(8 * HOUR)), move("promoted", IMAGE, ago(1.5 * HOUR))],
      "passed",
      "failed",
    ],
    ["taken back", [move("promoted", IMAGE, ago(9 * HOUR)), move("demoted", undefined, ago(HOUR))], "failed", "failed"],
    [
      "rolled back from it",
      [move("promoted", digest("b"), ago(9 * HOUR)), move("promoted", IMAGE, ago(8 * HOUR)), move("rolled-back", digest("b"), ago(HOUR))],
      "failed",
      "failed",
    ],
    [
      "taken back and brought again",
      [move("promoted", IMAGE, ago(9 * HOUR)), move("demoted", undefined, ago(5 * HOUR)), move("promoted", IMAGE, ago(HOUR))],
      "passed",
      "failed",
    ],
    ["promoted twice", [move("promoted", IMAGE, ago(9 * HOUR)), move("promoted", IMAGE, ago(HOUR))], "passed", "passed"],
    ["there since tomorrow", [move("promoted", IMAGE, ago(-24 * HOUR))], "passed", "inconclusive"],
  ])("%s", (_what, moves, order, time) => {
    expect(verdicts(rules, dev(moves))).toMatchObject({ order, "min-time": time });
  });

  it("believes the machine's own clock when the wall's was set forward", () => {
    const clock = (uptimeMs: number) => ({ bootId: "one", uptimeMs });
    const moves = [move("promoted", IMAGE, ago(9 * HOUR), { clock: clock(0) })];
    expect(verdicts(rules, { ...dev(moves), clock: clock(HOUR) })["min-time"]).toBe("failed");
    expect(verdicts(rules, { ...dev(moves), clock: clock(3 * HOUR) })["min-time"]).toBe("passed");
    expect(verdicts(rules, { ...dev(moves), clock: { bootId: "two", uptimeMs: 0 } })["min-time"]).toBe("passed");
  });

  it("says so when the clock was set back", () => {
    const known = { ...dev([move("promoted", IMAGE, ago(9 * HOUR))]), latestRecordAt: ago(-HOUR) };
    expect(verdicts(rules, known)).toMatchObject({ order: "passed", "min-time": "inconclusive" });
    expect(reasonOf("min-time", rules, known)).toContain("it was set back");
  });
});

describe("approvals", () => {
  const approval = (person: string, more: Partial<Approval> = {}): Approval => ({
    digest: IMAGE,
    channel: "qa",
    person,
    who: "max@desk",
    at: ago(HOUR),
    ...more,
  });
  const asked = (count: number, ...by: readonly string[]) => ({ approvals: { count, by } });

  it.each<readonly [string, ReturnType<typeof asked>, readonly Approval[], string]>([
    ["nobody", asked(1), [], "failed"],
    ["anybody", asked(1), [approval("zoe@desk")], "passed"],
    ["whoever baked it", asked(1), [approval("max@desk")], "failed"],
    ["whoever baked it, from elsewhere", asked(1), [approval("Max@laptop")], "failed"],
    ["whoever baked it, though named", asked(1, "max"), [approval("max")], "failed"],
    ["one of two", asked(2), [approval("anna")], "failed"],
    ["the same twice", asked(2), [approval("anna"), approval("anna@desk")], "failed"],
    ["two", asked(2), [approval("anna"), approval("ben")], "passed"],
    ["somebody who is not named", asked(1, "anna"), [approval("ben")], "failed"],
    ["named, on any host", asked(1, "anna"), [approval("anna@desk")], "passed"],
    ["named, on another host", asked(1, "anna@desk"), [approval("anna@laptop")], "failed"],
    ["for another image", asked(1), [approval("anna", { digest: digest("b") })], "failed"],
    ["for another channel", asked(1), [approval("anna", { channel: "prod" })], "failed"],
  ])("%s", (_what, rules, approvals, verdict) => {
    expect(verdicts(rules, { approvals })["approvals"]).toBe(verdict);
  });

  it("says who may still", () => {
    const rules = asked(2, "anna", "ben", "max");
    expect(reasonOf("approvals", rules, { approvals: [approval("anna")] })).toBe("1 of 2: approved by anna; may still: ben");
    expect(gatesFor(channel(rules), facts(), NOW).at(-1)?.command).toBe("bakehouse approve shop/release --to qa --as anna");
  });
});

describe("what is in the image", () => {
  const packages = [
    { name: "bash", version: "5.2", licence: "GPL-3.0-or-later" },
    { name: "openssl", version: "3.0.1", licence: "Apache-2.0 AND (MIT OR AGPL-3.0-only)" },
  ];
  const sbom = (rules: Partial<Channel["sbom"]>) => ({ sbom: { packages: [], licences: [], ...rules } });

  it.each<readonly [string, Partial<Channel>, Partial<PromotionFacts>, Readonly<Record<string, string>>]>([
    [
      "no SBOM",
      sbom({ packages: ["x"], licences: ["y"], securityOlderThanMs: HOUR }),
      {},
      { packages: "inconclusive", licences: "inconclusive", "security-updates": "inconclusive" },
    ],
    [
      "nothing forbidden is in it",
      sbom({ packages: ["telnetd", "open"], licences: ["BSD*"] }),
      { packages },
      { packages: "passed", licences: "passed" },
    ],
    ["a forbidden package", sbom({ packages: ["open*"] }), { packages }, { packages: "failed" }],
    ["a forbidden licence", sbom({ licences: ["AGPL-*"] }), { packages }, { licences: "failed" }],
    [
      "a licence that nobody knows",
      sbom({ licences: ["AGPL-*"] }),
      { packages: [{ name: "x", version: "1", licence: "NOASSERTION" }] },
      { licences: "inconclusive" },
    ],
    ["no list of updates", sbom({ securityOlderThanMs: HOUR }), { packages }, { "security-updates": "inconclusive" }],
    [
      "none missing",
      sbom({ securityOlderThanMs: 24 * HOUR }),
      { packages, security: { date: ago(HOUR), versions: new Map([["openssl", "3.0.1"]]) } },
      { "security-updates": "passed" },
    ],
    [
      "none missing of an old list",
      sbom({ securityOlderThanMs: 24 * HOUR }),
      { packages, security: { date: ago(48 * HOUR), versions: new Map() } },
      { "security-updates": "inconclusive" },
    ],
    [
      "one missing for long",
      sbom({ securityOlderThanMs: 24 * HOUR }),
      { packages, security: { date: ago(25 * HOUR), versions: new Map([["openssl", "3.0.2"]]) } },
      { "security-updates": "failed" },
    ],
    [
      "one missing, perhaps for long",
      sbom({ securityOlderThanMs: 24 * HOUR }),
      { packages, security: { date: ago(HOUR), versions: new Map([["openssl", "3.0.2"]]) } },
      { "security-updates": "inconclusive" },
    ],
    [
      "one missing that came after the image was locked",
      sbom({ securityOlderThanMs: 72 * HOUR }),
      { packages, security: { date: ago(HOUR), versions: new Map([["openssl", "3.0.2"]]) } },
      { "security-updates": "passed" },
    ],
    [
      "a list from the future",
      sbom({ securityOlderThanMs: 72 * HOUR }),
      { packages, security: { date: ago(-HOUR), versions: new Map() } },
      { "security-updates": "inconclusive" },
    ],
  ])("%s", (_what, rules, known, expected) => {
    expect(verdicts(rules, known)).toMatchObject(expected);
  });
});

describe("freeze windows", () => {
  const friday = { cron: "0 17 * * 5", durationMs: 63 * HOUR, zone: "Europe/Warsaw", reason: "weekend" };
  it.each([
    ["2026-11-27T15:59:59.999Z", "passed"],
    ["2026-11-27T16:00:00.000Z", "failed"],
    ["2026-11-30T06:59:59.000Z", "failed"],
    ["2026-11-30T07:00:00.000Z", "passed"],
  ])("at %s: %s", (at, verdict) => {
    expect(verdicts({ freeze: [friday] }, {}, new Date(at))["freeze"]).toBe(verdict);
  });

  it("say until when, over windows that follow on each other", () => {
    const nights = { cron: "0 20 * * *", durationMs: 24 * HOUR, zone: "UTC" };
    const once = { cron: "0 0 24 12 *", durationMs: 48 * HOUR, zone: "UTC" };
    expect(reasonOf("freeze", { freeze: [once] }, {}, new Date("2026-12-24T05:00:00Z"))).toBe("frozen until 2026-12-26 00:00 UTC");
    expect(reasonOf("freeze", { freeze: [friday] }, {}, new Date("2026-11-28T00:00:00Z"))).toBe(
      "frozen until 2026-11-30 07:00 UTC: weekend",
    );
    expect(verdicts({ freeze: [nights] }, {}, NOW)["freeze"]).toBe("failed");
  });

  it("keep their local time when the clocks change", () => {
    const night = { cron: "30 2 * * *", durationMs: HOUR, zone: "Europe/Warsaw" };
    expect(verdicts({ freeze: [night] }, {}, new Date("2026-03-29T01:15:00Z"))["freeze"]).toBe("failed"); // 02:30 does not exist: 03:00
    expect(verdicts({ freeze: [night] }, {}, new Date("2026-07-01T01:15:00Z"))["freeze"]).toBe("failed"); // 03:15
    expect(verdicts({ freeze: [night] }, {}, new Date("2026-12-01T01:15:00Z"))["freeze"]).toBe("passed"); // 02:15
  });
});

describe("revocation", () => {
  const revocation = (of: ImageDigest, more: Partial<Revocation> = {}): Revocation => ({
    sequence: 1,
    digest: of,
    name: "shop/base",
    reason: "leaks",
    from: ago(HOUR),
    who: "max@desk",
    at: ago(HOUR),
    reaches: [],
    ...more,
  });

  it.each<readonly [string, Partial<PromotionFacts>, Verdict, string]>([
    ["nothing", {}, "passed", ""],
    ["of itself", { revocations: [revocation(IMAGE)] }, "failed", "it is revoked: leaks"],
    [
      "of what it stands on",
      { revocations: [revocation(digest("f"))] },
      "failed",
      "shop/base (ffffffffffff), which it stands on, is revoked: leaks",
    ],
    [
      "of what it stood on when that was known",
      { revocations: [revocation(digest("9"), { reaches: [digest("f")] })] },
      "failed",
      "999999999999",
    ],
    ["of another", { revocations: [revocation(digest("b"))] }, "passed", ""],
    ["from tomorrow on", { revocations: [revocation(IMAGE, { from: ago(-24 * HOUR) })] }, "passed", ""],
    [
      "from an hour on, with a clock that was set back",
      { revocations: [revocation(IMAGE, { from: ago(-HOUR) })], latestRecordAt: ago(-2 * HOUR) },
      "failed",
      "leaks",
    ],
    [
      "not known, when a parent is not here",
      { lineage: [{ digest: digest("f"), name: "", here: false }] },
      "inconclusive",
      "nobody can say",
    ],
  ])("%s", (_what, known, verdict, why) => {
    expect(verdicts({}, known)).toEqual({ revocation: verdict });
    expect(reasonOf("revocation", {}, known)).toContain(why);
  });
});

// ---- whatever the facts are ----

const digits = fc.constantFrom("a", "b");
const people = fc.constantFrom("anna", "ben@desk", "max@desk", "carl");
const times = fc.integer({ min: -3 * HOUR, max: 100 * HOUR }).map(ago);
const anyVerdict = fc.constantFrom<Verdict>("passed", "failed", "error", "inconclusive");
const anyEvidence: fc.Arbitrary<Evidence> = fc
  .record({
    trust: fc.constantFrom<Evidence["trust"]>("signed", "unknown-key", "bad-signature", "wrong-subject"),
    subject: digits,
    image: digits,
    endedAt: times,
    results: fc.array(
      fc.record({ name: fc.constantFrom("http", "tcp"), verdict: anyVerdict, platform: fc.constantFrom("cell", "vm"), startedAt: times }),
      { maxLength: 3 },
    ),
  })
  .map(({ trust, subject, image, endedAt, results }) =>
    evidence(
      results.map(({ name, verdict, ...more }) => result(name, verdict, more as Partial<CheckResult>)),
      { trust, subjects: [subject.repeat(64)] },
      { image: digest(image), endedAt },
    ),
  );
const anyMove = fc
  .record({ kind: fc.constantFrom<ChannelMove["kind"]>("promoted", "rolled-back", "demoted"), to: digits, at: times })
  .map(({ kind, to, at }) => move(kind, kind === "demoted" ? undefined : digest(to), at));
const anyFacts: fc.Arbitrary<PromotionFacts> = fc
  .record({
    evidence: fc.array(anyEvidence, { maxLength: 4 }),
    moves: fc.array(anyMove, { maxLength: 6 }),
    approvals: fc.array(fc.record({ person: people, image: digits }), { maxLength: 4 }),
    latest: fc.option(times, { nil: undefined }),
    declared: fc.option(fc.subarray(["http", "tcp"]), { nil: undefined }),
  })
  .map(({ evidence: pieces, moves, approvals, latest, declared }) =>
    facts({
      evidence: pieces,
      before: { channel: "dev", moves },
      approvals: approvals.map(({ person, image }) => ({ digest: digest(image), channel: "qa", person, who: "max@desk", at: ago(HOUR) })),
      ...(latest === undefined ? {} : { latestRecordAt: latest }),
      ...(declared === undefined ? {} : { declared: declared.map((name) => ({ name })) }),
    }),
  );
const STRICT = channel({
  checks: [{ platform: "any", names: "all" }],
  minTimeMs: HOUR,
  approvals: { count: 2, by: ["anna", "ben", "carl"] },
  evidenceMaxAgeMs: 50 * HOUR,
  sbom: { packages: ["x"], licences: ["y"], securityOlderThanMs: HOUR },
  freeze: [{ cron: "0 0 * * 6", durationMs: 24 * HOUR, zone: "UTC" }],
});
const runs = { numRuns: 400 };

describe("whatever is known", () => {
  it("a check is met only when signed evidence of exactly this image says passed", () => {
    fc.assert(
      fc.property(anyFacts, (known) => {
        for (const { gate, verdict } of gatesFor(STRICT, known, NOW)) {
          if (!gate.startsWith("check ") || verdict !== "passed") continue;
          const good = known.evidence.some(
            ({ trust, subjects, predicate }) =>
              trust === "signed" &&
              subjects?.[0] === "a".repeat(64) &&
              (predicate as CheckRun).image === IMAGE &&
              (predicate as CheckRun).results.some((each) => `check ${each.name}` === gate && each.verdict === "passed"),
          );
          expect(good).toBe(true);
        }
      }),
      runs,
    );
  });

  it("approvals are met only by enough different people who did not bake it", () => {
    fc.assert(
      fc.property(anyFacts, (known) => {
        if (gatesFor(STRICT, known, NOW).find(({ gate }) => gate === "approvals")?.verdict !== "passed") return;
        const counted = known.approvals.filter((each) => each.digest === IMAGE && !isSamePerson(each.person, "max"));
        expect(new Set(counted.map(({ person }) => person.split("@")[0])).size).toBeGreaterThanOrEqual(2);
      }),
      runs,
    );
  });

  it("a clock that was set back opens no gate about time", () => {
    fc.assert(
      fc.property(anyFacts, fc.integer({ min: 1, max: 200 * HOUR }), (known, back) => {
        const latestRecordAt = NOW.toISOString();
        const before = new Date(NOW.getTime() - back);
        for (const { gate, verdict } of gatesFor(STRICT, { ...known, latestRecordAt }, before))
          if (gate === "min-time" || gate === "freeze" || gate === "security-updates" || gate.startsWith("check"))
            expect(verdict).not.toBe("passed");
      }),
      runs,
    );
  });

  it("what is no longer known opens no gate", () => {
    fc.assert(
      fc.property(anyFacts, fc.constantFrom("evidence", "moves", "approvals", "declared"), (known, gone) => {
        const less: PromotionFacts =
          gone === "evidence"
            ? { ...known, evidence: [] }
            : gone === "approvals"
              ? { ...known, approvals: [] }
              : gone === "moves"
                ? { ...known, before: { channel: "dev", moves: [] } }
                : (({ declared: _, ...rest }) => rest)(known);
        const before = unmetGates(gatesFor(STRICT, known, NOW)).length;
        expect(before === 0 || unmetGates(gatesFor(STRICT, less, NOW)).length > 0).toBe(true);
      }),
      runs,
    );
  });

  it("what a channel was taken back from has no stay that counts", () => {
    fc.assert(
      fc.property(fc.array(anyMove, { maxLength: 8 }), (moves) => {
        const { stays, takenBack } = staysOf(moves, IMAGE);
        expect(takenBack === undefined || stays.length === 0).toBe(true);
        const last = moves.at(-1);
        if (last?.digest === IMAGE) expect(stays.at(-1)?.to).toBeUndefined();
      }),
      runs,
    );
  });

  it("a rollback goes to an image that the channel had, never to the one that it has", () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom("1", "2", "3", "4"), { minLength: 1, maxLength: 10 }), (path) => {
        let moves = path.map((digit) => move("promoted", digest(digit), NOW.toISOString()));
        const seen = new Set<string>();
        for (;;) {
          const [earlier] = earlierImages(moves);
          if (earlier === undefined) break;
          expect(earlier).not.toBe(moves.at(-1)?.digest);
          expect(path.map(digest)).toContain(earlier);
          expect(seen.has(earlier)).toBe(false); // going back again and again never turns in a circle
          seen.add(earlier);
          moves = [...moves, move("rolled-back", earlier, NOW.toISOString())];
        }
      }),
      runs,
    );
  });
});
