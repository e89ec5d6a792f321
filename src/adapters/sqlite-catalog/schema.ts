import type { Generated } from "kysely";

/** Tables of the catalog. Times are milliseconds since 1970; booleans 0 or 1; JSON is text; the same on every engine. */
export interface CatalogTables {
  readonly images: {
    digest: string;
    kind: string;
    name: string;
    recipe: string;
    layer: string;
    parent: string | null;
    hermetic: number;
    size_bytes: number;
    baked_at: number;
    baked_by: string;
    bake: string;
    tool: string;
    recipe_digest: string | null;
    lock_digest: string | null;
    parameters: string;
  };
  readonly bakes: {
    id: string;
    recipe: string;
    file: string;
    started_at: number;
    ended_at: number | null;
    outcome: string;
    baked_by: string;
    message: string | null;
    /** JSON of the Owner that runs it, to tell a running bake from one that died. */
    owner: string;
  };
  readonly bake_steps: {
    position: Generated<number>;
    bake: string;
    address: string;
    outcome: string;
    diff_id: string | null;
    size_bytes: number | null;
    duration_ms: number;
    reason: string;
  };
  /** The audit log; see core/audit/record.ts. The tables below follow from it, and from nothing else. */
  readonly audit: {
    sequence: number;
    at: number;
    who: string;
    action: string;
    subject: string;
    /** JSON. */
    details: string;
    previous: string;
    hash: string;
  };
  /** How far the copy beside the catalog goes: at most one row. */
  readonly audit_mirror: { sequence: number; bytes: number };
  /** Where each channel points. `sequence`: the record that moved it. */
  readonly channels: { name: string; channel: string; digest: string; sequence: number; since: number; who: string; emergency: number };
  readonly moves: {
    sequence: number;
    name: string;
    channel: string;
    kind: string;
    digest: string | null;
    at: number;
    who: string;
    /** JSON of the MachineClock. */
    clock: string | null;
    emergency: number;
  };
  readonly approvals: { sequence: number; digest: string; channel: string; person: string; who: string; at: number };
  readonly revocations: {
    sequence: number;
    digest: string;
    name: string;
    reason: string;
    starts_at: number;
    who: string;
    at: number;
    /** JSON: a list of digests. */
    reaches: string;
  };
  /** JSON of the ChannelPolicy that was declared last. */
  readonly policies: { recipe: string; sequence: number; policy: string };
  readonly cycles: CycleTables["cycles"];
  readonly cycle_runs: CycleTables["cycle_runs"];
  readonly cycle_stages: CycleTables["cycle_stages"];
  readonly notices: CycleTables["notices"];
  readonly deliveries: CycleTables["deliveries"];
}

/** Recipes that are baked again by themselves, their runs, and what was told of them. */
export interface CycleTables {
  readonly cycles: {
    /** Absolute path of the recipe. */
    file: string;
    recipe: string;
    considered: number;
    looked_at: number | null;
    /** JSON of the findings. */
    found: string;
  };
  readonly cycle_runs: {
    id: string;
    file: string;
    recipe: string;
    /** The run of the schedule that this is; one of each, whoever makes it. */
    slot: number | null;
    causes: string;
    started_at: number;
    ended_at: number | null;
    outcome: string;
    message: string | null;
    run_by: string;
    resumed: number;
    candidates: string;
    channel: string | null;
    /** JSON of the Owner that is at it; null when nobody is. */
    owner: string | null;
  };
  readonly cycle_stages: {
    run: string;
    stage: string;
    started_at: number;
    ended_at: number | null;
    outcome: string;
    data: string;
  };
  readonly notices: { id: string; at: number; type: string; subject: string; body: string };
  readonly deliveries: {
    notice: string;
    file: string;
    target: string;
    outcome: string;
    attempts: number;
    message: string | null;
  };
}

/** Raise it together with a migration below. */
export const CATALOG_VERSION = 3;

