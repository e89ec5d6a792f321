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
}

/** Raise it together with a migration below. */
export const CATALOG_VERSION = 2;

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
];
