import { spawn } from "node:child_process";
import { closeSync, createReadStream, fstatSync, openSync, readSync } from "node:fs";
import { setImmediate as nextTurn } from "node:timers/promises";
import { createGunzip } from "node:zlib";
import { BakehouseError } from "../../core/errors.ts";
import { cancelledError, missingProgram, throwIfCancelled } from "./run-program.ts";

/** 1 MiB: beyond that, reading gets no faster. */
const CHUNK_BYTES = 1024 * 1024;
/** Give the event loop a turn every 16 chunks, 10 to 20 ms of work. */
const CHUNKS_PER_TURN = 16;

type Compression = "none" | "gzip" | "xz" | "zstd";

const MAGIC: readonly { readonly bytes: readonly number[]; readonly means: Compression | "bzip2" | "a zip file" | "a Debian package" }[] = [
  { bytes: [0x1f, 0x8b], means: "gzip" },
  { bytes: [0x28, 0xb5, 0x2f, 0xfd], means: "zstd" },
  { bytes: [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00], means: "xz" },
  { bytes: [0x42, 0x5a, 0x68], means: "bzip2" },
  { bytes: [0x50, 0x4b, 0x03, 0x04], means: "a zip file" },
  { bytes: [0x21, 0x3c, 0x61, 0x72, 0x63, 0x68, 0x3e], means: "a Debian package" },
];

/**
 * Reads an archive (plain, gzip, xz or zstd; told apart by its first bytes) as plain tar, in chunks, never as a whole.
 * The chunks are views of a buffer that is used again: whoever keeps one copies it.
 *
 * @param leap  asked after each chunk: how many bytes from here nobody wants. Only a plain tar can be leapt in.
 * @throws BakehouseError ARCHIVE_INVALID when the compression is unknown or the compressed data is damaged or cut off
 */
export async function* archiveChunks(file: string, signal?: AbortSignal, leap?: () => number): AsyncGenerator<Uint8Array> {
  const compression = compressionOf(file);
  if (compression === "none") yield* plainChunks(file, signal, leap);
  else if (compression === "gzip") yield* gunzipChunks(file, signal);
  else yield* programChunks(file, compression, signal);
}

function compressionOf(file: string): Compression {
  const head = Buffer.alloc(8);
  const descriptor = openSync(file, "r");
  try {
    if (!fstatSync(descriptor).isFile()) throw new BakehouseError("ARCHIVE_INVALID", `${file} is not a file`);
    const length = readSync(descriptor, head, 0, head.length, 0);
    const known = MAGIC.find(({ bytes }) => length >= bytes.length && bytes.every((byte, at) => head[at] === byte));
    const means = known?.means ?? "none";
    if (means === "bzip2" || means.startsWith("a ")) {
      throw new BakehouseError(
        "ARCHIVE_INVALID",
        `${file} is ${means === "bzip2" ? "compressed with bzip2" : means}, not a tar that Bakehouse reads`,
        {
          hint: "give it as .tar, .tar.gz, .tar.xz or .tar.zst",
        },
      );
    }
    return means as Compression;
  } finally {
    closeSync(descriptor);
  }
}

/** @param leap  asked after each chunk: how many bytes from here nobody wants */
async function* plainChunks(file: string, signal?: AbortSignal, leap?: () => number): AsyncGenerator<Uint8Array> {
  const descriptor = openSync(file, "r");
  try {
    const buffer = Buffer.allocUnsafeSlow(CHUNK_BYTES);
    const sizeBytes = fstatSync(descriptor).size;
    for (let position = 0, chunks = 1; position < sizeBytes; chunks++) {
      const count = readSync(descriptor, buffer, 0, CHUNK_BYTES, position);
      if (count === 0) return;
      yield buffer.subarray(0, count);
      position += count + (leap?.() ?? 0);
      if (chunks % CHUNKS_PER_TURN === 0) await nextTurn();
      throwIfCancelled(signal);
    }
  } finally {
    closeSync(descriptor);
  }
}

async function* gunzipChunks(file: string, signal?: AbortSignal): AsyncGenerator<Uint8Array> {
  const source = createReadStream(file, { highWaterMark: CHUNK_BYTES / 4 });
  const gunzip = createGunzip({ chunkSize: CHUNK_BYTES / 4 });
  source.on("error", (error) => gunzip.destroy(error));
  source.pipe(gunzip);
  try {
    for await (const chunk of gunzip) {
      throwIfCancelled(signal);
      yield chunk as Buffer;
    }
  } catch (error) {
    throw isZlibError(error) ? damaged(file, "gzip", error.message, error) : error;
  } finally {
    source.destroy();
    gunzip.destroy();
  }
}

const isZlibError = (error: unknown): error is Error =>
  error instanceof Error && "code" in error && typeof error.code === "string" && error.code.startsWith("Z_");

/** zstd too: Node's own decompressor stops after the first frame, and pzstd and zstd:chunked write many. */
async function* programChunks(file: string, program: "xz" | "zstd", signal?: AbortSignal): AsyncGenerator<Uint8Array> {
  const child = spawn(program, ["-dc", "--", file], { stdio: ["ignore", "pipe", "pipe"] });
  let complaint = "";
  child.stderr.on("data", (chunk: Buffer) => (complaint = (complaint + chunk.toString()).slice(-2000)));
  const ended = new Promise<number | Error>((resolve) => {
    child.on("error", resolve);
    child.on("close", (code) => resolve(code ?? -1));
  });
  try {
    for await (const chunk of child.stdout) {
      if (signal?.aborted === true) throw cancelledError(signal);
      yield chunk as Buffer;
    }
    const result = await ended;
    if (result instanceof Error) throw missingProgram(program, result);
    if (result !== 0) throw damaged(file, program, complaint.trim());
  } finally {
    child.kill();
    await ended;
  }
}

const damaged = (file: string, compression: string, reason: string, cause?: unknown): BakehouseError =>
  new BakehouseError("ARCHIVE_INVALID", `${file} is damaged or cut off: ${compression} says ${reason}`, {}, cause);
