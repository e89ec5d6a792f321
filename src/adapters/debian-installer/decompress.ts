import { spawn } from "node:child_process";
import { closeSync, fstatSync, openSync } from "node:fs";
import { gunzipSync, zstdDecompressSync } from "node:zlib";
import { readAt, type DebMember } from "./deb-archive.ts";
import { openScratch, type Scratch } from "./scratch.ts";
import type { ReadTar } from "./tar-headers.ts";

export interface CompressedMember {
  readonly hostPath: string;
  readonly member: DebMember;
}

export interface DecompressOptions {
  /** Where scratch files may lie. */
  readonly directory: string;
  /** Programs at work at the same time; more than the machine has cores gains nothing. */
  readonly jobs: number;
  readonly signal: AbortSignal;
}

/** One decompressed member. */
export interface TarContent {
  readonly read: ReadTar;
  /** Appends a part of it to a file. */
  copy(offset: number, length: number, target: number): void;
}

/** The decompressed members in the order asked for, until `close`. */
export interface Decompressed {
  readonly tars: readonly TarContent[];
  close(): void;
}

/**
 * Decompresses many members with few processes: `xz` takes a row of streams as one, and the index at the end of each says
 * how long it becomes. One process a package, as dpkg does it, costs 88 × 5 ms for a minbase.
 *
 * @throws Error with xz's own words for a damaged stream
 */
export async function decompress(members: readonly CompressedMember[], options: DecompressOptions): Promise<Decompressed> {
  const scratches: Scratch[] = [];
  const close = (): void => scratches.splice(0).forEach((scratch) => scratch.close());
  const tars = new Array<TarContent>(members.length);
  try {
    const xz = members.flatMap(({ member }, index) => (member.compression === "xz" ? [index] : []));
    const rows = shares(xz, (index) => members[index]?.member.sizeBytes ?? 0, options.jobs);
    const running = rows.map((row) => decompressRow(row, members, tars, scratches, options));
    try {
      decompressHere(members, tars, scratches, options.directory);
    } finally {
      await settled(running);
    }
    return { tars, close };
  } catch (cause) {
    close();
    throw cause;
  }
}

/** Waits for all before it throws the first failure: nothing may still write when the files are closed. */
async function settled(running: readonly Promise<void>[]): Promise<void> {
  for (const result of await Promise.allSettled(running)) if (result.status === "rejected") throw result.reason;
}

/** Splits by size, the largest first, so that the shares end at about the same time. Each share keeps the given order. */
function shares(indexes: readonly number[], size: (index: number) => number, count: number): readonly (readonly number[])[] {
  const rows = Array.from({ length: Math.max(1, count) }, () => ({ total: 0, indexes: [] as number[] }));
  for (const index of [...indexes].sort((a, b) => size(b) - size(a))) {
    const lightest = rows.reduce((a, b) => (b.total < a.total ? b : a));
    lightest.indexes.push(index);
    lightest.total += size(index);
  }
  return rows.map((row) => row.indexes.sort((a, b) => a - b)).filter((row) => row.length > 0);
}

async function decompressRow(
  row: readonly number[],
  members: readonly CompressedMember[],
  tars: TarContent[],
  scratches: Scratch[],
  options: DecompressOptions,
): Promise<void> {
  const input = openScratch(options.directory);
  const output = openScratch(options.directory);
  scratches.push(output);
  try {
    let start = 0;
    for (const index of row) {
      const member = members[index];
      if (member === undefined) continue;
      const length = appendXz(input, member);
      tars[index] = slice(output, start, length);
      start += length;
    }
    await runXz(input.fd, output.fd, options.signal);
    const { size } = fstatSync(output.fd);
    if (size !== start) throw new Error(`xz wrote ${size} bytes where the streams' indexes say ${start}`);
  } finally {
    input.close();
  }
}

const COPY_BYTES = 4 * 1024 * 1024;

