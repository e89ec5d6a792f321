import { appendFileSync, existsSync, readFileSync, truncateSync, unlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { CheckRun, Verdict } from "../../src/core/checks/verdict.ts";
import type { ImageDigest } from "../../src/core/digest.ts";
import { PREDICATES } from "../../src/core/papers/statement.ts";
import { CRASH_POINTS } from "../../src/ports/crash-points.ts";
import type { Paper } from "../../src/ports/papers.ts";
import { openImages } from "../../src/presets/images.ts";
import { type CliRun, errorOf, Kitchen } from "./kitchen.ts";

let kitchen: Kitchen;
beforeEach(async () => {
  kitchen = await Kitchen.open();
});
afterEach(() => kitchen.close());

const CHANNELS = `channels:
  dev:
  qa: { approvals: { by: [anna, ben] } }
  prod: { checks: [http] }
`;

/** Bakes another release and gives its digest. */
async function bakeRelease(version: string, channels = CHANNELS): Promise<ImageDigest> {
  kitchen.steps(`- file: { path: /srv/version, content: "${version}" }`, channels);
  return (await kitchen.bake()).digests["app"] as ImageDigest;
}

const json = async <T>(...words: readonly string[]): Promise<T> => {
  const run = await kitchen.cli([...words, "--json"]);
  if (run.code !== 0) throw new Error(`${words.join(" ")} ended with ${run.code}: ${run.stderr}`);
  return JSON.parse(run.stdout) as T;
};

const refusal = async (...words: readonly string[]): Promise<ReturnType<typeof errorOf> & { readonly exit: number | string }> => {
  const run: CliRun = await kitchen.cli([...words, "--json"]);
  return { ...errorOf(run), exit: run.code };
};

interface Listed {
  readonly channels: readonly {
    readonly channel: string;
    readonly image?: string;
    readonly who?: string;
    readonly emergency?: boolean;
    readonly revoked?: string;
    readonly next?: { readonly image: string; readonly unmet: readonly { readonly gate: string }[] };
  }[];
}

const pointers = async (): Promise<Readonly<Record<string, string | undefined>>> =>
  Object.fromEntries((await json<Listed>("channels", "tiny")).channels.map(({ channel, image }) => [channel, image]));

const unmetOf = ({
  details,
}: ReturnType<typeof errorOf>): readonly { readonly gate: string; readonly verdict: string; readonly why: string }[] =>
  (details as { readonly gates: readonly { readonly gate: string; readonly verdict: string; readonly why: string }[] }).gates;

/** Evidence as `check` leaves it. */
async function attach(
  image: ImageDigest,
  verdict: Verdict,
  about: ImageDigest = image,
  endedAt = new Date().toISOString(),
): Promise<Paper> {
  const run: CheckRun = {
    image: about,
    platform: "cell",
    verdict,
    results: [
      {
        ...{ check: "http", name: "http", layer: "app", platform: "cell", verdict, summary: `http ${verdict}` },
        ...{ asked: null, answered: null, excerpt: [], attempts: 1, startedAt: endedAt, durationMs: 1 },
      },
    ],
    startedAt: endedAt,
    endedAt,
    by: "x@y",
    tool: "bakehouse test",
  };
  const parts = openImages({ store: kitchen.store });
  try {
    return await (await parts.papers()).attach({ name: "tiny/app", digest: image }, PREDICATES.checks, run);
  } finally {
    await parts.close();
  }
}

async function throughQa(image: ImageDigest): Promise<void> {
  await json("promote", image, "--to", "dev");
  await json("approve", image, "--to", "qa", "--as", "anna");
  await json("promote", image, "--to", "qa");
}

describe("the way of an image through the channels", () => {
  it("needs each channel, its gates, and evidence of exactly this digest", async () => {
    const first = await bakeRelease("1");
    // nothing yet; the first candidate may go to dev
    expect((await json<Listed>("channels")).channels).toMatchObject([
      { channel: "dev", next: { image: first, unmet: [] } },
      { channel: "qa" },
      { channel: "prod" },
    ]);
    const early = await refusal("promote", "tiny/app", "--to", "prod");
    expect(early).toMatchObject({ code: "PROMOTION_BLOCKED", exit: 4, message: expect.stringContaining("it has not been in qa") });
    expect(unmetOf(early).map(({ gate }) => gate)).toEqual(["order", "check http"]);
    expect(early.message).toContain("bakehouse check tiny/app");

    await json("promote", "tiny/app", "--to", "dev");
    const unapproved = await refusal("promote", "tiny@dev", "--to", "qa");
    expect(unapproved.message).toContain("bakehouse approve tiny/app --to qa --as anna");
    expect((await refusal("approve", "tiny@dev", "--to", "qa", "--as", "carl")).message).toContain("the recipe does not name them");
    expect((await refusal("approve", "tiny@dev", "--to", "qa")).code).toBe("PROMOTION_BLOCKED"); // who baked it
    await json("approve", "tiny@dev", "--to", "qa", "--as", "anna");
    await json("promote", "tiny@dev", "--to", "qa");

    // another image, from the same recipe, does not take over what this one has
    const second = await bakeRelease("2");
    await attach(second, "passed");
    await attach(first, "passed", second);
    const untested = await refusal("promote", "tiny@qa", "--to", "prod");
    expect(unmetOf(untested)).toMatchObject([
      { gate: "check http", verdict: "inconclusive", why: expect.stringContaining("another image") },
    ]);
    await attach(first, "failed");
    expect(unmetOf(await refusal("promote", "tiny@qa", "--to", "prod"))).toMatchObject([{ verdict: "failed", why: "http failed" }]);
    await attach(first, "passed");
    const done = await json<{ readonly image: string; readonly record: { readonly details: { readonly evidence: readonly string[] } } }>(
      "promote",
      "tiny@qa",
      "--to",
      "prod",
    );
    expect(done.image).toBe(first);
    expect(done.record.details.evidence).toHaveLength(2);
    expect(await pointers()).toEqual({ dev: first, qa: first, prod: first });
    expect((await json<{ readonly already?: unknown }>("promote", first, "--to", "prod")).already).toBeDefined();
    expect((await json<{ readonly digest: string }>("image", "show", "tiny/app@prod")).digest).toBe(first);
    expect((await refusal("image", "show", "tiny@pord")).hint).toContain("did you mean tiny@prod?");
    expect(await json("audit", "verify")).toMatchObject({ records: 5 });
  });

  it("counts no evidence that was changed, or is signed by a key that is trusted no longer", async () => {
    const image = await bakeRelease("1");
    await throughQa(image);
    const paper = await attach(image, "passed");
    const blob = join(kitchen.store, "oci/blobs/sha256", paper.blob.slice(7));
    const good = readFileSync(blob);
    const bad = Buffer.from(good);
    bad[Math.floor(bad.length / 2)] = bad[Math.floor(bad.length / 2)] === 65 ? 66 : 65;
    writeFileSync(blob, bad);
    expect(unmetOf(await refusal("promote", image, "--to", "prod"))).toMatchObject([{ verdict: "inconclusive" }]);
    writeFileSync(blob, good);
    const { keys } = await json<{ readonly keys: readonly { readonly id: string }[] }>("key", "list");
    await json("key", "retire", keys[0]!.id.slice(0, 12));
    expect(unmetOf(await refusal("promote", image, "--to", "prod"))).toMatchObject([
      { verdict: "inconclusive", why: expect.stringContaining("not trusted here") },
    ]);
  });

  it("takes gates from the recipe at hand, and tells in the audit log that they changed", async () => {
    const image = await bakeRelease("1");
    await json("promote", image, "--to", "dev");
    kitchen.steps(`- file: { path: /srv/version, content: "1" }`, "channels:\n  dev:\n  qa: { approvals: { by: [carl] } }\n");
    await refusal("promote", image, "--to", "qa");
    await json("approve", image, "--to", "qa", "--as", "carl");
    await json("promote", image, "--to", "qa");
    const { records } = await json<{ readonly records: readonly { readonly action: string }[] }>("audit", "list", "tiny");
    expect(records.map(({ action }) => action)).toEqual(["channels-declared", "promoted", "channels-declared", "approved", "promoted"]);
    // from elsewhere: as they were declared last
    expect(
      unmetOf(errorOf(await kitchen.cli(["promote", image, "--to", "qa", "--expect", "none", "--json"], { cwd: kitchen.folder })) as never),
    ).toBeUndefined();
  });

  it("lets an emergency pass, with a reason and two others, and remembers it", async () => {
    const image = await bakeRelease("1");
    expect((await kitchen.cli(["promote", image, "--to", "prod", "--emergency"])).code).toBe(2);
    const emergency = ["--emergency", "--reason", "login is down", "--approver"];
    expect((await refusal("promote", image, "--to", "prod", ...emergency, "anna", "--approver", "anna@desk")).message).toContain(
      "different people",
    );
    await json("promote", image, "--to", "prod", ...emergency, "anna", "--approver", "ben");
    expect((await json<Listed>("channels")).channels).toMatchObject([{}, {}, { channel: "prod", emergency: true }]);
    expect((await kitchen.cli(["audit", "list"])).stdout).toContain("EMERGENCY (login is down; anna, ben) over order, check http");
    await json("revoke", image, "--reason", "leaks");
    await json("demote", "tiny@prod");
    expect(unmetOf(await refusal("promote", image, "--to", "prod", ...emergency, "anna", "--approver", "ben"))[0]).toMatchObject({
      gate: "revocation",
    });
  });
});

describe("going back", () => {
  it("goes to the image before, again and again, or to a given one, and never to one that was not there", async () => {
    const images: ImageDigest[] = [];
    for (const version of ["1", "2", "3"]) {
      images.push(await bakeRelease(version));
      await json("promote", "tiny/app", "--to", "dev");
    }
    const [one, two, three] = images as [ImageDigest, ImageDigest, ImageDigest];
    await json("rollback", "dev", "--reason", "slow");
    expect((await pointers())["dev"]).toBe(two);
    await json("rollback", "tiny@dev");
    expect((await pointers())["dev"]).toBe(one);
    expect((await refusal("rollback", "tiny@dev")).message).toContain("no earlier image");
    await json("promote", three, "--to", "dev");
    await json("rollback", "tiny@dev", "--to", one);
    expect((await pointers())["dev"]).toBe(one);
    const fourth = await bakeRelease("4");
    expect((await refusal("rollback", "tiny@dev", "--to", fourth)).message).toContain("did not point to");
    // what was taken back has no time that counts for the next channel
    await json("approve", three, "--to", "qa", "--as", "anna");
    expect((await refusal("promote", three, "--to", "qa")).message).toContain("dev was taken back from it");
    await json("demote", "tiny@dev");
    expect((await pointers())["dev"]).toBeUndefined();
    expect(await refusal("rollback", "tiny@dev")).toMatchObject({ code: "CHANNEL_NOT_FOUND", exit: 2 });
  });

  it("passes over what was revoked meanwhile", async () => {
    const images: ImageDigest[] = [];
    for (const version of ["1", "2", "3"]) {
      images.push(await bakeRelease(version));
      await json("promote", "tiny/app", "--to", "dev");
    }
    await json("revoke", images[1]!, "--reason", "leaks");
    expect(await refusal("rollback", "tiny@dev", "--to", images[1]!)).toMatchObject({ code: "IMAGE_REVOKED", exit: 4 });
    await json("rollback", "tiny@dev");
    expect((await pointers())["dev"]).toBe(images[0]);
  });
});

describe("revoking", () => {
  it("a foundation reaches all that stands on it, also what is baked later, and can be taken back", async () => {
    const first = await bakeRelease("1");
    const foundation = (await json<{ readonly digest: ImageDigest }>("image", "show", "tiny/os")).digest;
    await json("promote", first, "--to", "dev");
    const revoked = await json<{
      readonly reaches: readonly { readonly digest: string }[];
      readonly uses: readonly { readonly where: string; readonly command: string }[];
    }>("revoke", "tiny/os", "--reason", "CVE-2026-1 in libc");
    expect(revoked).toMatchObject({
      reaches: [{ digest: first }],
      uses: [{ kind: "channel", where: "tiny/app@dev", command: "bakehouse demote tiny/app@dev" }],
    });
    const later = await bakeRelease("2");
    // also when nothing changed
    expect((await kitchen.cli(["bake"])).stderr).toMatch(
      /warning tiny\/app \([0-9a-f]{12}\) is revoked with tiny\/os, which it stands on: CVE-2026-1 in libc/,
    );
    for (const image of [first, later])
      expect((await refusal("promote", image, "--to", "qa")).message).toContain(
        `${foundation.slice(7, 19)}), which it stands on, is revoked: CVE-2026-1`,
      );
    expect((await json<Listed>("channels")).channels[0]).toMatchObject({ channel: "dev", revoked: "CVE-2026-1 in libc" });
    expect((await kitchen.cli(["images"])).stdout).toContain("REVOKED");
    await json("restore", "tiny/os", "--reason", "another libc");
    await json("promote", later, "--to", "dev");
    expect((await json<{ readonly record?: unknown }>("restore", "tiny/os")).record).toBeUndefined();
  });

  it("holds from the time that was given on, and for digests that are elsewhere", async () => {
    const image = await bakeRelease("1");
    expect((await kitchen.cli(["revoke", image, "--reason", "x", "--at", "2030-01-01"])).code).toBe(2); // of which zone?
    await json("revoke", image, "--reason", "end of support", "--at", "2999-01-01T00:00:00Z");
    await json("promote", image, "--to", "dev");
    await json("revoke", `sha256:${"d".repeat(64)}`, "--reason", "leaks");
    await json("restore", "dddd");
    await json("revoke", image, "--reason", "now", "--at", "2020-01-01T00:00:00Z");
    expect((await refusal("promote", image, "--to", "qa")).message).toContain("it is revoked: now");
  });

  it("an image says which one is to be used instead", async () => {
    const first = await bakeRelease("1");
    const second = await bakeRelease("2");
    expect(await json("revoke", first, "--reason", "leaks")).toMatchObject({ image: { replacement: second } });
    expect((await kitchen.cli(["image", "show", first])).stdout).toMatch(/revoked +leaks/);
  });
});

describe("a recipe that stands on a channel", () => {
  it("is baked onto what the channel pointed to when it was locked, and never onto a revoked image", async () => {
    const first = await bakeRelease("1");
    await json("promote", first, "--to", "dev");
    kitchen.write(
      "web.yaml",
      'name: web\nlayers:\n  site:\n    from: tiny/app@dev\n    steps:\n      - file: { path: /srv/site, content: "1" }\n',
    );
    await json("lock", "web.yaml");
    await json("bake", "web.yaml");
    const parentOf = async (): Promise<unknown> => (await json<{ readonly parent: string }>("image", "show", "web/site")).parent;
    expect(await parentOf()).toBe(first);
    const second = await bakeRelease("2");
    await json("promote", second, "--to", "dev");
    const { images } = await json<{ readonly images: readonly { readonly name: string; readonly lines: readonly string[] }[] }>(
      "image",
      "stale",
    );
    expect(images).toMatchObject([
      { name: "web/site", lines: [`tiny/app@dev has moved from ${first.slice(7, 19)} to ${second.slice(7, 19)}`] },
    ]);
    await json("bake", "web.yaml", "--no-cache");
    expect(await parentOf()).toBe(first);
    await json("lock", "web.yaml", "--update");
    await json("bake", "web.yaml");
    expect(await parentOf()).toBe(second);
    await json("revoke", second, "--reason", "leaks");
    expect(await refusal("bake", "web.yaml", "--no-cache")).toMatchObject({
      code: "IMAGE_REVOKED",
      exit: 4,
      hint: `use the one before it, tiny/app (${first.slice(7, 19)})`,
    });
    expect(await refusal("lock", "web.yaml", "--update")).toMatchObject({ code: "IMAGE_REVOKED" });
  });
});

describe("those whom the recipe names", () => {
  it("are told of moved channels and revoked images", async () => {
    await bakeRelease("1", `${CHANNELS}notify:\n  log: { file: told.jsonl }\n`);
    const image = (await json<{ readonly image: string }>("promote", "tiny/app", "--to", "dev")).image;
    await json("demote", "tiny@dev", "--reason", "slow");
    await json("revoke", image, "--reason", "leaks");
    await json("restore", image);
    const notices = readFileSync(join(kitchen.recipe, "told.jsonl"), "utf8")
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as { readonly type: string; readonly data: unknown });
    expect(notices.filter(({ type }) => !type.startsWith("bake."))).toMatchObject([
      { type: "channel.moved", data: { channel: "dev", how: "promoted", image, before: null } },
      { type: "channel.moved", data: { channel: "dev", how: "demoted", image: null, before: image, reason: "slow" } },
      { type: "image.revoked", data: { image, reason: "leaks" } },
      { type: "image.restored", data: { image } },
    ]);
  });
});

