import { diskInvalid } from "./disk-error.ts";

/** Reads bytes of a disk; fewer than asked for at its end. */
export type ReadDisk = (offset: number, length: number) => Uint8Array;

/** A stretch of a disk that a partition table names. */
export interface Partition {
  /** As Linux numbers it, from 1. */
  readonly number: number;
  readonly startBytes: number;
  readonly sizeBytes: number;
  /** Type: two hexadecimal digits (MBR) or a GUID in capitals (GPT). */
  readonly type: string;
  /** GPT only. */
  readonly name?: string;
}

export interface PartitionTable {
  /** `none`: a file system that fills the disk. */
  readonly kind: "gpt" | "mbr" | "none";
  readonly partitions: readonly Partition[];
}

/** Both tables count in sectors; disks that say 4,096 exist in hardware, images of them are not made. */
const SECTOR = 512;

/**
 * The partitions of a disk.
 *
 *   MBR     4 entries of 16 bytes at 446, then 55 AA. Entry: flag 0, type at 4, first sector at 8, sectors at 12 (little endian).
 *           Types 05, 0F, 85 hold logical partitions: a chain of such sectors, first entry relative to its own, second to the first.
 *   GPT     header in sector 1: "EFI PART", CRC of the header at 16 (with itself as 0), entries at 72, their number at 80, size
 *           at 84, CRC of all entries at 88. Entry: type GUID 0, first sector 32, last sector 40, name (UTF-16) 56.
 *
 * (UEFI specification 2.10, chapter 5.) The copy of the GPT at the end of the disk is used when the first does not verify.
 *
 * @throws DISK_INVALID for an empty or damaged disk
 */
export function readPartitionTable(read: ReadDisk, sizeBytes: number): PartitionTable {
  const first = read(0, SECTOR);
  if (first.length < SECTOR) throw diskInvalid(`It has ${first.length} bytes, which is less than one sector`);
  const hasMbr = first[510] === 0x55 && first[511] === 0xaa;
  const entries = hasMbr ? mbrEntries(first) : [];
  if (entries.some(({ type }) => type === "EE")) return { kind: "gpt", partitions: checked(readGpt(read, sizeBytes), sizeBytes) };
  if (entries.length === 0) return { kind: "none", partitions: [] };
  return { kind: "mbr", partitions: checked(entries.flatMap((entry) => withLogical(read, entry)).map(numbered()), sizeBytes) };
}

type Entry = Omit<Partition, "number"> & { readonly place: number };

function mbrEntries(sector: Uint8Array, base = 0): readonly Entry[] {
  const view = viewOf(sector);
  return [0, 1, 2, 3].flatMap((place) => {
    const at = 446 + 16 * place;
    const type = sector[at + 4] ?? 0;
    const sectors = view.getUint32(at + 12, true);
    if (type === 0 || sectors === 0) return [];
    return [{ place, type: hex(type), startBytes: base + view.getUint32(at + 8, true) * SECTOR, sizeBytes: sectors * SECTOR }];
  });
}

const EXTENDED = new Set(["05", "0F", "85"]);
/** Linux follows a chain no further. */
const MOST_LOGICAL = 60;

function withLogical(read: ReadDisk, entry: Entry): readonly Entry[] {
  if (!EXTENDED.has(entry.type)) return [entry];
  const logical: Entry[] = [];
  for (let at: number | undefined = entry.startBytes; at !== undefined && logical.length < MOST_LOGICAL;) {
    const sector = read(at, SECTOR);
    if (sector.length < SECTOR || sector[510] !== 0x55 || sector[511] !== 0xaa)
      throw diskInvalid("Its chain of logical partitions is damaged");
    const own = mbrEntries(sector, at).find(({ type }) => !EXTENDED.has(type));
    if (own !== undefined) logical.push({ ...own, place: 4 });
    at = mbrEntries(sector, entry.startBytes).find(({ type }) => EXTENDED.has(type))?.startBytes;
  }
  return logical;
}

/** Primary partitions are 1 to 4 by their place in the table, logical ones follow from 5 on. */
function numbered(): (entry: Entry) => Partition {
  let logical = 5;
  return ({ place, ...partition }) => ({ ...partition, number: place < 4 ? place + 1 : logical++ });
}

