import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { join } from "node:path";
import type { BakeLogs } from "../../ports/bake-logs.ts";
import { namesIn, readIfThere } from "../local-store/files.ts";

/** Reads what `openBakeLog` writes. @param folder  `<store>/logs` */
export function bakeLogs(folder: string): BakeLogs {
  return {
    // ids begin with the time
    list: () => [...namesIn(folder)].sort().reverse(),
    readText: (bake, from) => readLines(join(folder, bake, "log.txt"), from),
    readEvents: (bake) => (readIfThere(join(folder, bake, "events.jsonl")) ?? "").split("\n").flatMap(parsed),
    path: (bake) => join(folder, bake, "log.txt"),
  };
}

function readLines(file: string, from: number): { readonly lines: readonly string[]; readonly next: number } {
  const bytes = bytesFrom(file, from);
  const end = bytes.lastIndexOf(0x0a) + 1;
  const text = bytes.subarray(0, end).toString("utf8");
  return { lines: text === "" ? [] : text.slice(0, -1).split("\n"), next: from + end };
}

/** A bake that printed nothing has no file. */
function bytesFrom(file: string, from: number): Buffer {
  let descriptor: number;
  try {
    descriptor = openSync(file, "r");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return Buffer.alloc(0);
    throw error;
  }
  try {
    const bytes = Buffer.alloc(Math.max(0, fstatSync(descriptor).size - from));
    return bytes.subarray(0, readSync(descriptor, bytes, 0, bytes.length, from));
  } finally {
    closeSync(descriptor);
  }
}

/** The last line of a bake that was killed may be cut off. */
function parsed(line: string): readonly unknown[] {
  try {
    return line === "" ? [] : [JSON.parse(line) as unknown];
  } catch {
    return [];
  }
}
