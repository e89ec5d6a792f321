import { existsSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { pathToFileURL } from "node:url";
import type { ImageDigest } from "../../core/digest.ts";
import { BakehouseError } from "../../core/errors.ts";
import type { Fleet } from "../../core/fleet/model.ts";
import { secretsOfGates } from "../../core/recipe/gates-section.ts";
import type { Recipe } from "../../core/recipe/model.ts";
import type { Moment } from "../../core/rollout/decide.ts";
import { ENDS, type Command, type RolloutStatus } from "../../core/rollout/model.ts";
import type {
  BegunAction,
  Denied,
  FleetRecords,
  FleetRolloutRecords,
  GivenCommand,
  Healing,
  KnownFleet,
  LineStop,
  NewRollout,
  QueuedRelease,
  RolloutSummary,
  ShownState,
} from "../../ports/fleet-records.ts";
import type { Baseline } from "../../ports/gate-baselines.ts";
import type { Owner } from "../../ports/store.ts";
import type { RolloutOrigin } from "../../ports/rollout-records.ts";
import { storeError } from "../local-store/files.ts";
import { isAlive } from "../local-store/owners.ts";

/**
 * Fleets and rollouts in one SQLite file beside the catalog. Its own, and not by kysely as the catalog: a reconciler must have written
 * before it acts, in one synchronous step (docs/decisions/0031-fleets.md).
 *
 * A moment is a row of `moments`; the commands that it took from the inbox are marked in the same transaction, so that none is lost and
 * none counts twice. Whoever writes names its epoch; only the newest may.
 */
const SCHEMA = `
CREATE TABLE IF NOT EXISTS fleets (key TEXT PRIMARY KEY, recipe TEXT NOT NULL, file TEXT NOT NULL, declaration TEXT NOT NULL,
  size INTEGER, declared TEXT, previous TEXT);
CREATE TABLE IF NOT EXISTS denied (key TEXT NOT NULL, digest TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (key, digest));
CREATE TABLE IF NOT EXISTS stops (id TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS healings (key TEXT NOT NULL, at TEXT NOT NULL, value TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS healings_of ON healings (key, at);
CREATE TABLE IF NOT EXISTS rollouts (id TEXT PRIMARY KEY, key TEXT NOT NULL, number INTEGER NOT NULL, origin TEXT NOT NULL, boot_id TEXT NOT NULL,
  started_at TEXT NOT NULL, ended_at TEXT, status TEXT NOT NULL, reason TEXT NOT NULL, waiting_for TEXT NOT NULL,
  epoch INTEGER NOT NULL DEFAULT 0, done INTEGER NOT NULL DEFAULT 0);
CREATE INDEX IF NOT EXISTS rollouts_of ON rollouts (key, number);
CREATE TABLE IF NOT EXISTS moments (rollout TEXT NOT NULL, number INTEGER NOT NULL, now_ms REAL NOT NULL, at TEXT NOT NULL, observations TEXT NOT NULL,
  PRIMARY KEY (rollout, number)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS begun (rollout TEXT NOT NULL, number INTEGER NOT NULL, moment INTEGER NOT NULL, at TEXT NOT NULL, value TEXT NOT NULL,
  PRIMARY KEY (rollout, number)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS shown (rollout TEXT NOT NULL, number INTEGER NOT NULL, moment INTEGER NOT NULL, at TEXT NOT NULL, status TEXT NOT NULL,
  reason TEXT NOT NULL, waiting_for TEXT NOT NULL, PRIMARY KEY (rollout, number)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS commands (number INTEGER PRIMARY KEY, rollout TEXT NOT NULL, value TEXT NOT NULL, at TEXT NOT NULL, taken INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS queued (key TEXT NOT NULL, rollout TEXT NOT NULL, value TEXT NOT NULL, number INTEGER PRIMARY KEY);
CREATE TABLE IF NOT EXISTS baselines (key TEXT NOT NULL, gate TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (key, gate));
CREATE TABLE IF NOT EXISTS carriers (key TEXT PRIMARY KEY, owner TEXT NOT NULL);
`;

/** Raised when a table changes in a way that an older Bakehouse cannot read. */
const VERSION = 1;
/** How long a write waits for another process. */
const BUSY_MS = 10_000;

export interface SqliteFleetsOptions {
  readonly readOnly?: boolean;
  /** Wall time of what is written down. Default: that of the system. */
  readonly now?: () => Date;
  /** Of who carries a fleet. Default: whether that process is there. */
  readonly isAlive?: (owner: Owner) => boolean;
}

/** @throws STORE_TOO_NEW, STORE_FULL, STORE_READ_ONLY; so does everything that it does */
export function openSqliteFleets(file: string, options: SqliteFleetsOptions = {}): FleetRecords {
  const explained = explaining(file);
  return explained.object(explained.run(() => open(file, options, explained.object)));
}

interface Explaining {
  run<T>(work: () => T): T;
  /** The same object, whose methods and properties throw what they throw in words. */
  object<T extends object>(inner: T): T;
}

/** A full disk is no fault of the program. */
function explaining(file: string): Explaining {
  const run = <T>(work: () => T): T => {
    try {
      return work();
    } catch (error) {
      throw storeError(error, file);
    }
  };
  const object = <T extends object>(inner: T): T =>
    new Proxy(inner, {
      get: (target, name) => {
        const value: unknown = run(() => Reflect.get(target, name, target));
        return typeof value === "function"
          ? (...args: unknown[]): unknown => run(() => Reflect.apply(value, target, args) as unknown)
          : value;
      },
    });
  return { run, object };
}

function open(file: string, options: SqliteFleetsOptions, explained: Explaining["object"]): FleetRecords {
  const db = options.readOnly === true ? openToRead(file) : new DatabaseSync(file);
  db.exec(`PRAGMA busy_timeout = ${BUSY_MS}`);
  const { user_version: version } = db.prepare("PRAGMA user_version").get() as { user_version: number };
  if (version > VERSION) {
    db.close();
    throw new BakehouseError("STORE_TOO_NEW", `${file} was written by a newer Bakehouse`, { hint: "use that one" });
  }
  if (options.readOnly !== true) {
    db.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL");
    db.exec(SCHEMA);
    if (version < VERSION) db.exec(`PRAGMA user_version = ${VERSION}`);
  }
  return new SqliteFleets(db, { now: () => new Date(), isAlive, ...options }, explained);
}

/** Where nothing can be written, there may be no file yet; and none of those beside it that a write-ahead log needs. */
function openToRead(file: string): DatabaseSync {
  if (!existsSync(file)) {
    const empty = new DatabaseSync(":memory:");
    empty.exec(`${SCHEMA} PRAGMA query_only = ON`);
    return empty;
  }
  const db = new DatabaseSync(file, { readOnly: true });
  try {
    db.prepare("PRAGMA user_version").get();
    return db;
  } catch {
    db.close();
    return new DatabaseSync(`${pathToFileURL(file).href}?immutable=1`, { readOnly: true });
  }
}

type Declaration = Pick<KnownFleet, "fleet" | "secrets">;
type Row = Record<string, string | number | null>;

class SqliteFleets implements FleetRecords {
  private readonly db: DatabaseSync;
  /** A transaction is open: what is called in it belongs to it. */
  private inside = false;
  private readonly options: Required<Pick<SqliteFleetsOptions, "now" | "isAlive">>;

  private readonly explained: Explaining["object"];

  constructor(db: DatabaseSync, options: Required<Pick<SqliteFleetsOptions, "now" | "isAlive">>, explained: Explaining["object"]) {
    this.db = db;
    this.options = options;
    this.explained = explained;
  }

  private now(): string {
    return this.options.now().toISOString();
  }

  fleets(): readonly KnownFleet[] {
    return this.rows("SELECT * FROM fleets ORDER BY key").map(knownFleet);
  }

  declare({ name: recipe, secrets }: Pick<Recipe, "name" | "secrets">, file: string, fleet: Fleet): KnownFleet {
    const key = `${recipe}/${fleet.name}`;
    const names = [...fleet.secrets, ...secretsOfGates(fleet.rollout?.gates ?? [])];
    const used = Object.fromEntries(Object.entries(secrets).filter(([name]) => names.includes(name)));
    this.db
      .prepare(
        `INSERT INTO fleets (key, recipe, file, declaration) VALUES (?, ?, ?, ?)
         ON CONFLICT (key) DO UPDATE SET file = excluded.file, declaration = excluded.declaration
         WHERE file != excluded.file OR declaration != excluded.declaration`,
      )
      .run(key, recipe, file, JSON.stringify({ fleet, secrets: used } satisfies Declaration));
    const [row] = this.rows("SELECT * FROM fleets WHERE key = ?", key);
    if (row === undefined) throw new Error(`${key} was written and is not there`);
    return knownFleet(row);
  }

  setSize(key: string, size: number | undefined): void {
    this.db.prepare("UPDATE fleets SET size = ? WHERE key = ?").run(size ?? null, key);
  }

  setDeclared(key: string, declared: ImageDigest, previous: ImageDigest | undefined): void {
    this.db.prepare("UPDATE fleets SET declared = ?, previous = ? WHERE key = ?").run(declared, previous ?? null, key);
  }

  forget(key: string): void {
    this.atOnce(() => {
      for (const table of ["fleets", "denied", "healings", "queued", "baselines", "carriers"])
        this.db.prepare(`DELETE FROM ${table} WHERE key = ?`).run(key);
    });
  }

  denied(key: string): readonly Denied[] {
    return this.values<Denied>("SELECT value FROM denied WHERE key = ? ORDER BY value ->> 'at'", key);
  }

  deny(key: string, denied: Denied): void {
    this.db.prepare("INSERT OR IGNORE INTO denied (key, digest, value) VALUES (?, ?, ?)").run(key, denied.digest, JSON.stringify(denied));
  }

  allow(key: string, digest: ImageDigest): boolean {
    return this.db.prepare("DELETE FROM denied WHERE key = ? AND digest = ?").run(key, digest).changes > 0;
  }

  baseline(key: string, gate: string): Baseline | undefined {
    const [row] = this.rows("SELECT value FROM baselines WHERE key = ? AND gate = ?", key, gate);
    return row === undefined ? undefined : (JSON.parse(text(row["value"]), andOddNumbers) as Baseline);
  }

  keepBaseline(key: string, gate: string, baseline: Baseline): void {
    this.db
      .prepare("INSERT OR REPLACE INTO baselines (key, gate, value) VALUES (?, ?, ?)")
      .run(key, gate, JSON.stringify(baseline, withOddNumbers));
  }

  stops(): readonly LineStop[] {
    return this.values<LineStop>("SELECT value FROM stops ORDER BY value ->> 'from', id");
  }

  stop(stop: LineStop): void {
    this.db.prepare("INSERT INTO stops (id, value) VALUES (?, ?)").run(stop.id, JSON.stringify(stop));
  }

  lift(id: string, lifted: NonNullable<LineStop["lifted"]>): boolean {
    return this.atOnce(() => {
      const [stop] = this.values<LineStop>("SELECT value FROM stops WHERE id = ?", id);
      if (stop === undefined || stop.lifted !== undefined) return false;
      this.db.prepare("UPDATE stops SET value = ? WHERE id = ?").run(JSON.stringify({ ...stop, lifted }), id);
      return true;
    });
  }

  healings(key: string, since: string): readonly Healing[] {
    return this.values<Healing>("SELECT value FROM healings WHERE key = ? AND at >= ? ORDER BY at", key, since);
  }

  healed(key: string, healing: Healing): void {
    this.db.prepare("INSERT INTO healings (key, at, value) VALUES (?, ?, ?)").run(key, healing.at, JSON.stringify(healing));
  }

  forgiveHealings(key: string): void {
    this.db.prepare("DELETE FROM healings WHERE key = ?").run(key);
  }

  rollouts(key?: string): readonly RolloutSummary[] {
    const rows =
      key === undefined
        ? this.rows(`${SUMMARIES} ORDER BY started_at DESC, number DESC`)
        : this.rows(`${SUMMARIES} WHERE key = ? ORDER BY number DESC`, key);
    return rows.map(summaryOf);
  }

  openRollout(key: string): RolloutSummary | undefined {
    const [row] = this.rows(`${SUMMARIES} WHERE key = ? AND ended_at IS NULL`, key);
    return row === undefined ? undefined : summaryOf(row);
  }

  begin({ id, fleet, origin, bootId, at }: NewRollout): RolloutSummary | undefined {
    return this.atOnce(() => {
      const open = this.openRollout(fleet);
      if (open !== undefined) return open;
      const [last] = this.rows("SELECT max(number) AS number FROM rollouts WHERE key = ?", fleet);
      const status: RolloutStatus = origin.plan.policy.approvals > 0 ? "awaiting-approval" : "running";
      this.db
        .prepare(
          "INSERT INTO rollouts (id, key, number, origin, boot_id, started_at, status, reason, waiting_for) VALUES (?, ?, ?, ?, ?, ?, ?, '', '')",
        )
        .run(id, fleet, Number(last?.["number"] ?? 0) + 1, JSON.stringify(origin), bootId, at, status);
      return undefined;
    });
  }

  queued(key: string): readonly QueuedRelease[] {
    return this.values<QueuedRelease>("SELECT value FROM queued WHERE key = ? ORDER BY number", key);
  }

  enqueue(key: string, release: QueuedRelease): void {
    this.db.prepare("INSERT INTO queued (key, rollout, value) VALUES (?, ?, ?)").run(key, release.rollout, JSON.stringify(release));
  }

  dequeue(key: string, rollout: string): boolean {
    return this.db.prepare("DELETE FROM queued WHERE key = ? AND rollout = ?").run(key, rollout).changes > 0;
  }

  open(id: string): FleetRolloutRecords {
    const [row] = this.rows("SELECT * FROM rollouts WHERE id = ?", id);
    if (row === undefined) throw new BakehouseError("ROLLOUT_NOT_FOUND", `No rollout is called ${id}`, { hint: "bakehouse rollout list" });
    return this.explained(this.recordsOf(id, JSON.parse(text(row["origin"])) as RolloutOrigin, text(row["boot_id"])));
  }

  command(id: string, command: Command, at: string): void {
    this.db.prepare("INSERT INTO commands (rollout, value, at) VALUES (?, ?, ?)").run(id, JSON.stringify(command), at);
  }

  carrier(key: string): Owner | undefined {
    const [row] = this.rows("SELECT owner FROM carriers WHERE key = ?", key);
    const owner = row === undefined ? undefined : (JSON.parse(text(row["owner"])) as Owner);
    return owner !== undefined && this.options.isAlive(owner) ? owner : undefined;
  }

  carry(key: string, owner: Owner, isAliveNow: (owner: Owner) => boolean): Owner {
    return this.atOnce(() => {
      const [row] = this.rows("SELECT owner FROM carriers WHERE key = ?", key);
      const has = row === undefined ? undefined : (JSON.parse(text(row["owner"])) as Owner);
      if (has !== undefined && isAliveNow(has)) return has;
      this.db.prepare("INSERT OR REPLACE INTO carriers (key, owner) VALUES (?, ?)").run(key, JSON.stringify(owner));
      return owner;
    });
  }

  letGo(key: string, owner: Owner): void {
    this.db.prepare("DELETE FROM carriers WHERE key = ? AND owner = ?").run(key, JSON.stringify(owner));
  }

  close(): void {
    this.db.close();
  }

  private recordsOf(id: string, origin: RolloutOrigin, bootId: string): FleetRolloutRecords {
    const state = (): Row => this.rows("SELECT epoch, done FROM rollouts WHERE id = ?", id)[0] ?? {};
    const held = (epoch: number, work: () => void): void =>
      this.atOnce(() => {
        if (state()["epoch"] !== epoch)
          throw new BakehouseError("LEASE_LOST", `Another process took rollout ${id} over`, { hint: `bakehouse rollout watch ${id}` });
        work();
      });
    const moments = (): readonly Row[] => this.rows("SELECT now_ms, at, observations FROM moments WHERE rollout = ? ORDER BY number", id);
    return {
      id,
      origin,
      bootId,
      takeLease: () =>
        this.atOnce(() => {
          this.db.prepare("UPDATE rollouts SET epoch = epoch + 1 WHERE id = ?").run(id);
          return Number(state()["epoch"]);
        }),
      holds: (epoch) => state()["epoch"] === epoch,
      moments: () =>
        moments().map((row): Moment => ({
          nowMs: Number(row["now_ms"]),
          observations: JSON.parse(text(row["observations"])) as Moment["observations"],
        })),
      momentTimes: () => moments().map((row) => text(row["at"])),
      get done() {
        return Number(state()["done"]);
      },
      append: (epoch, { nowMs, observations }) =>
        held(epoch, () => {
          this.db
            .prepare(
              `INSERT INTO moments (rollout, number, now_ms, at, observations)
               SELECT ?, coalesce(max(number), 0) + 1, ?, ?, ? FROM moments WHERE rollout = ?`,
            )
            .run(id, nowMs, this.now(), JSON.stringify(observations), id);
          for (const observation of observations)
            if (observation.type === "command" && "number" in observation)
              this.db
                .prepare("UPDATE commands SET taken = 1 WHERE number = ?")
                .run((observation as GivenCommand & { type: "command" }).number);
        }),
      markDone: (epoch, count, begun) =>
        held(epoch, () => {
          this.db.prepare("UPDATE rollouts SET done = ? WHERE id = ?").run(count, id);
          const at = this.now();
          const [last] = this.rows("SELECT coalesce(max(number), 0) AS moment FROM moments WHERE rollout = ?", id);
          const put = this.db.prepare("INSERT OR REPLACE INTO begun (rollout, number, moment, at, value) VALUES (?, ?, ?, ?, ?)");
          for (const [index, action] of begun.entries())
            put.run(id, count - begun.length + index + 1, Number(last?.["moment"]), at, JSON.stringify(action));
        }),
      begun: () =>
        this.rows("SELECT * FROM begun WHERE rollout = ? ORDER BY number", id).map((row): BegunAction => ({
          number: Number(row["number"]),
          moment: Number(row["moment"]),
          action: JSON.parse(text(row["value"])) as BegunAction["action"],
          at: text(row["at"]),
        })),
      shown: () => this.rows("SELECT * FROM shown WHERE rollout = ? ORDER BY number", id).map(shownState),
      lastShown: () => this.rows("SELECT * FROM shown WHERE rollout = ? ORDER BY number DESC LIMIT 1", id).map(shownState)[0],
      pending: () =>
        this.rows("SELECT number, value FROM commands WHERE rollout = ? AND taken = 0 ORDER BY number", id).map((row) => ({
          ...(JSON.parse(text(row["value"])) as Command),
          number: Number(row["number"]),
        })),
      show: (epoch, { status, reason, waitingFor, ended }) =>
        held(epoch, () => {
          this.db
            .prepare("UPDATE rollouts SET status = ?, reason = ?, waiting_for = ?, ended_at = coalesce(ended_at, ?) WHERE id = ?")
            .run(status, reason, waitingFor, ended ? this.now() : null, id);
          this.db
            .prepare(
              `INSERT INTO shown (rollout, number, moment, at, status, reason, waiting_for)
               SELECT ?, coalesce(max(number), 0) + 1, (SELECT coalesce(max(number), 0) FROM moments WHERE rollout = ?), ?, ?, ?, ?
               FROM shown WHERE rollout = ?`,
            )
            .run(id, id, this.now(), status, reason, waitingFor, id);
        }),
    };
  }

  private rows(sql: string, ...values: readonly (string | number)[]): readonly Row[] {
    return this.db.prepare(sql).all(...values) as unknown as readonly Row[];
  }

  private values<T>(sql: string, ...values: readonly (string | number)[]): readonly T[] {
    return this.rows(sql, ...values).map((row) => JSON.parse(text(row["value"])) as T);
  }

  atOnce<T>(work: () => T): T {
    if (this.inside) return work();
    this.db.exec("BEGIN IMMEDIATE");
    this.inside = true;
    try {
      const result = work();
      this.db.exec("COMMIT");
      return result;
    } catch (error) {
      // a full disk has ended the transaction already (sqlite.org/lang_transaction.html)
      if (this.db.isTransaction) this.db.exec("ROLLBACK");
      throw error;
    } finally {
      this.inside = false;
    }
  }
}

const shownState = (row: Row): ShownState => ({
  moment: Number(row["moment"]),
  status: text(row["status"]) as RolloutStatus,
  reason: text(row["reason"]),
  waitingFor: text(row["waiting_for"]),
  at: text(row["at"]),
});

/** JSON has neither NaN nor infinities, which metrics have. */
const withOddNumbers = (_: string, value: unknown): unknown =>
  typeof value === "number" && !Number.isFinite(value) ? { number: String(value) } : value;
const andOddNumbers = (_: string, value: unknown): unknown =>
  typeof value === "object" && value !== null && "number" in value ? Number(value.number) : value;

const text = (value: string | number | null | undefined): string => {
  if (typeof value !== "string") throw new Error(`Not a text: ${String(value)}`);
  return value;
};

function knownFleet(row: Row): KnownFleet {
  const { fleet, secrets } = JSON.parse(text(row["declaration"])) as Declaration;
  const { declared, previous } = row;
  return {
    recipe: text(row["recipe"]),
    file: text(row["file"]),
    fleet,
    secrets,
    size: row["size"] === null ? fleet.size : Number(row["size"]),
    ...(typeof declared === "string" ? { declared: declared as ImageDigest } : {}),
    ...(typeof previous === "string" ? { previous: previous as ImageDigest } : {}),
  };
}

/** Without the plan, which names every instance and is as large as its fleet. */
const SUMMARIES = `SELECT id, key, status, reason, waiting_for, started_at, ended_at, origin ->> '$.startedBy' AS started_by,
  origin ->> '$.plan.target' AS target, origin ->> '$.plan.back' AS back FROM rollouts`;

function summaryOf(row: Row): RolloutSummary {
  const { ended_at: endedAt, back } = row;
  return {
    id: text(row["id"]),
    fleet: text(row["key"]),
    target: text(row["target"]) as ImageDigest,
    ...(typeof back === "string" ? { back: back as ImageDigest } : {}),
    status: text(row["status"]) as RolloutStatus,
    reason: text(row["reason"]),
    waitingFor: text(row["waiting_for"]),
    startedBy: text(row["started_by"]),
    startedAt: text(row["started_at"]),
    ...(typeof endedAt === "string" ? { endedAt } : {}),
  };
}

export const isOver = ({ status }: Pick<RolloutSummary, "status">): boolean => ENDS.has(status);
