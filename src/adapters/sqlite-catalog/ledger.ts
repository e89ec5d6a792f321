import { createHash } from "node:crypto";
import type { Kysely, Transaction } from "kysely";
import { FIRST_HASH, findBreak, nextRecord, type AuditRecord, type ChainBreak } from "../../core/audit/record.ts";
import type { ImageDigest, Sha256 } from "../../core/digest.ts";
import { canonicalJson } from "../../core/json.ts";
import type { Approval, ChannelMove, Revocation } from "../../core/promotion/facts.ts";
import type { AuditMirror, ChannelState, Ledger, LedgerHead, LedgerProblem } from "../../ports/ledger.ts";
import type { ReachPoint } from "../../ports/crash-points.ts";
import type { CatalogTables } from "./schema.ts";

type Tables = Kysely<CatalogTables> | Transaction<CatalogTables>;

export interface LedgerOptions {
  readonly mirror: AuditMirror;
  readonly reach: ReachPoint;
  /** From now on a commit is on the disk when it returns: the copy of the log may be behind the log, never ahead. */
  writeThrough(): void;
  /** An empty catalog with the same tables, in memory: to see what the log alone gives. */
  scratch(): Kysely<CatalogTables>;
  warn(message: string): void;
}

const hashText = (text: string): Sha256 => `sha256:${createHash("sha256").update(text).digest("hex")}`;

/** The ledger in the tables of the catalog. */
export function ledgerOn(db: Kysely<CatalogTables>, options: LedgerOptions): Ledger {
  return {
    head: () => headOf(db),
    channels: async () => (await db.selectFrom("channels").selectAll().orderBy("name").orderBy("sequence").execute()).map(stateOf),
    moves: async (name, channel) =>
      (await db.selectFrom("moves").selectAll().where("name", "=", name).where("channel", "=", channel).orderBy("sequence").execute()).map(
        moveOf,
      ),
    approvals: async (digest) =>
      (await db.selectFrom("approvals").selectAll().where("digest", "=", digest).orderBy("sequence").execute()).map(approvalOf),
    revocations: async () => (await db.selectFrom("revocations").selectAll().orderBy("sequence").execute()).map(revocationOf),
    policy: async (recipe) => {
      const row = await db.selectFrom("policies").selectAll().where("recipe", "=", recipe).executeTakeFirst();
      return row === undefined ? undefined : { policy: JSON.parse(row.policy) as never, sequence: row.sequence };
    },
    append: async (body, { at, who, after }) => {
      options.writeThrough();
      const record = await db.transaction().execute(async (transaction) => {
        const head = await headOf(transaction);
        if (head.sequence !== after.sequence || head.hash !== after.hash) return { moved: true } as const;
        const next = nextRecord(body, { at: at.toISOString(), who }, head.sequence === 0 ? undefined : head, hashText);
        await writeRecord(transaction, next);
        options.reach("ledger-written");
        return next;
      });
      if ("moved" in record) return record;
      options.reach("ledger-committed");
      // it has happened; the next who writes brings the copy up
      await mirrorRecords(db, options).catch((error: unknown) =>
        options.warn(`The copy of the audit log could not be written: ${error instanceof Error ? error.message : String(error)}`),
      );
      options.reach("ledger-mirrored");
      return record;
    },
    records: () => recordsOf(db),
    verify: () => verify(db, options),
  };
}

async function headOf(db: Tables): Promise<LedgerHead> {
  const last = await db.selectFrom("audit").select(["sequence", "hash"]).orderBy("sequence", "desc").limit(1).executeTakeFirst();
  if (last === undefined) return { sequence: 0, hash: FIRST_HASH };
  const { latest } = await db
    .selectFrom("audit")
    .select(({ fn }) => fn.max("at").as("latest"))
    .executeTakeFirstOrThrow();
  return { sequence: last.sequence, hash: last.hash as Sha256, latestAt: new Date(Number(latest)).toISOString() };
}