const MAGIC = "EFI PART";
const HEADER_LEAST = 92;
/** An entry has 128 bytes, and tables with more than 1,024 of them are no tables. */
const MOST_ENTRIES_BYTES = 1024 * 128;

function readGpt(read: ReadDisk, sizeBytes: number): readonly Partition[] {
  const backup = Math.floor(sizeBytes / SECTOR) * SECTOR - SECTOR;
  const found = gptAt(read, SECTOR) ?? gptAt(read, backup);
  if (found === undefined)
    throw diskInvalid("Its GPT is damaged, and so is the copy at the end of the disk", "is the file whole? Compare its checksum");
  return found;
}

function gptAt(read: ReadDisk, offset: number): readonly Partition[] | undefined {
  const header = read(offset, SECTOR);
  if (header.length < SECTOR || String.fromCharCode(...header.subarray(0, 8)) !== MAGIC) return undefined;
  const view = viewOf(header);
  const headerBytes = view.getUint32(12, true);
  if (headerBytes < HEADER_LEAST || headerBytes > SECTOR) return undefined;
  const plain = header.slice(0, headerBytes);
  plain.fill(0, 16, 20);
  if (crc32(plain) !== view.getUint32(16, true)) return undefined;
  const [count, entryBytes] = [view.getUint32(80, true), view.getUint32(84, true)];
  if (entryBytes < 128 || count * entryBytes > MOST_ENTRIES_BYTES) return undefined;
  const entries = read(Number(view.getBigUint64(72, true)) * SECTOR, count * entryBytes);
  if (entries.length < count * entryBytes || crc32(entries) !== view.getUint32(88, true)) return undefined;
  return Array.from({ length: count }, (_, index) =>
    gptEntry(entries.subarray(index * entryBytes, (index + 1) * entryBytes), index + 1),
  ).filter((partition) => partition !== undefined);
}

function gptEntry(bytes: Uint8Array, number: number): Partition | undefined {
  if (bytes.subarray(0, 16).every((byte) => byte === 0)) return undefined;
  const view = viewOf(bytes);
  const startBytes = Number(view.getBigUint64(32, true)) * SECTOR;
  const name = Array.from({ length: 36 }, (_, index) => view.getUint16(56 + 2 * index, true));
  const end = name.indexOf(0);
  return {
    number,
    type: guid(bytes),
    startBytes,
    sizeBytes: (Number(view.getBigUint64(40, true)) + 1) * SECTOR - startBytes,
    name: String.fromCharCode(...(end < 0 ? name : name.slice(0, end))),
  };
}

function checked(partitions: readonly Partition[], sizeBytes: number): readonly Partition[] {
  if (partitions.length === 0) throw diskInvalid("Its partition table is empty");
  const beyond = partitions.find((partition) => partition.sizeBytes <= 0 || partition.startBytes + partition.sizeBytes > sizeBytes);
  if (beyond !== undefined)
    throw diskInvalid(
      `Partition ${beyond.number} ends at byte ${beyond.startBytes + beyond.sizeBytes}, and the disk at ${sizeBytes}`,
      "the file was cut off: fetch it again",
    );
  return partitions;
}

/** The first three numbers of a GUID are little endian, the rest is as written. */
function guid(bytes: Uint8Array): string {
  const part = (from: number, to: number, reversed: boolean): string => {
    const digits = [...bytes.subarray(from, to)].map(hex);
    return (reversed ? digits.toReversed() : digits).join("");
  };
  return [part(0, 4, true), part(4, 6, true), part(6, 8, true), part(8, 10, false), part(10, 16, false)].join("-");
}

const hex = (byte: number): string => byte.toString(16).padStart(2, "0").toUpperCase();
const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
  return value;
});

/** CRC-32 as in ISO 3309, which GPT uses. */
function crc32(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = (CRC_TABLE[(crc ^ byte) & 0xff] ?? 0) ^ (crc >>> 8);
  return (crc ^ 0xffffffff) >>> 0;
}
