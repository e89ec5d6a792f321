import { createHash } from "node:crypto";
import { createReadStream, existsSync, mkdirSync, statSync } from "node:fs";
import { open, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Sha256 } from "../../core/digest.ts";

/** Bodies of recorded answers by digest: `<folder>/<hex>`. Written beside their place, synced and renamed into it. */
export interface BodyStore {
  has(digest: Sha256): boolean;
  path(digest: Sha256): string;
  /** Takes in a stream; each chunk goes on to `tee` as well, before it is on disk. With `expected`, other content is dropped and refused. */
  add(chunks: AsyncIterable<Buffer>, tee: (chunk: Buffer) => Promise<void>, expected?: Sha256): Promise<StoredBody>;
  /** Reads it all and compares; true when it is what its name says. */
  verify(digest: Sha256): Promise<boolean>;
}

export interface StoredBody {
  readonly sha256: Sha256;
  readonly sizeBytes: number;
}

let sequence = 0;

export function bodyStore(folder: string): BodyStore {
  const path = (digest: Sha256): string => join(folder, digest.slice("sha256:".length));
  return {
    path,
    has: (digest) => existsSync(path(digest)),
    add: async (chunks, tee, expected) => {
      mkdirSync(folder, { recursive: true });
      const beside = join(folder, `.new-${process.pid}-${Date.now()}-${sequence++}`);
      try {
        const body = await writeBody(beside, chunks, tee);
        if (expected !== undefined && body.sha256 !== expected) throw new Error("it has other content now");
        await rename(beside, path(body.sha256));
        return body;
      } finally {
        await rm(beside, { force: true });
      }
    },
    verify: async (digest) => {
      const hash = createHash("sha256");
      for await (const chunk of createReadStream(path(digest))) hash.update(chunk as Buffer);
      return `sha256:${hash.digest("hex")}` === digest;
    },
  };
}

async function writeBody(file: string, chunks: AsyncIterable<Buffer>, tee: (chunk: Buffer) => Promise<void>): Promise<StoredBody> {
  const hash = createHash("sha256");
  let sizeBytes = 0;
  const handle = await open(file, "wx", 0o644);
  try {
    for await (const chunk of chunks) {
      hash.update(chunk);
      sizeBytes += chunk.length;
      await Promise.all([handle.write(chunk), tee(chunk)]);
    }
    await handle.sync();
  } finally {
    await handle.close();
  }
  return { sha256: `sha256:${hash.digest("hex")}`, sizeBytes };
}

export const sizeOf = (file: string): number => statSync(file).size;