const recordsOf = async (db: Tables): Promise<readonly AuditRecord[]> =>
  (await db.selectFrom("audit").selectAll().orderBy("sequence").execute()).map(recordOf);

/** The record and everything that follows from it. Also makes a lost catalog again, record by record. */
async function writeRecord(db: Tables, record: AuditRecord): Promise<void> {
  await db
    .insertInto("audit")
    .values({
      sequence: record.sequence,
      at: Date.parse(record.at),
      who: record.who,
      action: record.action,
      subject: record.subject,
      details: JSON.stringify(record.details),
      previous: record.previous,
      hash: record.hash,
    })
    .execute();
  await applyRecord(db, record);
}

async function applyRecord(db: Tables, record: AuditRecord): Promise<void> {
  const at = Date.parse(record.at);
  const { sequence, who } = record;
  switch (record.action) {
    case "channels-declared": {
      const row = { sequence, policy: JSON.stringify(record.details) };
      await db
        .insertInto("policies")
        .values({ recipe: record.subject, ...row })
        .onConflict((conflict) => conflict.column("recipe").doUpdateSet(row))
        .execute();
      return;
    }
    case "promoted":
    case "rolled-back":
    case "demoted": {
      const { name, channel, digest, clock } = record.details;
      const emergency = record.action === "promoted" && record.details.emergency !== undefined ? 1 : 0;
      await db
        .insertInto("moves")
        .values({
          sequence,
          name,
          channel,
          kind: record.action,
          digest,
          at,
          who,
          clock: clock === undefined ? null : JSON.stringify(clock),
          emergency,
        })
        .execute();
      await db.deleteFrom("channels").where("name", "=", name).where("channel", "=", channel).execute();
      if (digest !== null) await db.insertInto("channels").values({ name, channel, digest, sequence, since: at, who, emergency }).execute();
      return;
    }
    case "approved":
    case "approval-withdrawn": {
      const { channel, person } = record.details;
      await db
        .deleteFrom("approvals")
        .where("digest", "=", record.subject)
        .where("channel", "=", channel)
        .where("person", "=", person)
        .execute();
      if (record.action === "approved")
        await db.insertInto("approvals").values({ sequence, digest: record.subject, channel, person, who, at }).execute();
      return;
    }
    case "revoked": {
      const { name, reason, from, reaches } = record.details;
      await db.deleteFrom("revocations").where("digest", "=", record.subject).execute();
      await db
        .insertInto("revocations")
        .values({ sequence, digest: record.subject, name, reason, starts_at: Date.parse(from), who, at, reaches: JSON.stringify(reaches) })
        .execute();
      return;
    }
    case "restored":
      await db.deleteFrom("revocations").where("digest", "=", record.subject).execute();
      return;
    default: // about fleets: their own records hold what follows from it
  }
}

/** Fills an empty catalog from the mirror, as far as its chain holds. */
export async function rebuildLedger(db: Kysely<CatalogTables>, options: LedgerOptions): Promise<void> {
  const { lines } = options.mirror.readFrom(0);
  if (lines.length === 0) return;
  const records = lines.map(parseLine);
  const broken = breakOf(records);
  const sound = records.slice(0, broken === undefined ? records.length : broken.sequence - 1) as readonly AuditRecord[];
  await db.transaction().execute(async (transaction) => {
    if ((await headOf(transaction)).sequence > 0) return; // another process was faster
    for (const record of sound) await writeRecord(transaction, record);
    await setMirrored(transaction, { sequence: sound.length, bytes: byteLength(lines.slice(0, sound.length)) });
  });
  if (broken !== undefined)
    options.warn(
      `The copy of the audit log ${broken.problem === "is missing" ? "lacks" : "holds a changed"} record ${broken.sequence}: channels are as they were before it. bakehouse audit verify shows more`,
    );
}

