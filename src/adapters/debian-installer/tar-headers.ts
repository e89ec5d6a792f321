/** What a package's tar says about one entry. Names are byte strings (latin1), since Debian does not ask for UTF-8. */
export interface TarEntry {
  /** Absolute in the image, without a slash at the end; `/.` for the top, as dpkg's file lists have it. */
  readonly path: string;
  readonly kind: "file" | "hardlink" | "symlink" | "directory" | "other";
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly userName: string;
  readonly groupName: string;
  readonly mtimeSeconds: number;
  /** Of a file, else 0. */
  readonly sizeBytes: number;
  /** Where a file's bytes lie, counted from the start of the tar. */
  readonly offset: number;
  /** As written for a symbolic link; absolute in the image for a hard link; else empty. */
  readonly target: string;
}

const BLOCK = 512;

/** Reads `length` bytes at a position of the tar; fewer at its end. */
export type ReadTar = (offset: number, length: number) => Buffer;

/**
 * Lists a tar as dpkg-deb writes them: ustar and GNU headers, with GNU's long names (`L`, `K`), and pax `path`,
 * `linkpath`. Reads 64 KiB at a time when headers lie close together and skips over long contents.
 *
 * @throws Error for a damaged header, a name that leads out of the image, or a sparse or multi-volume entry
 */
export function listTar(read: ReadTar): readonly TarEntry[] {
  const entries: TarEntry[] = [];
  const blocks = windowed(read);
  let offset = 0;
  let longName: string | undefined;
  let longTarget: string | undefined;
  for (;;) {
    const header = blocks(offset, BLOCK);
    if (header.length < BLOCK || isZero(header)) return entries;
    checkSum(header, offset);
    const type = String.fromCharCode(header[156] ?? 0);
    const sizeBytes = number(header, 124, 12);
    const body = offset + BLOCK;
    offset = body + Math.ceil(sizeBytes / BLOCK) * BLOCK;
    if (type === "L" || type === "K") {
      const name = untilZero(blocks(body, sizeBytes), 0, sizeBytes);
      if (type === "L") longName = name;
      else longTarget = name;
    } else if (type === "x") {
      const records = paxRecords(blocks(body, sizeBytes));
      longName = records.get("path") ?? longName;
      longTarget = records.get("linkpath") ?? longTarget;
    } else if (type !== "g") {
      entries.push(entryOf(header, type, { name: longName, target: longTarget, sizeBytes, body }));
      if (!"012345670\0".includes(type))
        throw new Error(`entry ${entries.at(-1)?.path ?? ""} has the unknown type ${JSON.stringify(type)}`);
      if (type !== "0" && type !== "\0" && type !== "7") offset = body; // the size of a link or a directory stands for no content
      longName = longTarget = undefined;
    }
  }
}

const KINDS: Readonly<Record<string, TarEntry["kind"]>> = {
  "0": "file",
  "\0": "file",
  "7": "file",
  "1": "hardlink",
  "2": "symlink",
  "5": "directory",
};

interface Parts {
  readonly name: string | undefined;
  readonly target: string | undefined;
  readonly sizeBytes: number;
  readonly body: number;
}

function entryOf(header: Buffer, type: string, { name, target, sizeBytes, body }: Parts): TarEntry {
  const kind = KINDS[type] ?? "other";
  const link = target ?? untilZero(header, 157, 100);
  return {
    path: imagePath(name ?? headerName(header)),
    kind,
    mode: number(header, 100, 8) & 0o7777,
    uid: number(header, 108, 8),
    gid: number(header, 116, 8),
    userName: untilZero(header, 265, 32),
    groupName: untilZero(header, 297, 32),
    mtimeSeconds: number(header, 136, 12),
    sizeBytes: kind === "file" ? sizeBytes : 0,
    offset: body,
    target: kind === "symlink" ? link : kind === "hardlink" ? imagePath(link) : "",
  };
}

/** `prefix` is only POSIX ustar's; GNU keeps times there. */
function headerName(header: Buffer): string {
  const name = untilZero(header, 0, 100);
  const isUstar = header.toString("latin1", 257, 263) === "ustar\0";
  const prefix = isUstar ? untilZero(header, 345, 155) : "";
  return prefix === "" ? name : `${prefix}/${name}`;
}

function imagePath(name: string): string {
  const parts = name.split("/").filter((part) => part !== "" && part !== ".");
  if (parts.includes("..")) throw new Error(`entry ${JSON.stringify(name)} leads out of the image`);
  return parts.length === 0 ? "/." : `/${parts.join("/")}`;
}

/** Octal, or base 256 where the first bit is set (GNU). */
function number(header: Buffer, start: number, length: number): number {
  const first = header[start] ?? 0;
  if (first >= 0x80) {
    let value = first & 0x7f;
    for (let index = start + 1; index < start + length; index++) value = value * 256 + (header[index] ?? 0);
    if (!Number.isSafeInteger(value)) throw new Error("a number in a tar header is too large");
    return value;
  }
  const text = untilZero(header, start, length).trim();
  if (!/^[0-7]*$/.test(text)) throw new Error(`${JSON.stringify(text)} in a tar header is no octal number`);
  return text === "" ? 0 : Number.parseInt(text, 8);
}

function untilZero(buffer: Buffer, start: number, length: number): string {
  const end = Math.min(start + length, buffer.length);
  const zero = buffer.indexOf(0, start);
  return buffer.toString("latin1", start, zero === -1 || zero > end ? end : zero);
}

function isZero(block: Buffer): boolean {
  return block[0] === 0 && block.every((byte) => byte === 0);
}

/** A damaged package must not become a strange file; the check is 512 additions. */
function checkSum(header: Buffer, offset: number): void {
  const stored = number(header, 148, 8);
  let sum = 8 * 0x20;
  for (let index = 0; index < BLOCK; index++) if (index < 148 || index >= 156) sum += header[index] ?? 0;
  if (sum !== stored) throw new Error(`the tar header at byte ${offset} is damaged`);
}

function paxRecords(body: Buffer): ReadonlyMap<string, string> {
  const records = new Map<string, string>();
  for (let start = 0; start < body.length;) {
    const space = body.indexOf(0x20, start);
    const length = Number(body.toString("latin1", start, space));
    if (space === -1 || !(length > 0)) break;
    const record = body.toString("latin1", space + 1, start + length - 1);
    const equals = record.indexOf("=");
    records.set(record.slice(0, equals), record.slice(equals + 1));
    start += length;
  }
  return records;
}

const WINDOW = 64 * 1024;

/** Reads ahead, so that a row of small entries costs one read. */
function windowed(read: ReadTar): ReadTar {
  let start = 0;
  let window: Buffer = Buffer.alloc(0);
  return (offset, length) => {
    if (offset < start || offset + length > start + window.length) {
      start = offset;
      window = read(offset, Math.max(length, WINDOW));
    }
    return window.subarray(offset - start, offset - start + length);
  };
}
