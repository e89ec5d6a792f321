import { BakehouseError } from "../errors.ts";
import type { TarEntry, TarEntryKind } from "./model.ts";
import { encodePax, xattrKeyword } from "./pax.ts";
import { bytesOfRaw, isUtf8, rawFromBytes, type RawPath, writeRaw } from "./raw-path.ts";
import { BLOCK, fitsOctal, paddingOf, readNumber, writeOctal } from "./tar-numbers.ts";

/**
 * The ustar header block (POSIX.1-2017, pax, "ustar Interchange Format"), offset and width in bytes:
 *
 *   name 0/100   mode 100/8   uid 108/8   gid 116/8   size 124/12   mtime 136/12   checksum 148/8   type 156/1
 *   link 157/100   magic "ustar\0" 257/6   version "00" 263/2   user 265/32   group 297/32   major 329/8   minor 337/8
 *   prefix 345/155
 *
 * We leave user and group names empty, and put a pax header in front only for what the block cannot hold, so that one
 * entry has exactly one form. Names that are not UTF-8 stand in the block as they are, which every reader takes.
 */
const TYPE_FLAGS: Readonly<Record<TarEntryKind, string>> = {
  file: "0",
  hardlink: "1",
  symlink: "2",
  "character-device": "3",
  "block-device": "4",
  directory: "5",
  fifo: "6",
};
const KIND_OF_FLAG = new Map<string, TarEntryKind>(Object.entries(TYPE_FLAGS).map(([kind, flag]) => [flag, kind as TarEntryKind]));
const NAME_BYTES = 100;
const PREFIX_BYTES = 155;
/** Readers that know no pax write the records to a file of this name. */
const PAX_NAME = "././@PaxHeader";

const encoder = new TextEncoder();

/** The blocks in front of an entry's content: a pax header where one is needed, then the ustar header. */
export function encodeHeader(entry: TarEntry): Uint8Array {
  const name = tarName(entry);
  const split = splitName(name);
  const records = paxRecords(entry, split === undefined ? name : undefined);
  if (records.size === 0) return ustarBlock(entry, split ?? { prefix: "", name });
  const payload = encodePax(records);
  const padded = payload.length + paddingOf(payload.length);
  const blocks = new Uint8Array(BLOCK + padded + BLOCK);
  blocks.set(paxBlock(payload.length));
  blocks.set(payload, BLOCK);
  blocks.set(ustarBlock(entry, split ?? { prefix: "", name: name.slice(0, NAME_BYTES) }), BLOCK + padded);
  return blocks;
}

/** A remark about the whole archive, in front of its first entry: a global header with the one keyword that every reader knows to pass over. */
export function encodeRemark(remark: string): Uint8Array {
  const payload = encodePax(new Map([["comment", encoder.encode(remark)]]));
  const blocks = new Uint8Array(BLOCK + payload.length + paddingOf(payload.length));
  blocks.set(paxBlock(payload.length, "g"));
  blocks.set(payload, BLOCK);
  return blocks;
}

const tarName = (entry: TarEntry): RawPath => {
  if (entry.path === "") return "./";
  return entry.kind === "directory" ? `${entry.path}/` : entry.path;
};

/** Splits at the last slash that leaves at most 155 bytes in front and 100 behind. */
function splitName(name: RawPath): { readonly prefix: RawPath; readonly name: RawPath } | undefined {
  if (name.length <= NAME_BYTES) return { prefix: "", name };
  if (name.length > PREFIX_BYTES + 1 + NAME_BYTES) return undefined;
  const slash = name.lastIndexOf("/", Math.min(PREFIX_BYTES, name.length - 2));
  if (slash <= 0 || name.length - slash - 1 > NAME_BYTES) return undefined;
  return { prefix: name.slice(0, slash), name: name.slice(slash + 1) };
}

function paxRecords(entry: TarEntry, longName: RawPath | undefined): Map<string, Uint8Array> {
  const records = new Map<string, Uint8Array>();
  const longLink = entry.linkTarget !== undefined && entry.linkTarget.length > NAME_BYTES ? entry.linkTarget : undefined;
  // pax values are UTF-8 unless this says otherwise
  if (!isUtf8(longName ?? "") || !isUtf8(longLink ?? "")) records.set("hdrcharset", encoder.encode("BINARY"));
  if (longName !== undefined) records.set("path", bytesOfRaw(longName));
  if (longLink !== undefined) records.set("linkpath", bytesOfRaw(longLink));
  if (!fitsOctal(entry.sizeBytes, 12)) records.set("size", encoder.encode(String(entry.sizeBytes)));
  if (!fitsOctal(entry.uid, 8)) records.set("uid", encoder.encode(String(entry.uid)));
  if (!fitsOctal(entry.gid, 8)) records.set("gid", encoder.encode(String(entry.gid)));
  if (!fitsOctal(entry.mtimeSeconds, 12)) records.set("mtime", encoder.encode(String(entry.mtimeSeconds)));
  for (const name of [...(entry.xattrs?.keys() ?? [])].sort()) {
    records.set(xattrKeyword(name), entry.xattrs?.get(name) ?? new Uint8Array());
  }
  return records;
}

