import { DatabaseSync } from "node:sqlite";
import { appendFileSync, mkdtempSync, readFileSync, rmSync, statSync, truncateSync, unlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { AuditBody, AuditRecord } from "../../core/audit/record.ts";
import type { ImageDigest } from "../../core/digest.ts";
import type { Catalog } from "../../ports/catalog.ts";
import { thisProcess } from "../local-store/owners.ts";
import { auditMirror } from "./audit-mirror.ts";
import { openSqliteCatalog } from "./sqlite-catalog.ts";

let folder: string;
let warnings: string[];
const open: Catalog[] = [];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "bakehouse-ledger-"));
  warnings = [];
});
afterEach(async () => {
  for (const catalog of open.splice(0)) await catalog.close();
  rmSync(folder, { recursive: true, force: true });
});

const file = (): string => join(folder, "catalog.db");
const mirror = (): string => join(folder, "audit.jsonl");

function catalog(): Catalog {
  const made = openSqliteCatalog(file(), {
    rebuildFrom: () => [],
    owner: thisProcess("test"),
    isAlive: () => true,
    warn: (message) => void warnings.push(message),
    mirror: auditMirror(mirror()),
    reach: () => undefined,
  });
  open.push(made);
  return made;
}

const image = (digit: string): ImageDigest => `sha256:${digit.repeat(64)}`;

const promoted = (digit: string, channel = "dev", before: ImageDigest | null = null): AuditBody => ({
  action: "promoted",
  subject: image(digit),
  details: { name: "shop/release", channel, digest: image(digit), before, gates: [], evidence: [], policy: 1 },
});

const approved = (digit: string, person: string): AuditBody => ({
  action: "approved",
  subject: image(digit),
  details: { name: "shop/release", channel: "qa", person },
});

const revoked = (digit: string): AuditBody => ({
  action: "revoked",
  subject: image(digit),
  details: { name: "shop/base", reason: "leaks", from: "2026-01-01T00:00:00.000Z", reaches: [image("9")] },
});

async function write({ ledger }: Catalog, ...bodies: readonly AuditBody[]): Promise<readonly AuditRecord[]> {
  const records: AuditRecord[] = [];
  for (const body of bodies) {
    const record = await ledger.append(body, {
      at: new Date(1_800_000_000_000 + 1000 * records.length),
      who: "anna@desk",
      after: await ledger.head(),
    });
    if ("moved" in record) throw new Error("somebody else wrote");
    records.push(record);
  }
  return records;
}

const everything = async ({ ledger }: Catalog): Promise<unknown> => ({
  channels: await ledger.channels(),
  moves: await ledger.moves("shop/release", "dev"),
  approvals: await ledger.approvals(image("2")),
  revocations: await ledger.revocations(),
  policy: await ledger.policy("shop"),
  records: await ledger.records(),
});

const STORY: readonly AuditBody[] = [
  { action: "channels-declared", subject: "shop", details: { recipe: "shop", channels: [] } },
  promoted("1"),
  promoted("2", "dev", image("1")),
  approved("2", "ben"),
  approved("2", "carl"),
  { action: "approval-withdrawn", subject: image("2"), details: { name: "shop/release", channel: "qa", person: "ben" } },
  revoked("8"),
  revoked("7"),
  { action: "restored", subject: image("7"), details: { name: "shop/base" } },
  { action: "rolled-back", subject: image("1"), details: { name: "shop/release", channel: "dev", digest: image("1"), before: image("2") } },
];

describe("the ledger", () => {
  it("writes what follows from a record together with it", async () => {
    const one = catalog();
    await write(one, ...STORY);
    expect(await one.ledger.channels()).toMatchObject([
      { name: "shop/release", channel: "dev", digest: image("1"), who: "anna@desk", sequence: 10 },
    ]);
    expect(await one.ledger.moves("shop/release", "dev")).toMatchObject([
      { kind: "promoted" },
      { kind: "promoted" },
      { kind: "rolled-back" },
    ]);
    expect(await one.ledger.approvals(image("2"))).toMatchObject([{ person: "carl" }]);
    expect(await one.ledger.revocations()).toMatchObject([{ digest: image("8"), reaches: [image("9")] }]);
    expect(await one.ledger.verify()).toMatchObject({ records: 10, problems: [] });
  });

  it("refuses whoever decided on what is no longer so", async () => {
    const [one, two] = [catalog(), catalog()];
    const before = await one.ledger.head();
    await write(two, promoted("1"));
    const made = { at: new Date(), who: "x@y", after: before };
    expect(await one.ledger.append(promoted("2"), made)).toEqual({ moved: true });
    expect(await one.ledger.records()).toHaveLength(1);
  });

  it("knows the latest time, not the last: clocks are set back", async () => {
    const { ledger } = catalog();
    for (const day of ["2026-05-02", "2026-05-01"])
      await ledger.append(promoted("1"), { at: new Date(day), who: "x@y", after: await ledger.head() });
    expect((await ledger.head()).latestAt).toBe("2026-05-02T00:00:00.000Z");
  });

  it.each(["removed", "damaged"])("is made again from its copy when the catalog is %s", async (how) => {
    const one = catalog();
    await write(one, ...STORY);
    const before = await everything(one);
    await open.splice(0)[0]!.close();
    if (how === "removed") unlinkSync(file());
    else writeFileSync(file(), "this is not a database, but it is long enough to look like one");
    const two = catalog();
    expect(await everything(two)).toEqual(before);
    expect(await two.ledger.verify()).toMatchObject({ records: STORY.length, problems: [] });
    await write(two, promoted("3", "dev", image("1")));
    expect(await two.ledger.verify()).toMatchObject({ records: STORY.length + 1, problems: [] });
  });

  it("brings a copy up that lags behind after a crash, also one with half a line", async () => {
    const one = catalog();
    await write(one, promoted("1"));
    const { size } = statSync(mirror());
    await write(one, promoted("2", "dev", image("1")));
    // as after a kill between commit and copy, with a line that was not finished
    truncateSync(mirror(), size + 10);
    const database = new DatabaseSync(file());
    database.exec(`UPDATE audit_mirror SET sequence = 1, bytes = ${size}`);
    database.close();
    expect(await one.ledger.verify()).toMatchObject({ problems: [] });
    await write(one, promoted("3", "dev", image("2")));
    expect(readFileSync(mirror(), "utf8").trimEnd().split("\n")).toHaveLength(3);
    expect(await one.ledger.verify()).toMatchObject({ records: 3, problems: [] });
  });

  it("does not write twice what a process wrote and could not note", async () => {
    const one = catalog();
    await write(one, promoted("1"), promoted("2"));
    const database = new DatabaseSync(file());
    database.exec("UPDATE audit_mirror SET sequence = 0, bytes = 0");
    database.close();
    await write(one, promoted("3"));
    expect(await one.ledger.verify()).toMatchObject({ records: 3, problems: [] });
  });
});