/** Run once, in order, each on a catalog whose `user_version` is its index. */
export const MIGRATIONS: readonly string[] = [
  `CREATE TABLE images (digest TEXT PRIMARY KEY, kind TEXT NOT NULL, name TEXT NOT NULL, recipe TEXT NOT NULL, layer TEXT NOT NULL, parent TEXT,
     hermetic INTEGER NOT NULL, size_bytes INTEGER NOT NULL, baked_at INTEGER NOT NULL, baked_by TEXT NOT NULL, bake TEXT NOT NULL, tool TEXT NOT NULL,
     recipe_digest TEXT, lock_digest TEXT, parameters TEXT NOT NULL);
   CREATE INDEX images_by_name ON images (name, baked_at);
   CREATE INDEX images_by_parent ON images (parent);
   CREATE TABLE bakes (id TEXT PRIMARY KEY, recipe TEXT NOT NULL, file TEXT NOT NULL, started_at INTEGER NOT NULL, ended_at INTEGER, outcome TEXT NOT NULL,
     baked_by TEXT NOT NULL, message TEXT, owner TEXT NOT NULL);
   CREATE TABLE bake_steps (position INTEGER PRIMARY KEY, bake TEXT NOT NULL REFERENCES bakes (id), address TEXT NOT NULL, outcome TEXT NOT NULL, diff_id TEXT,
     size_bytes INTEGER, duration_ms INTEGER NOT NULL, reason TEXT NOT NULL);
   CREATE INDEX bake_steps_by_bake ON bake_steps (bake)`,
  `CREATE TABLE audit (sequence BIGINT PRIMARY KEY, at BIGINT NOT NULL, who TEXT NOT NULL, action TEXT NOT NULL, subject TEXT NOT NULL, details TEXT NOT NULL,
     previous TEXT NOT NULL, hash TEXT NOT NULL UNIQUE);
   CREATE INDEX audit_by_subject ON audit (subject, sequence);
   CREATE TABLE audit_mirror (sequence BIGINT NOT NULL, bytes BIGINT NOT NULL);
   CREATE TABLE channels (name TEXT NOT NULL, channel TEXT NOT NULL, digest TEXT NOT NULL, sequence BIGINT NOT NULL, since BIGINT NOT NULL, who TEXT NOT NULL,
     emergency SMALLINT NOT NULL, PRIMARY KEY (name, channel));
   CREATE TABLE moves (sequence BIGINT PRIMARY KEY, name TEXT NOT NULL, channel TEXT NOT NULL, kind TEXT NOT NULL, digest TEXT, at BIGINT NOT NULL,
     who TEXT NOT NULL, clock TEXT, emergency SMALLINT NOT NULL);
   CREATE INDEX moves_by_channel ON moves (name, channel, sequence);
   CREATE TABLE approvals (sequence BIGINT PRIMARY KEY, digest TEXT NOT NULL, channel TEXT NOT NULL, person TEXT NOT NULL, who TEXT NOT NULL, at BIGINT NOT NULL,
     UNIQUE (digest, channel, person));
   CREATE TABLE revocations (sequence BIGINT PRIMARY KEY, digest TEXT NOT NULL UNIQUE, name TEXT NOT NULL, reason TEXT NOT NULL, starts_at BIGINT NOT NULL,
     who TEXT NOT NULL, at BIGINT NOT NULL, reaches TEXT NOT NULL);
   CREATE TABLE policies (recipe TEXT PRIMARY KEY, sequence BIGINT NOT NULL, policy TEXT NOT NULL)`,
  `CREATE TABLE cycles (file TEXT PRIMARY KEY, recipe TEXT NOT NULL, considered BIGINT NOT NULL, looked_at BIGINT, found TEXT NOT NULL);
   CREATE TABLE cycle_runs (id TEXT PRIMARY KEY, file TEXT NOT NULL, recipe TEXT NOT NULL, slot BIGINT, causes TEXT NOT NULL, started_at BIGINT NOT NULL,
     ended_at BIGINT, outcome TEXT NOT NULL, message TEXT, run_by TEXT NOT NULL, resumed BIGINT NOT NULL, candidates TEXT NOT NULL, channel TEXT, owner TEXT);
   CREATE UNIQUE INDEX cycle_runs_by_slot ON cycle_runs (file, slot);
   CREATE INDEX cycle_runs_by_time ON cycle_runs (started_at);
   CREATE TABLE cycle_stages (run TEXT NOT NULL REFERENCES cycle_runs (id), stage TEXT NOT NULL, started_at BIGINT NOT NULL, ended_at BIGINT,
     outcome TEXT NOT NULL, data TEXT NOT NULL, PRIMARY KEY (run, stage));
   CREATE TABLE notices (id TEXT PRIMARY KEY, at BIGINT NOT NULL, type TEXT NOT NULL, subject TEXT NOT NULL, body TEXT NOT NULL);
   CREATE INDEX notices_by_time ON notices (at);
   CREATE TABLE deliveries (notice TEXT NOT NULL REFERENCES notices (id), file TEXT NOT NULL, target TEXT NOT NULL, outcome TEXT NOT NULL,
     attempts BIGINT NOT NULL, message TEXT, PRIMARY KEY (notice, file, target));
   CREATE INDEX deliveries_by_outcome ON deliveries (outcome)`,
];
