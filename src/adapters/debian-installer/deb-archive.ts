import { closeSync, openSync, readSync } from "node:fs";

/**
 * A `.deb` is an `ar` archive (deb(5)): an 8 byte magic, then members of a 60 byte header and their bytes, padded to an
 * even length:
 *
 *     !<arch>\n
 *     debian-binary   …          "2.0\n"
 *     control.tar.xz  …          the maintainer scripts and the control file
 *     data.tar.xz     …          the files
 *
 * Members whose name begins with `_` may come between and mean nothing.
 */
export interface DebMember {
  readonly compression: Compression;
  /** Where its bytes lie in the .deb. */
  readonly offset: number;
  readonly sizeBytes: number;
}

export type Compression = "xz" | "zstd" | "gzip" | "none";

export interface DebArchive {
  readonly hostPath: string;
  readonly control: DebMember;
  readonly data: DebMember;
}

const MAGIC = "!<arch>\n";
const HEADER_BYTES = 60;
/** Four members in practice; more than this many is no Debian package. */
const MAX_MEMBERS = 32;

/** @throws Error that says why the file is no Debian package of format 2 */
export function readDebArchive(hostPath: string): DebArchive {
  const file = openSync(hostPath, "r");
  try {
    return parseMembers(hostPath, (offset, length) => readAt(file, offset, length));
  } finally {
    closeSync(file);
  }
}

type ReadAt = (offset: number, length: number) => Buffer;

function parseMembers(hostPath: string, read: ReadAt): DebArchive {
  if (read(0, MAGIC.length).toString("latin1") !== MAGIC) throw notADeb(hostPath, "it is no ar archive");
  let control: DebMember | undefined;
  let offset = MAGIC.length;
  for (let count = 0; count < MAX_MEMBERS; count++) {
    const header = read(offset, HEADER_BYTES).toString("latin1");
    if (header.length < HEADER_BYTES) break;
    const sizeBytes = Number(header.slice(48, 58).trim());
    if (header.slice(58) !== "`\n" || !Number.isSafeInteger(sizeBytes))
      throw notADeb(hostPath, `the member header at byte ${offset} is damaged`);
    const name = header.slice(0, 16).trim().replace(/\/$/, "");
    const member = { offset: offset + HEADER_BYTES, sizeBytes };
    if (name === "debian-binary" && !read(member.offset, 2).toString("latin1").startsWith("2."))
      throw notADeb(hostPath, "its format is not 2.x");
    if (name.startsWith("control.tar")) control = { ...member, compression: compressionOf(hostPath, name) };
    if (name.startsWith("data.tar")) {
      if (control === undefined) throw notADeb(hostPath, "the data come before the control member");
      return { hostPath, control, data: { ...member, compression: compressionOf(hostPath, name) } };
    }
    offset = member.offset + sizeBytes + (sizeBytes % 2);
  }
  throw notADeb(hostPath, `the ${control === undefined ? "control" : "data"} member is missing`);
}

function compressionOf(hostPath: string, member: string): Compression {
  const suffix = member.slice(member.indexOf(".tar") + ".tar".length);
  const known: Readonly<Record<string, Compression>> = { "": "none", ".xz": "xz", ".zst": "zstd", ".gz": "gzip" };
  const compression = known[suffix];
  if (compression === undefined) throw notADeb(hostPath, `nobody here can decompress ${member}`);
  return compression;
}

/** Fewer bytes than asked for at the end of the file. */
export function readAt(file: number, offset: number, length: number): Buffer {
  const buffer = Buffer.allocUnsafe(length);
  let done = 0;
  while (done < length) {
    const count = readSync(file, buffer, done, length - done, offset + done);
    if (count === 0) break;
    done += count;
  }
  return buffer.subarray(0, done);
}

const notADeb = (hostPath: string, reason: string): Error => new Error(`${hostPath} is no Debian package: ${reason}`);
