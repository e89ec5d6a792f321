import { closeSync, fstatSync, openSync, readSync, writeSync } from "node:fs";
import { encodeArtifactRecord, parseArtifactRecord, type ArtifactRecord } from "../../core/artifact/artifact-record.ts";

/**
 * Squashfs and erofs know how long they are, so anything may follow them. After the file system, filled up to whole blocks:
 *
 *     <content listing><record>… zeros …<last line, 64 bytes: "bakehouse-artifact 1 <start> <bytes of listing> <bytes of record>", spaces, "\n">
 */
const BLOCK = 4096;
const LAST_LINE_BYTES = 64;
const LAST_LINE = /^bakehouse-artifact 1 (\d+) (\d+) (\d+) *\n$/;

export function appendRecord(file: string, record: ArtifactRecord, listing: string): void {
  const descriptor = openSync(file, "r+");
  try {
    const start = Math.ceil(fstatSync(descriptor).size / BLOCK) * BLOCK;
    const parts = [Buffer.from(listing), Buffer.from(encodeArtifactRecord(record))];
    const [listingBytes, recordBytes] = parts.map(({ length }) => length) as [number, number];
    const trailer = Buffer.alloc(Math.ceil((listingBytes + recordBytes + LAST_LINE_BYTES) / BLOCK) * BLOCK);
    Buffer.concat(parts).copy(trailer);
    const line = `bakehouse-artifact 1 ${start} ${listingBytes} ${recordBytes}`;
    trailer.write(`${line.padEnd(LAST_LINE_BYTES - 1)}\n`, trailer.length - LAST_LINE_BYTES);
    for (let at = 0; at < trailer.length;) at += writeSync(descriptor, trailer, at, trailer.length - at, start + at);
  } finally {
    closeSync(descriptor);
  }
}

/** What `appendRecord` wrote; `undefined` for a file that has none. */
export function readRecordAtEnd(file: string): { readonly record: ArtifactRecord; readonly listing: string } | undefined {
  const descriptor = openSync(file, "r");
  try {
    const { size } = fstatSync(descriptor);
    const read = (position: number, length: number): string => {
      const bytes = Buffer.alloc(length);
      return bytes.toString("utf8", 0, readSync(descriptor, bytes, 0, length, position));
    };
    const line = size < LAST_LINE_BYTES ? null : LAST_LINE.exec(read(size - LAST_LINE_BYTES, LAST_LINE_BYTES));
    if (line === null) return undefined;
    const [start = 0, listingBytes = 0, recordBytes = 0] = line.slice(1).map(Number);
    if (start + listingBytes + recordBytes > size) return undefined;
    const record = parseArtifactRecord(read(start + listingBytes, recordBytes));
    return record === undefined ? undefined : { record, listing: read(start, listingBytes) };
  } finally {
    closeSync(descriptor);
  }
}
