import { closeSync, fstatSync, mkdirSync, openSync, readFileSync, readSync, renameSync, rmSync, writeFileSync } from "node:fs";
import type { Stats } from "node:fs";
import { createHash, randomBytes } from "node:crypto";
import { dirname } from "node:path";
import type { Sha256 } from "../../core/digest.ts";

/**
 * Remembers the digests of files by what stat(2) says about them, so that an unchanged tree is not read again. One file:
 *
 *     {"version":2,"files":{"/abs/path":[size,mtimeMs,ctimeMs,ino,hashedAtMs,"64 hex"], …}}
 *
 * Times are milliseconds with a fraction, exact to a quarter of a microsecond: bigints would double the time of a run in
 * which nothing changed. Nobody locks it: it is replaced by rename, the last writer wins,
 * and what is lost is hashed again. A file that cannot be read or written costs time and nothing else.
 */
export interface StatCache {
  /** @param stats of this path, taken just now */
  digestOf(hostPath: string, stats: Stats): Sha256;
  /** Writes what was learned; does nothing if nothing was. */
  save(): void;
}

type Row = readonly [size: number, mtimeMs: number, ctimeMs: number, ino: number, hashedAtMs: number, hex: string];

/**
 * A file whose times lie this close to the moment it was hashed could have been changed once more within the same tick
 * of the file system's clock, without any time moving. Coarsest tick in use: 2 s (FAT, some network file systems).
 */
const RACY_MS = 2000;
/** Entries of other recipes are kept up to this many; a guess that keeps the file below 4 MB. */
const MAX_STRANGERS = 20_000;
/** Small enough for memory, large enough that calls do not count. */
const CHUNK_BYTES = 1 << 20;

export function openStatCache(file: string): StatCache {
  const rows = load(file);
  const seen = new Set<string>();
  let learned = false;

  return {
    digestOf(hostPath, stats) {
      seen.add(hostPath);
      const row = rows.get(hostPath);
      if (row !== undefined && isSame(row, stats)) return `sha256:${row[5]}`;
      const hashed = hashFile(hostPath);
      rows.set(hostPath, hashed.row);
      learned = true;
      return hashed.digest;
    },
    save() {
      if (!learned) return;
      learned = false;
      store(file, withoutStrangers(rows, seen));
    },
  };
}

function isSame(row: Row, stats: Stats): boolean {
  const [size, mtimeMs, ctimeMs, ino, hashedAtMs] = row;
  if (size !== stats.size || ino !== stats.ino || mtimeMs !== stats.mtimeMs || ctimeMs !== stats.ctimeMs) return false;
  // The change time cannot be set, so one ahead of the clock is as suspicious; a modification time may be any.
  return hashedAtMs - ctimeMs > RACY_MS && Math.abs(hashedAtMs - mtimeMs) > RACY_MS;
}

function hashFile(hostPath: string): { digest: Sha256; row: Row } {
  // Before the first byte is read: what changes later is newer than this.
  const hashedAtMs = Date.now();
  const file = openSync(hostPath, "r");
  try {
    const stats = fstatSync(file);
    const hash = createHash("sha256");
    const chunk = Buffer.allocUnsafe(Math.min(stats.size + 1, CHUNK_BYTES));
    for (let bytes = readSync(file, chunk); bytes > 0; bytes = readSync(file, chunk)) hash.update(chunk.subarray(0, bytes));
    const hex = hash.digest("hex");
    return {
      digest: `sha256:${hex}`,
      row: [stats.size, stats.mtimeMs, stats.ctimeMs, stats.ino, hashedAtMs, hex],
    };
  } finally {
    closeSync(file);
  }
}

function load(file: string): Map<string, Row> {
  try {
    const content: unknown = JSON.parse(readFileSync(file, "utf8"));
    if (!isObject(content) || content["version"] !== 2 || !isObject(content["files"])) return new Map();
    const entries = Object.entries(content["files"]);
    return new Map(entries.filter((entry): entry is [string, Row] => isRow(entry[1])));
  } catch {
    return new Map(); // absent or damaged: everything is hashed again
  }
}

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null;

const isRow = (value: unknown): value is Row =>
  Array.isArray(value) &&
  value.length === 6 &&
  value.slice(0, 5).every((part) => typeof part === "number") &&
  /^[0-9a-f]{64}$/.test(String(value[5]));

function withoutStrangers(rows: ReadonlyMap<string, Row>, seen: ReadonlySet<string>): ReadonlyMap<string, Row> {
  if (rows.size - seen.size <= MAX_STRANGERS) return rows;
  return new Map([...rows].filter(([path]) => seen.has(path)));
}

function store(file: string, rows: ReadonlyMap<string, Row>): void {
  const temporary = `${file}.${process.pid}.${randomBytes(4).toString("hex")}.tmp`;
  try {
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(temporary, JSON.stringify({ version: 2, files: Object.fromEntries(rows) }));
    renameSync(temporary, file);
  } catch {
    discard(temporary); // a read-only or full store: hashed again next time
  }
}

function discard(temporary: string): void {
  try {
    rmSync(temporary, { force: true });
  } catch {
    // Its folder could not be made either.
  }
}
