/**
 * The archive that Linux unpacks as its first root file system (Documentation/driver-api/early-userspace/buffer-format.rst),
 * "newc" form. Each entry: the magic, then 13 numbers of eight hexadecimal digits, then the name with a NUL, then the content,
 * both filled up to 4 bytes:
 *
 *     070701 ino mode uid gid nlink mtime filesize devmajor devminor rdevmajor rdevminor namesize check
 *
 * Several archives one after the other are unpacked upon each other.
 */
export interface CpioEntry {
  /** Without a slash at the start. Parents must come before. */
  readonly path: string;
  readonly kind: "file" | "directory" | "symlink" | "character-device";
  /** Default: files 0644, directories 0755. */
  readonly mode?: number;
  /** Of a file. */
  readonly content?: Uint8Array | string;
  /** Of a symbolic link. */
  readonly target?: string;
  readonly device?: { readonly major: number; readonly minor: number };
}

const TYPE_BITS = { file: 0o100000, directory: 0o040000, symlink: 0o120000, "character-device": 0o020000 } as const;
const DEFAULT_MODES = { file: 0o644, directory: 0o755, symlink: 0o777, "character-device": 0o600 } as const;
const TRAILER = "TRAILER!!!";
/** What the kernel and cpio(1) fill archives up to. */
const BLOCK = 512;

const encoder = new TextEncoder();

/** All entries belong to root and carry one time, so that equal entries give equal bytes. */
export function encodeCpio(entries: readonly CpioEntry[], mtimeSeconds: number): Uint8Array {
  const parts: Uint8Array[] = [];
  entries.forEach((entry, index) => {
    const content = contentOf(entry);
    parts.push(header(entry, { inode: index + 1, sizeBytes: content.length, mtimeSeconds }), padded(content));
  });
  parts.push(header({ path: TRAILER, kind: "file", mode: 0 }, { inode: 0, sizeBytes: 0, mtimeSeconds: 0, typeBits: 0 }));
  return joined(parts);
}

function contentOf(entry: CpioEntry): Uint8Array {
  if (entry.kind === "symlink") return encoder.encode(entry.target ?? "");
  return typeof entry.content === "string" ? encoder.encode(entry.content) : (entry.content ?? new Uint8Array());
}

interface Facts {
  readonly inode: number;
  readonly sizeBytes: number;
  readonly mtimeSeconds: number;
  readonly typeBits?: number;
}

function header(entry: CpioEntry, { inode, sizeBytes, mtimeSeconds, typeBits = TYPE_BITS[entry.kind] }: Facts): Uint8Array {
  const name = encoder.encode(`${entry.path}\0`);
  const numbers = [
    inode,
    typeBits | (entry.mode ?? DEFAULT_MODES[entry.kind]),
    0,
    0,
    entry.kind === "directory" ? 2 : 1,
    mtimeSeconds,
    sizeBytes,
    0,
    0,
    entry.device?.major ?? 0,
    entry.device?.minor ?? 0,
    name.length,
    0,
  ];
  const head = encoder.encode(`070701${numbers.map((number) => number.toString(16).padStart(8, "0")).join("")}`);
  return padded(Uint8Array.from([...head, ...name]));
}

function padded(bytes: Uint8Array, to = 4): Uint8Array {
  const filled = new Uint8Array(Math.ceil(bytes.length / to) * to);
  filled.set(bytes);
  return filled;
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return padded(all, BLOCK);
}
