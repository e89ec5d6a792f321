import { closeSync, openSync, readdirSync, readlinkSync, readSync } from "node:fs";
import { setImmediate } from "node:timers/promises";
import { createMatcher, type Matcher } from "./matcher.ts";
import { needlesFor, type NamedSecret, type Needle, type SecretForm } from "./needles.ts";

export interface FoundSecret {
  /** Below the directory, with a slash in front. */
  readonly path: string;
  /** The secret's name; never its value. */
  readonly secret: string;
  readonly form: SecretForm;
}

/**
 * Looks for secrets in everything below a directory: contents, names of files, targets of links. Files are read in
 * chunks, so their size does not matter. Compressed and encrypted content is not looked into.
 *
 * @returns one entry per path and secret, sorted by path
 */
export async function scanForSecrets(
  directory: string,
  secrets: readonly NamedSecret[],
  signal?: AbortSignal,
): Promise<readonly FoundSecret[]> {
  const needles = needlesFor(secrets);
  if (needles.length === 0) return [];
  const scanner = new TreeScanner(createMatcher(needles));
  await scanner.scanFolder(Buffer.from(directory), "", signal);
  return scanner.found.sort((a, b) => (a.path < b.path ? -1 : a.path > b.path ? 1 : a.secret < b.secret ? -1 : 1));
}

/** Large enough that calls cost nothing beside the reading. */
const CHUNK_BYTES = 1 << 20;
/** How much is read before others get their turn. */
const TURN_BYTES = 16 << 20;

class TreeScanner {
  readonly found: FoundSecret[] = [];
  private readonly matcher: Matcher;
  private readonly buffer: Buffer;
  private sinceTurn = 0;

  constructor(matcher: Matcher) {
    this.matcher = matcher;
    this.buffer = Buffer.allocUnsafe(CHUNK_BYTES + matcher.longest);
  }

  /** Names are bytes: not all of them are UTF-8. */
  async scanFolder(folder: Buffer, path: string, signal: AbortSignal | undefined): Promise<void> {
    for (const entry of readdirSync(folder, { withFileTypes: true, encoding: "buffer" })) {
      signal?.throwIfAborted();
      const name = entry.name;
      const hostPath = Buffer.concat([folder, Buffer.from("/"), name]);
      const shown = `${path}/${name.toString("utf8")}`;
      this.scanBytes(name, shown);
      if (entry.isSymbolicLink()) this.scanBytes(readlinkSync(hostPath, { encoding: "buffer" }), shown);
      else if (entry.isDirectory()) await this.scanFolder(hostPath, shown, signal);
      else if (entry.isFile()) await this.scanFile(hostPath, shown, signal);
    }
  }

  private scanBytes(bytes: Buffer, path: string): void {
    this.matcher.scan(bytes, bytes.length, ({ needle }) => this.note(path, needle));
  }

  private async scanFile(hostPath: Buffer, path: string, signal: AbortSignal | undefined): Promise<void> {
    const descriptor = openSync(hostPath, "r");
    try {
      let carried = 0;
      for (;;) {
        const read = readSync(descriptor, this.buffer, carried, CHUNK_BYTES, null);
        if (read === 0) return;
        const length = carried + read;
        this.matcher.scan(this.buffer, length, ({ needle }) => this.note(path, needle));
        carried = Math.min(length, this.matcher.longest - 1);
        this.buffer.copyWithin(0, length - carried, length);
        await this.maybeTurn(read, signal);
      }
    } finally {
      closeSync(descriptor);
    }
  }

  private async maybeTurn(read: number, signal: AbortSignal | undefined): Promise<void> {
    this.sinceTurn += read;
    if (this.sinceTurn < TURN_BYTES) return;
    this.sinceTurn = 0;
    await setImmediate();
    signal?.throwIfAborted();
  }

  /** One entry a path and secret is enough. Others may be in the same file, so the search goes on. */
  private note(path: string, needle: Needle): true {
    const known = this.found.some((entry) => entry.path === path && entry.secret === needle.secret);
    if (!known) this.found.push({ path, secret: needle.secret, form: needle.form });
    return true;
  }
}
