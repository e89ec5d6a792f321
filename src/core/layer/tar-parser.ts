import { BakehouseError } from "../errors.ts";
import type { TarEntry } from "./model.ts";
import { decodePax, type PaxRecords, xattrNameOf } from "./pax.ts";
import { rawFromBytes, type RawPath } from "./raw-path.ts";
import { decodeHeader, kindOfFlag, type RawHeader } from "./tar-header.ts";
import { BLOCK, paddingOf } from "./tar-numbers.ts";
import { aclFromText } from "./acl.ts";

/** Called in the archive's order. `content` gets views of the pushed chunk: whoever keeps them copies them. */
export interface TarSink {
  entry(entry: TarEntry): void;
  content?(bytes: Uint8Array): void;
  /** Whether the content of the entry that was just begun is wanted. Default: if there is a `content` at all. */
  wants?(): boolean;
  /** After the last content of an entry. */
  entryEnd?(): void;
}

export interface TarParser {
  push(chunk: Uint8Array): void;
  /** Bytes that a source may leap over (with `skip`) when nobody wants the content. */
  skippableBytes(): number;
  skip(count: number): void;
  /** Says that there is no more. @throws BakehouseError ARCHIVE_INVALID when the end mark has not been seen */
  finish(): void;
}

/** Names and pax headers are held in memory; a value this big is an attack or damage. 8 MiB is 100 times what Linux allows in xattrs. */
const META_LIMIT_BYTES = 8 * 1024 * 1024;

type Phase = "header" | "meta" | "content" | "padding" | "done";

/**
 * Reads ustar, pax (also global headers), GNU long names and base-256 numbers from chunks of any size, holding at most
 * one header in memory. Content is passed through or skipped.
 *
 * @throws BakehouseError ARCHIVE_INVALID from every method, with the byte where it happened
 */
export function tarParser(sink: TarSink): TarParser {
  const carry = new Uint8Array(BLOCK);
  let carried = 0;
  let phase: Phase = "header";
  let position = 0;
  let rest = 0;
  let padding = 0;
  let meta: { readonly flag: string; readonly bytes: Uint8Array; filled: number } | undefined;
  let globals: PaxRecords = new Map();
  let locals: PaxRecords = new Map();
  let longName: RawPath | undefined;
  let longLink: RawPath | undefined;

  const invalid = (message: string, hint?: string): BakehouseError =>
    new BakehouseError("ARCHIVE_INVALID", `${message} (at byte ${position})`, hint === undefined ? {} : { hint });
  const located = <T>(read: () => T): T => {
    try {
      return read();
    } catch (error) {
      if (error instanceof BakehouseError && error.code === "ARCHIVE_INVALID") throw invalid(error.message);
      throw error;
    }
  };

  function startMeta(header: RawHeader): void {
    if (header.sizeBytes < 0 || header.sizeBytes > META_LIMIT_BYTES) throw invalid(`A header extension claims ${header.sizeBytes} bytes`);
    meta = { flag: header.flag, bytes: new Uint8Array(header.sizeBytes), filled: 0 };
    rest = header.sizeBytes;
    padding = paddingOf(rest);
    phase = rest > 0 ? "meta" : "padding";
    if (rest === 0) endMeta();
  }

  function endMeta(): void {
    if (meta === undefined) return;
    const { flag, bytes } = meta;
    meta = undefined;
    if (flag === "x") locals = located(() => decodePax(bytes));
    else if (flag === "g") globals = new Map([...globals, ...located(() => decodePax(bytes))]);
    else if (flag === "L") longName = untilNul(bytes);
    else if (flag === "K") longLink = untilNul(bytes);
  }

  function startEntry(header: RawHeader): void {
    const entry = located(() => entryFrom(header, globals.size === 0 ? locals : new Map([...globals, ...locals]), longName, longLink));
    locals = new Map();
    longName = longLink = undefined;
    rest = entry.sizeBytes;
    padding = paddingOf(rest);
    phase = rest > 0 ? "content" : "header";
    sink.entry(entry);
    if (rest === 0) sink.entryEnd?.();
  }

  function takeHeader(block: Uint8Array): void {
    const header = located(() => decodeHeader(block));
    if (header === undefined) {
      phase = "done";
      return;
    }
    if ("xgLK".includes(header.flag)) startMeta(header);
    else if (header.flag === "V" || header.flag === "X") skipMember(header);
    else startEntry(header);
  }

  /** Volume labels and Solaris extended headers carry nothing that we keep. */
  function skipMember(header: RawHeader): void {
    meta = undefined;
    rest = 0;
    padding = header.sizeBytes + paddingOf(header.sizeBytes);
    phase = padding > 0 ? "padding" : "header";
  }

  function advance(count: number): void {
    position += count;
    rest -= count;
    if (rest > 0) return;
    if (phase === "content") sink.entryEnd?.();
    else endMeta();
    phase = padding > 0 ? "padding" : "header";
  }

  function pad(count: number): void {
    position += count;
    padding -= count;
    if (padding === 0) phase = "header";
  }

  /** Takes bytes from `chunk` at `at`; returns how many. */
  function step(chunk: Uint8Array, at: number): number {
    const left = chunk.length - at;
    if (phase === "done") {
      position += left;
      return left;
    }
    if (phase === "padding") {
      const count = Math.min(left, padding);
      pad(count);
      return count;
    }
    if (phase === "header") return stepHeader(chunk, at, left);
    const count = Math.min(left, rest);
    const bytes = chunk.subarray(at, at + count);
    if (phase === "content") sink.content?.(bytes);
    else if (meta !== undefined) {
      meta.bytes.set(bytes, meta.filled);
      meta.filled += count;
    }
    advance(count);
    return count;
  }

  function stepHeader(chunk: Uint8Array, at: number, left: number): number {
    if (carried === 0 && left >= BLOCK) {
      takeHeader(chunk.subarray(at, at + BLOCK));
      position += BLOCK;
      return BLOCK;
    }
    const count = Math.min(left, BLOCK - carried);
    carry.set(chunk.subarray(at, at + count), carried);
    carried += count;
    if (carried === BLOCK) {
      carried = 0;
      takeHeader(carry);
    }
    position += count;
    return count;
  }

  return {
    push(chunk) {
      for (let at = 0; at < chunk.length;) at += step(chunk, at);
    },
    skippableBytes: () => {
      if (phase === "padding") return padding;
      const isWanted = sink.content !== undefined && sink.wants?.() !== false;
      return phase === "content" && !isWanted ? rest + padding : 0;
    },
    skip(count) {
      if (phase === "content") {
        const ofContent = Math.min(count, rest);
        advance(ofContent);
        if (count > ofContent) pad(count - ofContent);
      } else if (phase === "padding") pad(count);
    },
    finish() {
      if (phase === "done") return;
      if (position === 0) throw invalid("The archive is empty");
      throw invalid(
        carried > 0 || phase !== "header" ? "The archive is cut off" : "The archive ends without its end mark, so it may be cut off",
      );
    },
  };
}