describe("two who promote at the same time", () => {
  it("one wins, and the others are told", async () => {
    const images: ImageDigest[] = [];
    for (const version of ["1", "2", "3", "4"]) images.push(await bakeRelease(version));
    await json("promote", images[0]!, "--to", "dev");
    const runs = await Promise.all(
      images.slice(1).map((image) => kitchen.cli(["promote", image, "--to", "dev", "--expect", images[0]!, "--json"])),
    );
    const winners = runs.filter(({ code }) => code === 0);
    expect(winners).toHaveLength(1);
    for (const run of runs.filter(({ code }) => code !== 0)) {
      expect(run.code).toBe(5);
      expect(errorOf(run)).toMatchObject({ code: "CHANNEL_MOVED", message: expect.stringMatching(/points to .* moved by \S+@/) });
    }
    const winner = (JSON.parse(winners[0]!.stdout) as { readonly image: string }).image;
    expect((await pointers())["dev"]).toBe(winner);
    expect(await json("audit", "verify")).toMatchObject({ records: 3 });
  });

  it("of different channels both win, and the log is whole", async () => {
    const image = await bakeRelease("1", "channels:\n  dev:\n  qa:\n");
    await json("promote", image, "--to", "dev");
    const persons = ["a", "b", "c", "d", "e"];
    const runs = await Promise.all([
      kitchen.cli(["promote", image, "--to", "qa"]),
      ...persons.map((person) => kitchen.cli(["approve", image, "--to", "qa", "--as", person])),
    ]);
    expect(runs.map(({ code }) => code)).toEqual(Array(6).fill(0));
    expect(await json("audit", "verify")).toMatchObject({ records: 8 });
  });
});

