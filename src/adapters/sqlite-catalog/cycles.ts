import type { Kysely } from "kysely";
import type { Cause } from "../../core/cycle/decide.ts";
import type { JsonValue } from "../../core/json.ts";
import type { Candidate, CycleRecords, CycleRun, KnownCycle, RunStage } from "../../ports/cycle-records.ts";
import type { Owner } from "../../ports/store.ts";
import { addNotices } from "./notices.ts";
import type { CatalogTables } from "./schema.ts";

interface CyclesOptions {
  readonly owner: Owner;
  isAlive(owner: Owner): boolean;
}

/** Cycles and their runs. A run belongs to the process in `owner`; whoever finds that process gone may take the run over. */
export function cyclesOn(db: Kysely<CatalogTables>, options: CyclesOptions): CycleRecords {
  const owner = JSON.stringify(options.owner);
  const save = (on: Kysely<CatalogTables>, cycle: KnownCycle): Promise<unknown> =>
    on.replaceInto("cycles").values(cycleRow(cycle)).execute();
  return {
    known: async () => (await db.selectFrom("cycles").selectAll().orderBy("file").execute()).map(cycleOf),
    find: async (file) => {
      const row = await db.selectFrom("cycles").selectAll().where("file", "=", file).executeTakeFirst();
      return row === undefined ? undefined : cycleOf(row);
    },
    save: async (cycle) => void (await save(db, cycle)),
    begin: (run, cycle, notices) =>
      db.transaction().execute(async (transaction) => {
        const claimed = await transaction
          .insertInto("cycle_runs")
          .values({ ...runRow(run), owner })
          .onConflict((conflict) => conflict.columns(["file", "slot"]).doNothing())
          .executeTakeFirst();
        if ((claimed.numInsertedOrUpdatedRows ?? 0n) === 0n) return false;
        await save(transaction, cycle);
        await addNotices(transaction, notices);
        return true;
      }),
    takeOver: (id) =>
      db.transaction().execute(async (transaction) => {
        const row = await transaction.selectFrom("cycle_runs").select(["owner", "outcome"]).where("id", "=", id).executeTakeFirst();
        const isFree = row !== undefined && (row.outcome === "paused" || row.outcome === "running") && !isHeld(row.owner, options);
        if (!isFree) return false;
        await transaction
          .updateTable("cycle_runs")
          .set(({ eb }) => ({ owner, outcome: "running", message: null, resumed: eb("resumed", "+", 1) }))
          .where("id", "=", id)
          .execute();
        return true;
      }),
    pause: async (id, message) =>
      void (await db.updateTable("cycle_runs").set({ owner: null, outcome: "paused", message }).where("id", "=", id).execute()),
    startStage: async (run, { stage, startedAt, data }) =>
      void (await db
        .replaceInto("cycle_stages")
        .values({ run, stage, started_at: Date.parse(startedAt), ended_at: null, outcome: "running", data: JSON.stringify(data) })
        .execute()),
    endStage: async (run, { stage, outcome, endedAt, data }) =>
      void (await db
        .updateTable("cycle_stages")
        .set({ outcome, ended_at: Date.parse(endedAt), data: JSON.stringify(data) })
        .where("run", "=", run)
        .where("stage", "=", stage)
        .execute()),
    end: (id, { outcome, message, candidates, channel, endedAt }, notices) =>
      db.transaction().execute(async (transaction) => {
        await transaction
          .updateTable("cycle_runs")
          .set({
            outcome,
            message: message ?? null,
            candidates: JSON.stringify(candidates),
            channel: channel ?? null,
            ended_at: Date.parse(endedAt),
            owner: null,
          })
          .where("id", "=", id)
          .execute();
        await addNotices(transaction, notices);
      }),
    stages: async (run) =>
      (await db.selectFrom("cycle_stages").selectAll().where("run", "=", run).orderBy("started_at").execute()).map(stageOf),
    runs: async ({ file, limit = 20 } = {}) => {
      const all = db.selectFrom("cycle_runs").selectAll();
      const rows = await (file === undefined ? all : all.where("file", "=", file))
        .orderBy("started_at", "desc")
        .orderBy("id", "desc")
        .limit(limit)
        .execute();
      return rows.map((row) => ({ ...runOf(row), alive: row.outcome === "running" && isHeld(row.owner, options) }));
    },
  };
}

const isHeld = (owner: string | null, { isAlive }: CyclesOptions): boolean => owner !== null && isAlive(JSON.parse(owner) as Owner);

const time = (ms: number): string => new Date(ms).toISOString();

const cycleRow = (cycle: KnownCycle): CatalogTables["cycles"] => ({
  file: cycle.file,
  recipe: cycle.recipe,
  considered: cycle.considered.getTime(),
  looked_at: cycle.lookedAt?.getTime() ?? null,
  found: JSON.stringify(cycle.found),
});

const cycleOf = (row: CatalogTables["cycles"]): KnownCycle => ({
  file: row.file,
  recipe: row.recipe,
  considered: new Date(row.considered),
  ...(row.looked_at === null ? {} : { lookedAt: new Date(row.looked_at) }),
  found: JSON.parse(row.found) as KnownCycle["found"],
});

/** JSON knows no dates: a cause's slot is kept in milliseconds. */
const runRow = (run: CycleRun): Omit<CatalogTables["cycle_runs"], "owner"> => ({
  id: run.id,
  file: run.file,
  recipe: run.recipe,
  slot: run.causes.flatMap((cause) => (cause.kind === "schedule" ? [cause.slot.getTime()] : []))[0] ?? null,
  causes: JSON.stringify(run.causes.map((cause) => (cause.kind === "schedule" ? { ...cause, slot: cause.slot.getTime() } : cause))),
  started_at: Date.parse(run.startedAt),
  ended_at: null,
  outcome: run.outcome,
  message: run.message ?? null,
  run_by: run.by,
  resumed: run.resumed,
  candidates: JSON.stringify(run.candidates),
  channel: run.channel ?? null,
});

const causesOf = (text: string): readonly Cause[] =>
  (JSON.parse(text) as readonly (Cause | { readonly kind: "schedule"; readonly slot: number; readonly missed: number })[]).map((cause) =>
    cause.kind === "schedule" ? { ...cause, slot: new Date(cause.slot) } : cause,
  );

const runOf = (row: CatalogTables["cycle_runs"]): CycleRun => ({
  id: row.id,
  file: row.file,
  recipe: row.recipe,
  causes: causesOf(row.causes),
  startedAt: time(row.started_at),
  ...(row.ended_at === null ? {} : { endedAt: time(row.ended_at) }),
  outcome: row.outcome as CycleRun["outcome"],
  ...(row.message === null ? {} : { message: row.message }),
  by: row.run_by,
  resumed: row.resumed,
  candidates: JSON.parse(row.candidates) as readonly Candidate[],
  ...(row.channel === null ? {} : { channel: row.channel }),
});

const stageOf = (row: CatalogTables["cycle_stages"]): RunStage => ({
  stage: row.stage as RunStage["stage"],
  startedAt: time(row.started_at),
  ...(row.ended_at === null ? {} : { endedAt: time(row.ended_at) }),
  outcome: row.outcome as RunStage["outcome"],
  data: JSON.parse(row.data) as JsonValue,
});