describe("a ledger that is not the one that was written", () => {
  const edit = (sql: string): void => {
    const database = new DatabaseSync(file());
    database.exec(sql);
    database.close();
  };
  const lines = (): string[] => readFileSync(mirror(), "utf8").trimEnd().split("\n");

  it.each<readonly [string, () => void, readonly unknown[]]>([
    [
      "a changed record",
      () => edit("UPDATE audit SET who = 'eve@lair' WHERE sequence = 3"),
      [
        { where: "log", sequence: 3 },
        { where: "mirror", sequence: 3 },
      ],
    ],
    [
      "details that are no JSON",
      () => edit("UPDATE audit SET details = '{' WHERE sequence = 4"),
      [{ where: "log", sequence: 4 }, { where: "mirror" }],
    ],
    [
      "a missing record",
      () => edit("DELETE FROM audit WHERE sequence = 5"),
      [{ where: "log", sequence: 5, problem: "is missing" }, { where: "mirror" }],
    ],
    ["a missing end", () => edit("DELETE FROM audit WHERE sequence > 8"), [{ where: "log", sequence: 9 }, { where: "tables" }]],
    ["everything gone", () => edit("DELETE FROM audit"), [{ where: "log", sequence: 1 }, { where: "tables" }]],
    ["a moved channel", () => edit(`UPDATE channels SET digest = '${image("6")}'`), [{ where: "tables", sequence: 10 }]],
    ["a forgotten revocation", () => edit("DELETE FROM revocations"), [{ where: "tables", sequence: 7 }]],
    ["an approval that nobody gave", () => edit(`UPDATE approvals SET person = 'dora'`), [{ where: "tables", sequence: 5 }]],
    ["a copy that was cut off", () => writeFileSync(mirror(), `${lines().slice(0, 7).join("\n")}\n`), [{ where: "mirror", sequence: 8 }]],
    ["a copy cut off within a line", () => truncateSync(mirror(), statSync(mirror()).size - 20), [{ where: "mirror", sequence: 10 }]],
    ["a copy that is gone", () => unlinkSync(mirror()), [{ where: "mirror", sequence: 1 }]],
    [
      "a changed line",
      () => writeFileSync(mirror(), readFileSync(mirror(), "utf8").replace("leaks", "works")),
      [{ where: "mirror", sequence: 7 }],
    ],
    ["a line too many", () => appendFileSync(mirror(), "{}\n"), [{ where: "mirror", sequence: 11 }]],
    ["a missing line", () => writeFileSync(mirror(), `${lines().toSpliced(4, 1).join("\n")}\n`), [{ where: "mirror", sequence: 5 }]],
  ])("is told: %s", async (_what, spoil, problems) => {
    const one = catalog();
    await write(one, ...STORY);
    spoil();
    const verdict = await one.ledger.verify();
    expect(verdict.problems).toMatchObject(problems);
  });

  it("stays told after more is written", async () => {
    const one = catalog();
    await write(one, ...STORY);
    writeFileSync(mirror(), `${lines().slice(0, 7).join("\n")}\n{"half`);
    await write(one, promoted("4", "dev", image("1")));
    expect(warnings.join()).toContain("shorter than it was");
    expect((await one.ledger.verify()).problems).toMatchObject([{ where: "mirror", sequence: 8 }]);
  });

  it("stays told after the catalog was made again from a spoilt copy, up to where it holds", async () => {
    await write(catalog(), ...STORY);
    await open.splice(0)[0]!.close();
    writeFileSync(mirror(), readFileSync(mirror(), "utf8").replace("leaks", "works"));
    unlinkSync(file());
    const two = catalog();
    expect(await two.ledger.records()).toHaveLength(6);
    expect(warnings.join()).toContain("record 7");
    await write(two, promoted("4", "dev", image("2")));
    await write(two, promoted("5", "dev", image("4")));
    expect((await two.ledger.verify()).problems).toMatchObject([{ where: "mirror", sequence: 7 }]);
  });
});
