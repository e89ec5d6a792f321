import type { ReadDisk } from "./partition-table.ts";

/** What a partition holds, as its first bytes say. */
export interface FileSystem {
  readonly type: "ext4" | "xfs" | "btrfs" | "vfat" | "squashfs" | "swap" | "lvm" | "luks" | "raid";
  readonly uuid?: string;
  readonly label?: string;
}

const text = (bytes: Uint8Array): string => {
  const end = bytes.indexOf(0);
  return new TextDecoder("utf-8").decode(end < 0 ? bytes : bytes.subarray(0, end)).trimEnd();
};

const uuidOf = (bytes: Uint8Array): string => {
  const digits = [...bytes.subarray(0, 16)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return [digits.slice(0, 8), digits.slice(8, 12), digits.slice(12, 16), digits.slice(16, 20), digits.slice(20, 32)].join("-");
};

interface Probe {
  readonly type: FileSystem["type"];
  /** Where the magic lies, and what it is. */
  readonly offset: number;
  readonly magic: string | readonly number[];
  readonly uuidAt?: number;
  readonly label?: readonly [offset: number, bytes: number];
}

/** From the kernel's headers (magic.h and each file system's own) and blkid's sources. ext2, 3 and 4 are one driver's. */
const PROBES: readonly Probe[] = [
  { type: "luks", offset: 0, magic: "LUKS" },
  { type: "lvm", offset: 512, magic: "LABELONE" },
  { type: "raid", offset: 4096, magic: [0xfc, 0x4e, 0x2b, 0xa9] },
  { type: "ext4", offset: 1080, magic: [0x53, 0xef], uuidAt: 1128, label: [1144, 16] },
  { type: "xfs", offset: 0, magic: "XFSB", uuidAt: 32, label: [108, 12] },
  { type: "btrfs", offset: 65_600, magic: "_BHRfS_M", uuidAt: 65_568, label: [65_835, 256] },
  { type: "squashfs", offset: 0, magic: "hsqs" },
  { type: "swap", offset: 4086, magic: "SWAPSPACE2", uuidAt: 1036, label: [1052, 16] },
  { type: "vfat", offset: 82, magic: "FAT32", label: [71, 11] },
  { type: "vfat", offset: 54, magic: "FAT1", label: [43, 11] },
];

/** The file system that begins at an offset of a disk; undefined when it is none that is known. */
export function fileSystemAt(read: ReadDisk, startBytes: number): FileSystem | undefined {
  const bytes = (offset: number, length: number): Uint8Array => read(startBytes + offset, length);
  const probe = PROBES.find(({ offset, magic }) => {
    const wanted = typeof magic === "string" ? [...magic].map((letter) => letter.charCodeAt(0)) : magic;
    const found = bytes(offset, wanted.length);
    return found.length === wanted.length && wanted.every((byte, at) => found[at] === byte);
  });
  if (probe === undefined) return undefined;
  const label = probe.label === undefined ? "" : text(bytes(...probe.label));
  return {
    type: probe.type,
    ...(probe.uuidAt === undefined ? {} : { uuid: uuidOf(bytes(probe.uuidAt, 16)) }),
    ...(label === "" ? {} : { label }),
  };
}
