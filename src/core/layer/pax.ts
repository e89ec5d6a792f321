import { BakehouseError } from "../errors.ts";
import { rawFromBytes, writeRaw } from "./raw-path.ts";

/**
 * pax extended header records (POSIX.1-2017, pax, "pax Extended Header"): `<length> <keyword>=<value>\n`, where length
 * counts the whole record. Keywords are kept as raw text, values as bytes.
 */
export type PaxRecords = Map<string, Uint8Array>;

const XATTR_PREFIX = "SCHILY.xattr.";

/** GNU tar's way (since 1.33) to keep `=` and `%` of an attribute name apart from the record's own `=`. */
export const xattrKeyword = (name: string): string => XATTR_PREFIX + name.replaceAll("%", "%25").replaceAll("=", "%3D");

/** The attribute that a keyword carries; `undefined` for other keywords. */
export const xattrNameOf = (keyword: string): string | undefined =>
  keyword.startsWith(XATTR_PREFIX) ? keyword.slice(XATTR_PREFIX.length).replaceAll("%3D", "=").replaceAll("%25", "%") : undefined;

function recordLength(payloadBytes: number): number {
  let digits = 1;
  while (String(payloadBytes + digits).length !== digits) digits++;
  return payloadBytes + digits;
}

export function encodePax(records: ReadonlyMap<string, Uint8Array>): Uint8Array {
  // " " + keyword + "=" + value + "\n"
  const lengths = [...records].map(([keyword, value]) => recordLength(keyword.length + value.length + 3));
  const bytes = new Uint8Array(lengths.reduce((sum, length) => sum + length, 0));
  let at = 0;
  let index = 0;
  for (const [keyword, value] of records) {
    const length = lengths[index++] ?? 0;
    const head = `${length} ${keyword}=`;
    writeRaw(bytes, at, head);
    bytes.set(value, at + head.length);
    bytes[at + length - 1] = 0x0a;
    at += length;
  }
  return bytes;
}

/** @throws BakehouseError ARCHIVE_INVALID */
export function decodePax(bytes: Uint8Array): PaxRecords {
  const records: PaxRecords = new Map();
  let at = 0;
  while (at < bytes.length && bytes[at] !== 0) {
    const space = bytes.indexOf(0x20, at);
    const length = space < 0 || space - at > 10 ? Number.NaN : Number(rawFromBytes(bytes, at, space));
    const end = at + length;
    const equals = bytes.indexOf(0x3d, space);
    const sound = Number.isInteger(length) && end <= bytes.length && equals > space && equals < end && bytes[end - 1] === 0x0a;
    if (!sound) throw new BakehouseError("ARCHIVE_INVALID", "A pax header holds a record that does not fit its length");
    records.set(rawFromBytes(bytes, space + 1, equals), bytes.slice(equals + 1, end - 1));
    at = end;
  }
  return records;
}