/**
 * Brings the file up to the table, under the write lock of the catalog. A process that died between the two leaves it one record
 * short; the next makes up for it. A file that is not as this catalog left it stays as it is from there on, for `audit verify` to tell.
 */
async function mirrorRecords(db: Kysely<CatalogTables>, { mirror, warn }: LedgerOptions): Promise<void> {
  await db.transaction().execute(async (transaction) => {
    const done = await mirroredOf(transaction);
    const size = mirror.sizeBytes();
    if (size < done.bytes) {
      warn("The copy of the audit log is shorter than it was: bakehouse audit verify shows what is missing");
    }
    const rows = await transaction.selectFrom("audit").selectAll().where("sequence", ">", done.sequence).orderBy("sequence").execute();
    const wanted = rows.map((row) => canonicalJson(recordOf(row)));
    // what a process wrote before it died and could not note; anything else that stands there is not ours
    const offset = Math.min(done.bytes, size);
    const there = mirror.readFrom(offset).lines;
    const already = there.every((line, index) => line === wanted[index]) ? there.length : undefined;
    const bytes =
      already === undefined
        ? mirror.appendAt(mirror.readFrom(0).endBytes, wanted)
        : mirror.appendAt(offset + byteLength(wanted.slice(0, already)), wanted.slice(already));
    await setMirrored(transaction, { sequence: rows.at(-1)?.sequence ?? done.sequence, bytes });
  });
}

const byteLength = (lines: readonly string[]): number => lines.reduce((sum, line) => sum + Buffer.byteLength(line) + 1, 0);

async function mirroredOf(db: Tables): Promise<{ readonly sequence: number; readonly bytes: number }> {
  const row = await db.selectFrom("audit_mirror").selectAll().executeTakeFirst();
  return row === undefined ? { sequence: 0, bytes: 0 } : { sequence: row.sequence, bytes: row.bytes };
}

async function setMirrored(db: Tables, row: { readonly sequence: number; readonly bytes: number }): Promise<void> {
  await db.deleteFrom("audit_mirror").execute();
  await db.insertInto("audit_mirror").values(row).execute();
}

// ---- is it what was written? ----

async function verify(
  db: Kysely<CatalogTables>,
  options: LedgerOptions,
): Promise<{
  readonly records: number;
  readonly head: LedgerHead;
  readonly problems: readonly LedgerProblem[];
}> {
  return db.transaction().execute(async (transaction) => {
    const records = await recordsOf(transaction);
    const { sequence: noted } = await mirroredOf(transaction);
    const problems: LedgerProblem[] = [];
    const chain = findBreak(records, hashText);
    if (chain !== undefined) problems.push({ where: "log", ...chain });
    const lines = options.mirror.readFrom(0).lines;
    const mirror = mirrorBreak(lines, records, noted);
    const more = records.length + 1;
    if (chain === undefined && lines.length >= more && (mirror === undefined || mirror.sequence > more))
      problems.push({ where: "log", sequence: more, problem: "is missing; the copy has it" });
    if (mirror !== undefined) problems.push({ where: "mirror", ...mirror });
    const tables = chain === undefined ? await tablesBreak(transaction, records, options) : undefined;
    if (tables !== undefined) problems.push({ where: "tables", ...tables });
    return { records: records.length, head: await headOf(transaction), problems };
  });
}

/** The first line that is not the record of the log; or what lines are missing that were there once. */
function mirrorBreak(lines: readonly string[], records: readonly AuditRecord[], noted: number): ChainBreak | undefined {
  const parsed = lines.map(parseLine);
  const own = breakOf(parsed);
  const other = records.findIndex((record, index) => index < lines.length && lines[index] !== canonicalJson(record));
  if (own !== undefined && (other < 0 || own.sequence <= other + 1)) return own;
  if (other >= 0) return { sequence: other + 1, problem: "is another than in the log" };
  return lines.length < noted ? { sequence: lines.length + 1, problem: "is missing: the file was cut off" } : undefined;
}