/** Copies the stream and returns how long it becomes. */
function appendXz(input: Scratch, { hostPath, member }: CompressedMember): number {
  const file = openSync(hostPath, "r");
  try {
    for (let done = 0; done < member.sizeBytes; done += COPY_BYTES) {
      input.append(readAt(file, member.offset + done, Math.min(COPY_BYTES, member.sizeBytes - done)));
    }
    return xzLength((offset, length) => readAt(file, member.offset + offset, length), member.sizeBytes, hostPath);
  } finally {
    closeSync(file);
  }
}

const slice = (scratch: Scratch, start: number, size: number): TarContent => ({
  read: (offset, length) => scratch.read(start + offset, Math.max(0, Math.min(length, size - offset))),
  copy: (offset, length, target) => {
    if (offset + length > size) throw new Error("the package ends before its file does");
    scratch.copy(start + offset, length, target);
  },
});

/** Dies with this process, so that nothing goes on after a `kill -9`. */
const runXz = (input: number, output: number, signal: AbortSignal): Promise<void> =>
  new Promise((resolve, reject) => {
    const child = spawn("setpriv", ["--pdeathsig", "KILL", "xz", "-dc"], { stdio: [input, output, "pipe"], signal, killSignal: "SIGKILL" });
    let complaint = "";
    child.stderr?.setEncoding("utf8").on("data", (text: string) => (complaint = (complaint + text).slice(-1000)));
    let failure: Error | undefined;
    child.once("error", (error) => (failure = error));
    child.once("close", (code, killedBy) => {
      if (failure !== undefined) reject(failure);
      else if (code === 0) resolve();
      else reject(xzFailed(killedBy ?? `exit code ${code}`, complaint.trim()));
    });
  });

const xzFailed = (ending: string, complaint: string): Error => {
  const error = new Error(`xz ended with ${ending}: ${complaint}`);
  return complaint.includes("No space left on device") ? Object.assign(error, { code: "ENOSPC" }) : error;
};

/** zstd, gzip and plain members, which Node reads by itself. */
function decompressHere(members: readonly CompressedMember[], tars: TarContent[], scratches: Scratch[], directory: string): void {
  let output: Scratch | undefined;
  for (const [index, { hostPath, member }] of members.entries()) {
    if (member.compression === "xz") continue;
    if (output === undefined) scratches.push((output = openScratch(directory)));
    const file = openSync(hostPath, "r");
    try {
      const bytes = readAt(file, member.offset, member.sizeBytes);
      const plain = member.compression === "zstd" ? zstdDecompressSync(bytes) : member.compression === "gzip" ? gunzipSync(bytes) : bytes;
      tars[index] = slice(output, output.sizeBytes, plain.length);
      output.append(plain);
    } finally {
      closeSync(file);
    }
  }
}

/** xz-file-format 1.1.0 §2.1.2: the stream ends with CRC32, backward size, flags, `YZ`. */
const FOOTER_BYTES = 12;

/**
 * Decompressed length of one xz stream, from its index (§4): a zero byte, the number of records, and for each its
 * unpadded and its uncompressed size, as variable-length integers.
 */
function xzLength(read: ReadTar, sizeBytes: number, hostPath: string): number {
  const footer = read(sizeBytes - FOOTER_BYTES, FOOTER_BYTES);
  if (footer.toString("latin1", 10) !== "YZ") throw new Error(`${hostPath}: an xz stream is cut off`);
  const indexBytes = (footer.readUInt32LE(4) + 1) * 4;
  const index = read(sizeBytes - FOOTER_BYTES - indexBytes, indexBytes);
  if (index[0] !== 0) throw new Error(`${hostPath}: the index of an xz stream is damaged`);
  let at = 1;
  const next = (): number => {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = index[at++];
      if (byte === undefined) throw new Error(`${hostPath}: the index of an xz stream is damaged`);
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
    }
  };
  let total = 0;
  for (let records = next(); records > 0; records--) {
    next();
    total += next();
  }
  return total;
}
