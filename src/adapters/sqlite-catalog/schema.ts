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
}

/** Raise it together with a migration below. */
export const CATALOG_VERSION = 1;

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
];