describe("kill -9 in a promotion", () => {
  it.each(CRASH_POINTS.filter((point) => point.startsWith("ledger-")))(
    "at %s: it happened or it did not, and the next one works",
    async (point) => {
      const first = await bakeRelease("1");
      await json("promote", first, "--to", "dev");
      const second = await bakeRelease("2");
      const killed = await kitchen.cli(["promote", second, "--to", "dev"], { env: { BAKEHOUSE_CRASH_AT: point } });
      expect(killed.code).toBe("SIGKILL");
      const happened = point === "ledger-committed" || point === "ledger-mirrored";
      expect((await pointers())["dev"]).toBe(happened ? second : first);
      expect(await json("audit", "verify")).toMatchObject({ records: happened ? 3 : 2 });
      // the copy is brought up by the next who writes, and gives the same channels
      const third = await bakeRelease("3");
      await json("promote", third, "--to", "dev");
      expect(await json("audit", "verify")).toMatchObject({ records: happened ? 4 : 3 });
      for (const file of ["catalog.db", "catalog.db-wal", "catalog.db-shm"])
        if (existsSync(join(kitchen.store, file))) unlinkSync(join(kitchen.store, file));
      expect((await json<{ readonly digest: string }>("image", "show", "tiny@dev")).digest).toBe(third);
      expect((await pointers())["dev"]).toBe(third);
      await json("rollback", "tiny@dev");
      expect((await pointers())["dev"]).toBe(happened ? second : first);
      expect(await json("audit", "verify")).toMatchObject({ records: happened ? 5 : 4 });
      expect(await kitchen.leftovers()).toEqual([]);
    },
  );
});