function ustarBlock(entry: TarEntry, split: { readonly prefix: RawPath; readonly name: RawPath }): Uint8Array {
  const block = new Uint8Array(BLOCK);
  const inField = (value: number, width: number): number => (fitsOctal(value, width) ? value : 0);
  writeRaw(block, 0, split.name, NAME_BYTES);
  writeOctal(block, 100, 8, entry.mode);
  writeOctal(block, 108, 8, inField(entry.uid, 8));
  writeOctal(block, 116, 8, inField(entry.gid, 8));
  writeOctal(block, 124, 12, inField(entry.sizeBytes, 12));
  writeOctal(block, 136, 12, inField(entry.mtimeSeconds, 12));
  writeRaw(block, 156, TYPE_FLAGS[entry.kind]);
  writeRaw(block, 157, entry.linkTarget ?? "", NAME_BYTES);
  writeOctal(block, 329, 8, entry.device?.major ?? 0);
  writeOctal(block, 337, 8, entry.device?.minor ?? 0);
  writeRaw(block, 345, split.prefix);
  return sealed(block);
}

function paxBlock(sizeBytes: number, flag: "x" | "g" = "x"): Uint8Array {
  const block = new Uint8Array(BLOCK);
  writeRaw(block, 0, PAX_NAME);
  writeOctal(block, 100, 8, 0o644);
  for (const offset of [108, 116]) writeOctal(block, offset, 8, 0);
  writeOctal(block, 124, 12, sizeBytes);
  writeOctal(block, 136, 12, 0);
  writeRaw(block, 156, flag);
  for (const offset of [329, 337]) writeOctal(block, offset, 8, 0);
  return sealed(block);
}

/** Adds magic, version and checksum (six digits, NUL, space). */
function sealed(block: Uint8Array): Uint8Array {
  writeRaw(block, 257, "ustar\x0000");
  writeOctal(block, 148, 7, checksums(block).unsigned);
  block[155] = 0x20;
  return block;
}

/** Sum of all bytes with the checksum field read as spaces. Some old writers summed signed bytes. */
function checksums(block: Uint8Array): { readonly unsigned: number; readonly signed: number } {
  let unsigned = 8 * 0x20;
  let high = 0;
  for (let at = 0; at < BLOCK; at++) {
    if (at >= 148 && at < 156) continue;
    const byte = block[at] ?? 0;
    unsigned += byte;
    if (byte > 0x7f) high++;
  }
  return { unsigned, signed: unsigned - 256 * high };
}

/** A header block as it stands, before pax records and GNU long names have had their say. */
export interface RawHeader {
  readonly name: RawPath;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly sizeBytes: number;
  readonly mtimeSeconds: number;
  /** One character; `\0` of old archives comes as `0`. */
  readonly flag: string;
  readonly linkTarget: RawPath;
  readonly major: number;
  readonly minor: number;
}

export const kindOfFlag = (flag: string): TarEntryKind | undefined => KIND_OF_FLAG.get(flag === "7" ? "0" : flag);

/** `undefined` for a block of zeros, which ends an archive. @throws BakehouseError ARCHIVE_INVALID */
export function decodeHeader(block: Uint8Array): RawHeader | undefined {
  if (isZero(block)) return undefined;
  const sums = checksums(block);
  const stored = readNumber(block, 148, 8);
  if (stored !== sums.unsigned && stored !== sums.signed) {
    throw new BakehouseError("ARCHIVE_INVALID", `A tar header's checksum is ${stored} and should be ${sums.unsigned}`);
  }
  // "ustar\0" is POSIX; GNU writes "ustar " and keeps times where POSIX has the prefix
  const posix = text(block, 257, 6, true) === "ustar\0";
  // star writes "tar\0" at the end and has times in the last 24 bytes of the prefix
  const isStar = text(block, 508, 4, true) === "tar\0";
  const prefix = posix ? text(block, 345, isStar ? 131 : PREFIX_BYTES) : "";
  const name = text(block, 0, NAME_BYTES);
  const flag = text(block, 156, 1, true);
  const isDevice = flag === "3" || flag === "4";
  return {
    name: prefix === "" ? name : `${prefix}/${name}`,
    mode: readNumber(block, 100, 8) & 0o7777,
    uid: readNumber(block, 108, 8),
    gid: readNumber(block, 116, 8),
    sizeBytes: readNumber(block, 124, 12),
    mtimeSeconds: readNumber(block, 136, 12),
    flag: flag === "\0" ? "0" : flag,
    linkTarget: text(block, 157, NAME_BYTES),
    major: isDevice ? readNumber(block, 329, 8) : 0,
    minor: isDevice ? readNumber(block, 337, 8) : 0,
  };
}

function isZero(block: Uint8Array): boolean {
  for (let at = 0; at < block.length; at++) if (block[at] !== 0) return false;
  return true;
}

function text(block: Uint8Array, offset: number, width: number, whole = false): RawPath {
  if (whole) return rawFromBytes(block, offset, offset + width);
  let end = offset;
  while (end < offset + width && block[end] !== 0) end++;
  return rawFromBytes(block, offset, end);
}
