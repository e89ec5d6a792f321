import { createHash } from "node:crypto";
import { writeSync } from "node:fs";
import type { Sha256 } from "../../core/digest.ts";

/** Measured: less makes more system calls, more gains nothing and costs memory. */
const BUFFER_BYTES = 4 * 1024 * 1024;

/** Bytes on their way to a file and into a SHA-256, through one buffer that is filled in place. */
export interface TarOutput {
  write(bytes: Uint8Array): void;
  /** Room to fill directly; `filled` says how much of it was. Never empty. */
  room(): Uint8Array;
  filled(count: number): void;
  zeros(count: number): void;
  /** Flushes. */
  end(): { readonly digest: Sha256; readonly sizeBytes: number };
}

/** @param descriptor  open for writing, or `undefined` to hash only */
export function tarOutput(descriptor: number | undefined): TarOutput {
  const buffer = Buffer.allocUnsafeSlow(BUFFER_BYTES);
  const hash = createHash("sha256");
  let used = 0;
  let flushed = 0;

  function flush(): void {
    const bytes = buffer.subarray(0, used);
    hash.update(bytes);
    if (descriptor !== undefined) for (let at = 0; at < used;) at += writeSync(descriptor, bytes, at, used - at);
    flushed += used;
    used = 0;
  }

  function filled(count: number): void {
    used += count;
    if (used === BUFFER_BYTES) flush();
  }

  return {
    write(bytes) {
      for (let at = 0; at < bytes.length;) {
        const count = Math.min(bytes.length - at, BUFFER_BYTES - used);
        buffer.set(bytes.subarray(at, at + count), used);
        at += count;
        filled(count);
      }
    },
    room: () => buffer.subarray(used),
    filled,
    zeros(count) {
      for (let left = count; left > 0;) {
        const now = Math.min(left, BUFFER_BYTES - used);
        buffer.fill(0, used, used + now);
        left -= now;
        filled(now);
      }
    },
    end() {
      flush();
      return { digest: `sha256:${hash.digest("hex")}`, sizeBytes: flushed };
    },
  };
}
