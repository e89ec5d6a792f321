import { closeSync, fstatSync, openSync, readSync, writeSync } from "node:fs";
import { setImmediate as nextTurn } from "node:timers/promises";
import { throwIfCancelled } from "../overlay-diffs/run-program.ts";

/** 1 MiB at a time; zeros are found in pieces of 64 KiB, the cluster of a qcow2. */
const BUFFER_BYTES = 1024 * 1024;
const PIECE_BYTES = 64 * 1024;

const buffer = Buffer.allocUnsafeSlow(BUFFER_BYTES);
const ZEROS = Buffer.alloc(PIECE_BYTES);

/** Copies a file into another at a place, leaving out what is zero: the target is new there, so it reads as zeros. */
export async function copySparse(from: string, into: number, position: number, signal: AbortSignal): Promise<void> {
  const source = openSync(from, "r");
  try {
    const { size } = fstatSync(source);
    for (let at = 0; at < size;) {
      const count = readSync(source, buffer, 0, BUFFER_BYTES, at);
      if (count === 0) break;
      writeSparse(into, count, position + at);
      at += count;
      await nextTurn();
      throwIfCancelled(signal);
    }
  } finally {
    closeSync(source);
  }
}

/** Neighbouring pieces that are not zero go out in one write. */
function writeSparse(into: number, count: number, position: number): void {
  let start = -1;
  for (let at = 0; at <= count; at += PIECE_BYTES) {
    const end = Math.min(at + PIECE_BYTES, count);
    const isData = at < count && buffer.compare(ZEROS, 0, end - at, at, end) !== 0;
    if (isData && start < 0) start = at;
    if (!isData && start >= 0) {
      writeAll(into, start, Math.min(at, count), position);
      start = -1;
    }
  }
  if (start >= 0) writeAll(into, start, count, position);
}

function writeAll(into: number, start: number, end: number, position: number): void {
  for (let at = start; at < end;) at += writeSync(into, buffer, at, end - at, position + at);
}
