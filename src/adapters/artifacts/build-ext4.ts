import { closeSync, fstatSync, lstatSync, openSync, readSync, type Stats, writeSync } from "node:fs";
import { runProgram } from "../overlay-diffs/run-program.ts";

export interface Ext4Request {
  /** A new, sparse file of the size that the file system shall have. */
  readonly target: string;
  /** Absent: an empty file system. */
  readonly directory?: string;
  readonly uuid: string;
  readonly label?: string;
  readonly epochSeconds: number;
  /** Of files and folders that it will hold, at least. */
  readonly entries: number;
  readonly signal: AbortSignal;
}

/**
 * What Debian's mke2fs.conf asks for, but for `metadata_csum`: with it each inode would have a checksum that the times in it are part
 * of. Said in full, so that the host's own file has no say.
 */
const FEATURES =
  "none,has_journal,ext_attr,resize_inode,dir_index,filetype,extent,64bit,flex_bg,sparse_super,large_file,huge_file,dir_nlink,extra_isize";
const BLOCK_BYTES = 4096;
const INODE_BYTES = 256;

/**
 * An ext4 that can be written to and grown. mke2fs takes the times at which the source was last read and changed, which are those
 * of this host: every inode's times are set to its file's own, and so equal content gives equal bytes.
 *
 * @throws SETUP_INCOMPLETE (e2fsprogs), CANCELLED
 */
export async function buildExt4(request: Ext4Request): Promise<void> {
  const { target, directory, uuid, label, epochSeconds, entries, signal } = request;
  await runProgram(
    [
      "mkfs.ext4",
      "-q",
      "-F",
      "-b",
      String(BLOCK_BYTES),
      "-I",
      String(INODE_BYTES),
      ...["-i", "16384", "-m", "1", "-O", FEATURES, "-U", uuid],
      ...(label === undefined ? [] : ["-L", label]),
      ...inodesFor(target, entries),
      "-E",
      `hash_seed=${uuid},lazy_itable_init=1,nodiscard,root_owner=0:0`,
      ...(directory === undefined ? [] : ["-d", directory]),
      target,
    ],
    // the time of everything that mke2fs makes itself; its own variable, since SOURCE_DATE_EPOCH is known from 1.47.1 on
    { environment: { ...process.env, E2FSPROGS_FAKE_TIME: String(epochSeconds), MKE2FS_CONFIG: "/dev/null" }, signal },
  );
  settleTimes(target, epochSeconds, directory === undefined ? undefined : lstatSync(directory));
}

/** One for each 16 KiB, unless there are more files than that. */
function inodesFor(target: string, entries: number): readonly string[] {
  const descriptor = openSync(target, "r");
  const usual = Math.floor(fstatSync(descriptor).size / 16384);
  closeSync(descriptor);
  return entries * 1.2 < usual ? [] : ["-N", String(entries * 2)];
}

/**
 * Sets access, change and creation time of every inode to its modification time, in whole seconds and not after `epochSeconds`; and
 * gives the root folder, which mke2fs made before it looked at the source, the source's own owner, mode and time.
 * Places from Documentation/filesystems/ext4 of Linux: superblock at 1024 (inodes 0, log of block size 24, inodes per group 40,
 * inode size 88, descriptor size 254), group descriptors in the block after it (inode table 8 and 40), inodes (mode 0, owner 2, group 24,
 * times 8, 12, 16, their fractions 132, 136, 140, creation 144 and 148, upper halves of owner and group 120 and 122).
 */
function settleTimes(file: string, epochSeconds: number, root: Stats | undefined): void {
  const descriptor = openSync(file, "r+");
  try {
    const superblock = readAt(descriptor, 1024, 1024);
    const blockBytes = 1024 << superblock.readUInt32LE(24);
    const perGroup = superblock.readUInt32LE(40);
    const inodeBytes = superblock.readUInt16LE(88);
    const descriptorBytes = superblock.readUInt16LE(254) || 32;
    const groups = Math.ceil(superblock.readUInt32LE(0) / perGroup);
    const table = readAt(descriptor, blockBytes === 1024 ? 2048 : blockBytes, groups * descriptorBytes);
    for (let group = 0; group < groups; group++) {
      const at = group * descriptorBytes;
      const block = table.readUInt32LE(at + 8) + (descriptorBytes >= 64 ? table.readUInt32LE(at + 40) * 2 ** 32 : 0);
      const inodes = readAt(descriptor, block * blockBytes, perGroup * inodeBytes);
      if (group === 0 && root !== undefined) settleRoot(inodes.subarray((ROOT_INODE - 1) * inodeBytes), root);
      if (settleGroup(inodes, inodeBytes, epochSeconds)) writeSync(descriptor, inodes, 0, inodes.length, block * blockBytes);
    }
  } finally {
    closeSync(descriptor);
  }
}

const ROOT_INODE = 2;

function settleRoot(inode: Buffer, root: Stats): void {
  inode.writeUInt16LE(root.mode & 0xffff, 0);
  inode.writeUInt16LE(root.uid & 0xffff, 2);
  inode.writeUInt16LE(root.gid & 0xffff, 24);
  inode.writeUInt16LE(root.uid >>> 16, 120);
  inode.writeUInt16LE(root.gid >>> 16, 122);
  inode.writeUInt32LE(Math.max(0, Math.floor(root.mtimeMs / 1000)), 16);
}

/** @returns whether any inode of the table is in use */
function settleGroup(inodes: Buffer, inodeBytes: number, epochSeconds: number): boolean {
  let used = false;
  for (let at = 0; at < inodes.length; at += inodeBytes) {
    if (inodes.readUInt16LE(at) === 0) continue;
    used = true;
    const time = Math.min(inodes.readUInt32LE(at + 16), epochSeconds);
    for (const offset of [8, 12, 16, 144]) inodes.writeUInt32LE(time, at + offset);
    for (const offset of [132, 136, 140, 148]) inodes.writeUInt32LE(0, at + offset);
  }
  return used;
}

function readAt(descriptor: number, position: number, length: number): Buffer {
  const bytes = Buffer.alloc(length);
  readSync(descriptor, bytes, 0, length, position);
  return bytes;
}