function breakOf(records: readonly (AuditRecord | undefined)[]): ChainBreak | undefined {
  const unreadable = records.indexOf(undefined);
  const readable = (unreadable < 0 ? records : records.slice(0, unreadable)) as readonly AuditRecord[];
  return findBreak(readable, hashText) ?? (unreadable < 0 ? undefined : { sequence: unreadable + 1, problem: "cannot be read" });
}

const MADE_FROM_LOG = ["channels", "moves", "approvals", "revocations", "policies"] as const;

/** The tables that the log alone gives are compared with those that are there, row by row. */
async function tablesBreak(db: Tables, records: readonly AuditRecord[], { scratch }: LedgerOptions): Promise<ChainBreak | undefined> {
  const empty = scratch();
  try {
    await empty.transaction().execute(async (transaction) => {
      for (const record of records) await applyRecord(transaction, record);
    });
    for (const table of MADE_FROM_LOG) {
      const [is, should] = [await rowsOf(db, table), await rowsOf(empty, table)];
      for (const [row, sequence] of should) if (!is.has(row)) return { sequence, problem: `is not what the table "${table}" says` };
      for (const [row, sequence] of is) if (!should.has(row)) return { sequence, problem: `does not give what the table "${table}" says` };
    }
    return undefined;
  } finally {
    await empty.destroy();
  }
}

const rowsOf = async (db: Tables, table: (typeof MADE_FROM_LOG)[number]): Promise<ReadonlyMap<string, number>> =>
  new Map((await db.selectFrom(table).selectAll().orderBy("sequence").execute()).map((row) => [canonicalJson(row), row.sequence]));

// ---- rows and records ----

function parseLine(line: string): AuditRecord | undefined {
  try {
    const value = JSON.parse(line) as unknown;
    return value !== null && typeof value === "object" && "hash" in value ? (value as AuditRecord) : undefined;
  } catch {
    return undefined;
  }
}

const time = (ms: number): string => new Date(ms).toISOString();

/** A row that somebody damaged gives a record whose hash is wrong, not an exception. */
function recordOf(row: CatalogTables["audit"]): AuditRecord {
  const { sequence, who, action, subject, previous, hash } = row;
  return {
    sequence,
    at: safely(() => time(row.at)),
    who,
    action,
    subject,
    details: safely(() => JSON.parse(row.details)),
    previous,
    hash,
  } as never;
}

function safely<T>(read: () => T): T | null {
  try {
    return read();
  } catch {
    return null;
  }
}

const stateOf = (row: CatalogTables["channels"]): ChannelState => ({
  name: row.name,
  channel: row.channel,
  digest: row.digest as ImageDigest,
  sequence: row.sequence,
  since: time(row.since),
  who: row.who,
  emergency: row.emergency === 1,
});

const moveOf = (row: CatalogTables["moves"]): ChannelMove => ({
  sequence: row.sequence,
  name: row.name,
  channel: row.channel,
  kind: row.kind as ChannelMove["kind"],
  ...(row.digest === null ? {} : { digest: row.digest as ImageDigest }),
  at: time(row.at),
  who: row.who,
  ...(row.clock === null ? {} : { clock: JSON.parse(row.clock) as NonNullable<ChannelMove["clock"]> }),
  emergency: row.emergency === 1,
});

const approvalOf = (row: CatalogTables["approvals"]): Approval => ({
  digest: row.digest as ImageDigest,
  channel: row.channel,
  person: row.person,
  who: row.who,
  at: time(row.at),
});

const revocationOf = (row: CatalogTables["revocations"]): Revocation => ({
  sequence: row.sequence,
  digest: row.digest as ImageDigest,
  name: row.name,
  reason: row.reason,
  from: time(row.starts_at),
  who: row.who,
  at: time(row.at),
  reaches: JSON.parse(row.reaches) as readonly ImageDigest[],
});
