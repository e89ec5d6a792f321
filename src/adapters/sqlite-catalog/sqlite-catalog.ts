import { DatabaseSync, type SQLInputValue } from "node:sqlite";
import { renameSync, statSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { Kysely, SqliteDialect, type SqliteDatabase } from "kysely";
import { BakehouseError } from "../../core/errors.ts";
import type { ImageDigest, Sha256 } from "../../core/digest.ts";
import type { Catalog, CatalogBake, CatalogImage, CatalogStep } from "../../ports/catalog.ts";
import type { Owner } from "../../ports/store.ts";
import type { ReachPoint } from "../../ports/crash-points.ts";
import type { AuditMirror, Ledger } from "../../ports/ledger.ts";
import { storeError } from "../local-store/files.ts";
import { ledgerOn, rebuildLedger, type LedgerOptions } from "./ledger.ts";
import { cyclesOn } from "./cycles.ts";
import { noticesOn } from "./notices.ts";
import { CATALOG_VERSION, MIGRATIONS, type CatalogTables } from "./schema.ts";

export interface SqliteCatalogOptions {
  /** Images as the store itself knows them, to fill a catalog that was lost or damaged. */
  rebuildFrom(): readonly CatalogImage[];
  readonly owner: Owner;
  /** Of a store that cannot be written: nothing is, and what is in SQLite's write-ahead log is not seen. Default false. */
  readonly readOnly?: boolean;
  isAlive(owner: Owner): boolean;
  warn(message: string): void;
  /** The copy of the audit log, from which channels are made again. */
  readonly mirror: AuditMirror;
  readonly reach: ReachPoint;
}

/**
 * The catalog in one SQLite file. A damaged file is set aside as `<file>.damaged-<time>` and the images are read from the
 * store again, channels and what belongs to them from the copy of the audit log; the history of bakes is lost then, and said to be.
 *
 * @throws STORE_TOO_NEW
 */
export function openSqliteCatalog(file: string, options: SqliteCatalogOptions): Catalog {
  const { database, fresh } = options.readOnly === true ? openToRead(file) : open(file, options);
  const db = kyselyOn(database, file, options.readOnly === true);
  const ledgerOptions: LedgerOptions = {
    ...options,
    writeThrough: () => database.exec("PRAGMA synchronous = FULL"),
    scratch: () => kyselyOn(migrated(":memory:"), ":memory:", false),
  };
  const catalog = catalogOn(db, ledgerOn(db, ledgerOptions), options);
  if (!fresh) return catalog;
  const filled = catalog.putImages(options.rebuildFrom()).then(() => rebuildLedger(db, ledgerOptions));
  const afterFilling =
    <A extends readonly unknown[], R>(method: (...args: A) => Promise<R>) =>
    async (...args: A): Promise<R> => {
      await filled;
      return method(...args);
    };
  return {
    ...catalog,
    images: afterFilling(catalog.images),
    putImages: afterFilling(catalog.putImages),
    removeImages: afterFilling(catalog.removeImages),
    ledger: {
      head: afterFilling(catalog.ledger.head),
      channels: afterFilling(catalog.ledger.channels),
      moves: afterFilling(catalog.ledger.moves),
      approvals: afterFilling(catalog.ledger.approvals),
      revocations: afterFilling(catalog.ledger.revocations),
      policy: afterFilling(catalog.ledger.policy),
      append: afterFilling(catalog.ledger.append),
      records: afterFilling(catalog.ledger.records),
      verify: afterFilling(catalog.ledger.verify),
    },
    close: afterFilling(catalog.close),
  };
}

const kyselyOn = (database: DatabaseSync, file: string, readOnly: boolean): Kysely<CatalogTables> =>
  new Kysely<CatalogTables>({ dialect: new SqliteDialect({ database: asSqliteDatabase(database, file, readOnly) }) });

function open(file: string, options: SqliteCatalogOptions): { readonly database: DatabaseSync; readonly fresh: boolean } {
  const existed = (statSync(file, { throwIfNoEntry: false })?.size ?? 0) > 0;
  try {
    return { database: migrated(file), fresh: !existed };
  } catch (error) {
    if (!/not a database|malformed|disk image/.test(String(error))) throw storeError(error, file);
    const aside = `${file}.damaged-${Date.now()}`;
    renameSync(file, aside);
    options.warn(
      `The catalog was damaged. It is kept as ${aside}; the images were read from the store again, channels from the audit log, the history of bakes begins anew`,
    );
    return { database: migrated(file), fresh: true };
  }
}

/** `immutable`: SQLite would otherwise make two files beside it, even to read. */
function openToRead(file: string): { readonly database: DatabaseSync; readonly fresh: false } {
  try {
    const url = pathToFileURL(file);
    url.searchParams.set("immutable", "1");
    return { database: new DatabaseSync(url, { readOnly: true }), fresh: false };
  } catch (error) {
    throw storeError(error, file);
  }
}

function migrated(file: string): DatabaseSync {
  const database = new DatabaseSync(file);
  try {
    database.exec("PRAGMA busy_timeout = 10000; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL");
    const version = (): number => (database.prepare("PRAGMA user_version").get() as { user_version: number }).user_version;
    if (version() > CATALOG_VERSION)
      throw new BakehouseError(
        "STORE_TOO_NEW",
        `The catalog ${file} has version ${version()}; this Bakehouse knows up to ${CATALOG_VERSION}`,
        { hint: "use the newer Bakehouse that made it, or another store: --store DIR" },
      );
    if (version() < CATALOG_VERSION) migrate(database, version);
    return database;
  } catch (error) {
    database.close();
    throw error;
  }
}

/** Two processes may open a new catalog at once: the version is read again once the write lock is held. */
function migrate(database: DatabaseSync, version: () => number): void {
  database.exec("BEGIN IMMEDIATE");
  for (const statement of MIGRATIONS.slice(version())) database.exec(statement);
  database.exec(`PRAGMA user_version = ${CATALOG_VERSION}`);
  database.exec("COMMIT");
}

/**
 * kysely expects better-sqlite3's shape; node:sqlite's differs by `reader`. Its transactions take the write lock when they begin:
 * one that reads first and writes later would fail when another wrote in between.
 */
function asSqliteDatabase(database: DatabaseSync, file: string, readOnly: boolean): SqliteDatabase {
  const told = <T>(work: () => T): T => {
    try {
      return work();
    } catch (error) {
      throw storeError(error, file);
    }
  };
  return {
    close: () => database.close(),
    prepare: (sql) => {
      const statement = told(() => database.prepare(sql === "begin" && !readOnly ? "begin immediate" : sql));
      return {
        reader: statement.columns().length > 0,
        all: (parameters) => told(() => statement.all(...(parameters as SQLInputValue[]))),
        run: (parameters) => told(() => statement.run(...(parameters as SQLInputValue[]))),
        iterate: (parameters) => statement.iterate(...(parameters as SQLInputValue[])) as IterableIterator<unknown>,
      };
    },
  };
}

function catalogOn(db: Kysely<CatalogTables>, ledger: Ledger, options: SqliteCatalogOptions): Catalog {
  const steps = async (bake: string): Promise<readonly CatalogStep[]> =>
    (await db.selectFrom("bake_steps").selectAll().where("bake", "=", bake).orderBy("position").execute()).map(stepOf);
  return {
    startBake: async (bake) => {
      await markDied(db, options);
      await db
        .insertInto("bakes")
        .values({
          id: bake.id,
          recipe: bake.recipe,
          file: bake.file,
          started_at: Date.parse(bake.startedAt),
          ended_at: null,
          outcome: bake.outcome,
          baked_by: bake.by,
          message: null,
          owner: JSON.stringify(options.owner),
        })
        .execute();
    },
    endBake: async (id, end, ended) => {
      await db.transaction().execute(async (transaction) => {
        await transaction
          .updateTable("bakes")
          .set({ outcome: end.outcome, ended_at: end.endedAt === undefined ? null : Date.parse(end.endedAt), message: end.message ?? null })
          .where("id", "=", id)
          .execute();
        if (ended.length > 0) await transaction.insertInto("bake_steps").values(ended.map(stepRow)).execute();
      });
    },
    bakes: async ({ limit = 50 } = {}) => {
      await markDied(db, options);
      return (await db.selectFrom("bakes").selectAll().orderBy("started_at", "desc").orderBy("id", "desc").limit(limit).execute()).map(
        bakeOf,
      );
    },
    bake: async (id) => {
      await markDied(db, options);
      const row = await db.selectFrom("bakes").selectAll().where("id", "=", id).executeTakeFirst();
      return row === undefined ? undefined : { ...bakeOf(row), steps: await steps(id) };
    },
    putImages: async (images) => {
      for (const image of images) await db.replaceInto("images").values(imageRow(image)).execute();
    },
    removeImages: async (digests) => {
      if (digests.length > 0)
        await db
          .deleteFrom("images")
          .where("digest", "in", [...digests])
          .execute();
    },
    cycles: cyclesOn(db, options),
    notices: noticesOn(db),
    images: async () => (await db.selectFrom("images").selectAll().orderBy("baked_at", "desc").orderBy("name").execute()).map(imageOf),
    ledger,
    close: () => db.destroy(),
  };
}

/** A bake whose process is gone never said how it ended. */
async function markDied(db: Kysely<CatalogTables>, options: SqliteCatalogOptions): Promise<void> {
  if (options.readOnly === true) return;
  const running = await db.selectFrom("bakes").select(["id", "owner"]).where("outcome", "=", "running").execute();
  const dead = running.filter((row) => !options.isAlive(JSON.parse(row.owner) as Owner)).map((row) => row.id);
  if (dead.length > 0) await db.updateTable("bakes").set({ outcome: "died" }).where("id", "in", dead).execute();
}

const imageRow = (image: CatalogImage): CatalogTables["images"] => ({
  digest: image.digest,
  kind: image.kind,
  name: image.name,
  recipe: image.recipe,
  layer: image.layer,
  parent: image.parent ?? null,
  hermetic: image.hermetic ? 1 : 0,
  size_bytes: image.sizeBytes,
  baked_at: Date.parse(image.bakedAt),
  baked_by: image.bakedBy,
  bake: image.bake,
  tool: image.tool,
  recipe_digest: image.recipeDigest ?? null,
  lock_digest: image.lockDigest ?? null,
  parameters: JSON.stringify(image.parameters),
});

const imageOf = (row: CatalogTables["images"]): CatalogImage => ({
  digest: row.digest as ImageDigest,
  kind: row.kind === "volume" || row.kind === "launch" ? row.kind : "image",
  name: row.name,
  recipe: row.recipe,
  layer: row.layer,
  ...(row.parent === null ? {} : { parent: row.parent as ImageDigest }),
  hermetic: row.hermetic === 1,
  sizeBytes: row.size_bytes,
  bakedAt: new Date(row.baked_at).toISOString(),
  bakedBy: row.baked_by,
  bake: row.bake,
  tool: row.tool,
  ...(row.recipe_digest === null ? {} : { recipeDigest: row.recipe_digest as Sha256 }),
  ...(row.lock_digest === null ? {} : { lockDigest: row.lock_digest as Sha256 }),
  parameters: JSON.parse(row.parameters) as CatalogImage["parameters"],
});

const bakeOf = (row: CatalogTables["bakes"]): CatalogBake => ({
  id: row.id,
  recipe: row.recipe,
  file: row.file,
  startedAt: new Date(row.started_at).toISOString(),
  ...(row.ended_at === null ? {} : { endedAt: new Date(row.ended_at).toISOString() }),
  outcome: row.outcome as CatalogBake["outcome"],
  by: row.baked_by,
  ...(row.message === null ? {} : { message: row.message }),
});

const stepRow = (step: CatalogStep): Omit<CatalogTables["bake_steps"], "position"> => ({
  bake: step.bake,
  address: step.address,
  outcome: step.outcome,
  diff_id: step.diffId ?? null,
  size_bytes: step.sizeBytes ?? null,
  duration_ms: Math.round(step.durationMs),
  reason: step.reason,
});

const stepOf = (row: Omit<CatalogTables["bake_steps"], "position">): CatalogStep => ({
  bake: row.bake,
  address: row.address,
  outcome: row.outcome as CatalogStep["outcome"],
  ...(row.diff_id === null ? {} : { diffId: row.diff_id as Sha256 }),
  ...(row.size_bytes === null ? {} : { sizeBytes: row.size_bytes }),
  durationMs: row.duration_ms,
  reason: row.reason,
});