describe("an audit log that was tampered with", () => {
  it("is told with the first record that is not the one that was written", async () => {
    for (const version of ["1", "2", "3"]) {
      await bakeRelease(version);
      await json("promote", "tiny/app", "--to", "dev");
    }
    const sound = await json<{ readonly head: { readonly sequence: number; readonly hash: string } }>("audit", "verify");
    const head = `${sound.head.sequence}:${sound.head.hash}`;
    await json("audit", "verify", "--head", head);
    const mirror = join(kitchen.store, "audit.jsonl");
    const text = readFileSync(mirror, "utf8");
    truncateSync(mirror, text.lastIndexOf('{"action"'));
    expect(await refusal("audit", "verify")).toMatchObject({
      code: "AUDIT_BROKEN",
      exit: 4,
      message: expect.stringContaining("audit.jsonl: record 4 is missing"),
    });
    appendFileSync(mirror, text.slice(text.lastIndexOf('{"action"')));
    await json("audit", "verify");
    const database = new DatabaseSync(join(kitchen.store, "catalog.db"));
    database.exec("UPDATE audit SET who = 'eve@lair' WHERE sequence = 3");
    database.close();
    expect((await refusal("audit", "verify")).message).toContain("the log in the catalog: record 3 was changed");
    expect((await refusal("audit", "verify", "--head", "abc")).code).toBe("USAGE");
    expect((await refusal("audit", "verify", "--head", `4:sha256:${"0".repeat(64)}`)).message).toContain("that was noted");
  });
});
