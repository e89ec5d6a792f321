import { createHash, type Hash } from "node:crypto";
import { BakehouseError } from "../../core/errors.ts";
import type { ListedEntry } from "../../core/layer/merge-layers.ts";
import type { TarEntry } from "../../core/layer/model.ts";
import { tarParser } from "../../core/layer/tar-parser.ts";
import { archiveChunks } from "./archive-source.ts";
import { inArchive } from "./unpack-diff.ts";

export interface ReadEntriesOptions {
  /** Hash the content of each regular file; else a plain tar's contents are leapt over. */
  readonly hash?: boolean;
  /** With `hash`: SHA-1, too. */
  readonly sha1?: boolean;
  /** Which files' contents to hand over (as `content`); at most 64 MiB each, held in memory one at a time. */
  readonly wantsContent?: (entry: TarEntry) => boolean;
  readonly signal?: AbortSignal;
}

const CONTENT_LIMIT_BYTES = 64 * 1024 * 1024;

/**
 * The entries of a tar in its order, whiteouts as they stand.
 *
 * @param source  a file (plain, gzip, xz, zstd) or the bytes of a plain tar as they come
 * @throws BakehouseError ARCHIVE_INVALID
 */
export async function* readTarEntries(
  source: string | AsyncIterable<Uint8Array>,
  options: ReadEntriesOptions = {},
): AsyncGenerator<ListedEntry> {
  const collector = new EntryCollector(options);
  const parser = tarParser(collector.sink());
  const leap = (): number => {
    const count = parser.skippableBytes();
    parser.skip(count);
    return count;
  };
  const chunks = typeof source === "string" ? archiveChunks(source, options.signal, leap) : source;
  try {
    for await (const chunk of chunks) {
      parser.push(chunk);
      yield* collector.take();
    }
    parser.finish();
    yield* collector.take();
  } catch (error) {
    throw typeof source === "string" ? inArchive(error, source) : error;
  }
}

/** Puts entries together with what was asked for about their content. */
class EntryCollector {
  readonly #options: ReadEntriesOptions;
  #done: ListedEntry[] = [];
  #entry: TarEntry | undefined;
  #hash: Hash | undefined;
  #sha1: Hash | undefined;
  #content: Buffer | undefined;
  #filled = 0;

  constructor(options: ReadEntriesOptions) {
    this.#options = options;
  }

  sink(): Parameters<typeof tarParser>[0] {
    const wantsAny = this.#options.hash === true || this.#options.wantsContent !== undefined;
    return {
      entry: (entry) => this.#start(entry),
      entryEnd: () => this.#end(),
      ...(wantsAny ? { content: (bytes: Uint8Array) => this.#take(bytes), wants: () => this.#wants() } : {}),
    };
  }

  take(): readonly ListedEntry[] {
    const done = this.#done;
    this.#done = [];
    return done;
  }

  #start(entry: TarEntry): void {
    this.#entry = entry;
    if (entry.kind !== "file") return;
    if (this.#options.hash === true) this.#hash = createHash("sha256");
    if (this.#options.hash === true && this.#options.sha1 === true) this.#sha1 = createHash("sha1");
    if (this.#options.wantsContent?.(entry) !== true) return;
    if (entry.sizeBytes > CONTENT_LIMIT_BYTES)
      throw new BakehouseError("ARCHIVE_INVALID", `${entry.path} is ${entry.sizeBytes} bytes, too much to read into memory`);
    this.#content = Buffer.alloc(entry.sizeBytes);
    this.#filled = 0;
  }

  #wants(): boolean {
    return this.#hash !== undefined || this.#content !== undefined;
  }

  #take(bytes: Uint8Array): void {
    this.#hash?.update(bytes);
    this.#sha1?.update(bytes);
    if (this.#content === undefined) return;
    this.#content.set(bytes, this.#filled);
    this.#filled += bytes.length;
  }

  /** Without a wish for content the parser may leap to the next header, and entries end where they start. */
  #end(): void {
    if (this.#entry === undefined) return;
    this.#done.push({
      ...this.#entry,
      ...(this.#hash === undefined ? {} : { sha256: this.#hash.digest("hex") }),
      ...(this.#sha1 === undefined ? {} : { sha1: this.#sha1.digest("hex") }),
      ...(this.#content === undefined ? {} : { content: this.#content }),
    });
    this.#entry = this.#hash = this.#sha1 = this.#content = undefined;
  }
}
