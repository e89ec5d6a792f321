import { rmSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { setTimeout as sleep } from "node:timers/promises";
import type { Owner } from "../../ports/store.ts";
import { isAlive, thisProcess } from "./owners.ts";
import { storeError } from "./files.ts";

/**
 * Named locks with owners, in a small SQLite file of their own: SQLite's write lock makes "look whether the owner is dead,
 * then take over" one step, which files alone cannot do.
 */
export interface Locks {
  /** Takes the lock, waiting for a living owner. Nested use of one name by one process waits as well. */
  acquire(name: string, options: { readonly signal?: AbortSignal; onWait?(owner: Owner): void }): Promise<{ release(): void }>;
  close(): void;
}

/** How long to wait before asking again: short, since most are held for milliseconds. A guess. */
const POLL_MS = 40;

export function openLocks(file: string): Locks {
  const database = openDatabase(file);
  const find = database.prepare("SELECT token, owner FROM locks WHERE name = ?");
  const take = database.prepare(
    "INSERT INTO locks (name, token, owner) VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE SET token = excluded.token, owner = excluded.owner",
  );
  const drop = database.prepare("DELETE FROM locks WHERE name = ? AND token = ?");

  /** Released, but still in the file: on a full disk not even that can be written. Others see it as held until this process ends. */
  const stuck = new Set<string>();

  const tryTake = (name: string, token: string): Owner | undefined => {
    try {
      database.exec("BEGIN IMMEDIATE");
      const held = find.get(name) as { token: string; owner: string } | undefined;
      const owner = held === undefined || stuck.has(held.token) ? undefined : (JSON.parse(held.owner) as Owner);
      const free = owner === undefined || !isAlive(owner);
      if (free) take.run(name, token, JSON.stringify(thisProcess(name)));
      database.exec("COMMIT");
      return free ? undefined : owner;
    } catch (error) {
      if (database.isTransaction) database.exec("ROLLBACK"); // SQLite has done so itself after some errors
      throw storeError(error, file);
    }
  };

  const release = (name: string, token: string): void => {
    try {
      drop.run(name, token);
    } catch {
      stuck.add(token); // what is wrong with the disk shows where something is written that counts
    }
  };

  return {
    async acquire(name, { signal, onWait }) {
      const token = crypto.randomUUID();
      let told = false;
      for (let owner = tryTake(name, token); owner !== undefined; owner = tryTake(name, token)) {
        if (!told) onWait?.(owner);
        told = true;
        await sleep(POLL_MS, undefined, signal === undefined ? {} : { signal });
      }
      return { release: () => release(name, token) };
    },
    close: () => database.close(),
  };
}

function openDatabase(file: string): DatabaseSync {
  try {
    return prepared(file);
  } catch (error) {
    if (!/not a database|malformed/.test(String(error))) throw storeError(error, file);
    // Locks tell only of running processes. Should one be running now, the diffs that both make are still the same.
    for (const suffix of ["", "-wal", "-shm"]) rmSync(file + suffix, { force: true });
    return prepared(file);
  }
}

function prepared(file: string): DatabaseSync {
  const database = new DatabaseSync(file);
  database.exec("PRAGMA busy_timeout = 10000; PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF");
  database.exec("CREATE TABLE IF NOT EXISTS locks (name TEXT PRIMARY KEY, token TEXT NOT NULL, owner TEXT NOT NULL)");
  return database;
}
