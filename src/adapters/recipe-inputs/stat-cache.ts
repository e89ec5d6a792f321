import { closeSync, fstatSync, mkdirSync, openSync, readFileSync, readSync, renameSync, rmSync, writeFileSync } from "node:fs";
import type { BigIntStats } from "node:fs";
import { createHash, randomBytes } from "node:crypto";
import { dirname } from "node:path";
import type { Sha256 } from "../../core/digest.ts";

/**
 * Remembers the digests of files by what stat(2) says about them, so that an unchanged tree is not read again. One file:
 *
 *     {"version":1,"files":{"/abs/path":[size,mtimeNs,ctimeNs,ino,hashedAtMs,"64 hex"], …}}
 *
 * Times are decimal strings (they do not fit a double). Nobody locks it: it is replaced by rename, the last writer wins,
 * and what is lost is hashed again. A file that cannot be read or written costs time and nothing else.
 */
export interface StatCache {
  /** @param stats of this path, taken just now */
  digestOf(hostPath: string, stats: BigIntStats): Sha256;
  /** Writes what was learned; does nothing if nothing was. */
  save(): void;
}

type Row = readonly [size: string, mtimeNs: string, ctimeNs: string, ino: string, hashedAtMs: number, hex: string];

/**
 * A file whose times lie this close to the moment it was hashed could have been changed once more within the same tick
 * of the file system's clock, without any time moving. Coarsest tick in use: 2 s (FAT, some network file systems).
 */
const RACY_NS = 2_000_000_000n;
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

function isSame(row: Row, stats: BigIntStats): boolean {
  const [size, mtimeNs, ctimeNs, ino, hashedAtMs] = row;
  if (size !== String(stats.size) || ino !== String(stats.ino)) return false;
  if (mtimeNs !== String(stats.mtimeNs) || ctimeNs !== String(stats.ctimeNs)) return false;
  const hashedAtNs = BigInt(hashedAtMs) * 1_000_000n;
  const sinceWrite = hashedAtNs - stats.mtimeNs;
  return hashedAtNs - stats.ctimeNs > RACY_NS && (sinceWrite > RACY_NS || sinceWrite < -RACY_NS);
}

function hashFile(hostPath: string): { digest: Sha256; row: Row } {
  // Before the first byte is read: what changes later is newer than this.
  const hashedAtMs = Date.now();
  const file = openSync(hostPath, "r");
  try {
    const stats = fstatSync(file, { bigint: true });
    const hash = createHash("sha256");
    const chunk = Buffer.allocUnsafe(Number(stats.size < CHUNK_BYTES ? stats.size + 1n : CHUNK_BYTES));
    for (let bytes = readSync(file, chunk); bytes > 0; bytes = readSync(file, chunk)) hash.update(chunk.subarray(0, bytes));
    const hex = hash.digest("hex");
    return {
      digest: `sha256:${hex}`,
      row: [String(stats.size), String(stats.mtimeNs), String(stats.ctimeNs), String(stats.ino), hashedAtMs, hex],
    };
  } finally {
    closeSync(file);
  }
}

function load(file: string): Map<string, Row> {
  try {
    const content: unknown = JSON.parse(readFileSync(file, "utf8"));
    if (!isObject(content) || content["version"] !== 1 || !isObject(content["files"])) return new Map();
    const entries = Object.entries(content["files"]);
    return new Map(entries.filter((entry): entry is [string, Row] => isRow(entry[1])));
  } catch {
    return new Map(); // absent or damaged: everything is hashed again
  }
}

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null;

const isRow = (value: unknown): value is Row =>
  Array.isArray(value) && value.length === 6 && typeof value[4] === "number" && typeof value[5] === "string" && value[5].length === 64;

function withoutStrangers(rows: ReadonlyMap<string, Row>, seen: ReadonlySet<string>): ReadonlyMap<string, Row> {
  if (rows.size - seen.size <= MAX_STRANGERS) return rows;
  return new Map([...rows].filter(([path]) => seen.has(path)));
}

function store(file: string, rows: ReadonlyMap<string, Row>): void {
  const temporary = `${file}.${process.pid}.${randomBytes(4).toString("hex")}.tmp`;
  try {
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(temporary, JSON.stringify({ version: 1, files: Object.fromEntries(rows) }));
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