const untilNul = (bytes: Uint8Array): RawPath => {
  const nul = bytes.indexOf(0);
  return rawFromBytes(bytes, 0, nul < 0 ? bytes.length : nul);
};

/** `./a//b/` is `a/b`, `.` and `./` are the root; `..` and a leading slash stay, so that they can be refused. */
export function tidyPath(name: RawPath): RawPath {
  if (!needsTidying(name)) return name;
  const parts = name.split("/").filter((part) => part !== "" && part !== ".");
  return (name.startsWith("/") ? "/" : "") + parts.join("/");
}

const needsTidying = (name: RawPath): boolean =>
  name.endsWith("/") || name.startsWith("./") || name.endsWith("/.") || name === "." || name.includes("//") || name.includes("/./");

function entryFrom(header: RawHeader, pax: PaxRecords, longName: RawPath | undefined, longLink: RawPath | undefined): TarEntry {
  const name = rawOf(pax.get("path")) ?? longName ?? header.name;
  if ([...pax.keys()].some((keyword) => keyword.startsWith("GNU.sparse.")) || header.flag === "S") throw unsupported(name, "a sparse file");
  const kind = header.flag === "0" && name.endsWith("/") ? "directory" : kindOfFlag(header.flag);
  if (kind === undefined) throw unsupported(name, `type ${JSON.stringify(header.flag)}`);
  if (name === "" || name.includes("\0")) throw new BakehouseError("ARCHIVE_INVALID", "An entry has no sound name");
  const link = rawOf(pax.get("linkpath")) ?? longLink ?? header.linkTarget;
  const sizeBytes = kind === "file" ? (numberOf(pax, "size") ?? header.sizeBytes) : 0;
  if (sizeBytes < 0) throw new BakehouseError("ARCHIVE_INVALID", `An entry claims ${sizeBytes} bytes`);
  const xattrs = xattrsOf(pax);
  return {
    path: tidyPath(name),
    kind,
    mode: header.mode,
    uid: numberOf(pax, "uid") ?? header.uid,
    gid: numberOf(pax, "gid") ?? header.gid,
    sizeBytes,
    mtimeSeconds: Math.floor(numberOf(pax, "mtime") ?? header.mtimeSeconds),
    ...(kind === "symlink" ? { linkTarget: link } : kind === "hardlink" ? { linkTarget: tidyPath(link) } : {}),
    ...(kind.endsWith("-device") ? { device: { major: header.major, minor: header.minor } } : {}),
    ...(xattrs.size > 0 ? { xattrs } : {}),
  };
}

/** An empty value takes a global record back (POSIX.1-2017, pax, "pax Header Block"). */
const rawOf = (value: Uint8Array | undefined): RawPath | undefined =>
  value === undefined || value.length === 0 ? undefined : rawFromBytes(value);

function numberOf(pax: PaxRecords, keyword: string): number | undefined {
  const raw = rawOf(pax.get(keyword));
  if (raw === undefined) return undefined;
  const value = Number(raw);
  const sound = /^-?\d+(\.\d*)?$/.test(raw) && Math.abs(value) <= Number.MAX_SAFE_INTEGER;
  if (!sound) throw new BakehouseError("ARCHIVE_INVALID", `A pax header has ${keyword}=${JSON.stringify(raw)}`);
  return value;
}

function xattrsOf(pax: PaxRecords): Map<string, Uint8Array> {
  const xattrs = new Map<string, Uint8Array>();
  for (const [keyword, value] of pax) {
    const name = xattrNameOf(keyword);
    if (name !== undefined) xattrs.set(name, value);
  }
  for (const which of ["access", "default"] as const) {
    const text = rawOf(pax.get(`SCHILY.acl.${which}`));
    const name = `system.posix_acl_${which}`;
    if (text !== undefined && !xattrs.has(name)) xattrs.set(name, aclFromText(text));
  }
  return xattrs;
}

const unsupported = (name: RawPath, what: string): BakehouseError =>
  new BakehouseError(
    "ARCHIVE_INVALID",
    `${JSON.stringify(name)} is ${what}, which cannot be read; write the archive again without it (GNU tar: --format=pax, not --sparse)`,
  );
