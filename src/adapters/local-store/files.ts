import { mkdirSync, readFileSync, readdirSync, renameSync, rmSync, statfsSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { BakehouseError } from "../../core/errors.ts";

let counter = 0;

/**
 * `mkdir -p`, one level after the other: Node's own recursive mkdir never returns below /proc (seen with 24.21).
 */
export function makeFolder(path: string): void {
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory()) return;
  if (dirname(path) !== path) makeFolder(dirname(path));
  try {
    mkdirSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error; // another process was quicker
  }
}

/** A name beside `path` that no other writer uses. */
export const temporaryBeside = (path: string): string => join(dirname(path), `.tmp-${process.pid}-${Date.now().toString(36)}-${counter++}`);

/** Readers see the old content or the new, never a part. */
export function writeAtomically(path: string, content: string | Uint8Array, mode = 0o666): void {
  const temporary = temporaryBeside(path);
  try {
    writeFileSync(temporary, content, { mode });
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw storeError(error, path);
  }
}

export function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR") return undefined;
    throw error;
  }
}

/** Undefined too when it is not JSON: a record that cannot be read is a record that is not there. */
export function readJsonIfThere(path: string): unknown {
  const text = readIfThere(path);
  if (text === undefined) return undefined;
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

export function namesIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
}

/** Moves a finished file or directory to its place; if that is taken, the content is the same and ours is dropped. */
export function adopt(from: string, to: string): void {
  try {
    makeFolder(dirname(to));
    renameSync(from, to);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== "ENOTEMPTY" && code !== "EEXIST") throw storeError(error, to);
    rmSync(from, { recursive: true, force: true });
  }
}

/** Says what a failed write to the store means. Other errors pass as they are. */
export function storeError(error: unknown, path: string): unknown {
  if (error instanceof BakehouseError) return error;
  const { code } = error as NodeJS.ErrnoException;
  const sqlite = sqliteCode(error);
  if (code === "ENOSPC" || code === "EDQUOT" || sqlite === SQLITE.full || (sqlite === SQLITE.ioError && isDiskFull(dirname(path))))
    return new BakehouseError(
      "STORE_FULL",
      `No space left to write ${path}`,
      { hint: "bakehouse gc --apply, or a store on a larger disk: --store DIR" },
      error,
    );
  if (
    code === "EROFS" ||
    code === "EACCES" ||
    code === "EPERM" ||
    (code === "ENOENT" && path.startsWith("/proc/")) ||
    sqlite === SQLITE.readOnly ||
    sqlite === SQLITE.cannotOpen
  )
    return new BakehouseError(
      "STORE_READ_ONLY",
      `Cannot write ${path}: ${(error as Error).message}`,
      { hint: "use a store that you may write to: --store DIR, or run as root" },
      error,
    );
  return error;
}

/** Primary result codes, sqlite.org/rescode.html. */
const SQLITE = { readOnly: 8, ioError: 10, full: 13, cannotOpen: 14 } as const;

const sqliteCode = (error: unknown): number | undefined => {
  const { code, errcode } = error as { readonly code?: string; readonly errcode?: number };
  return code === "ERR_SQLITE_ERROR" && errcode !== undefined ? errcode & 0xff : undefined;
};

/** Less than a page of SQLite or a record needs. */
const FULL_BYTES = 64 * 1024;

/** Whether next to nothing can be written on the disk that holds a folder. */
export function isDiskFull(folder: string): boolean {
  const { bavail, bsize, files, ffree } = statfsSync(folder);
  return bavail * bsize < FULL_BYTES || (files > 0 && ffree === 0); // some file systems do not count files
}
