import { randomBytes } from "node:crypto";
import { closeSync, openSync, readSync, unlinkSync, writeSync } from "node:fs";
import { join } from "node:path";
import { readAt } from "./deb-archive.ts";

/**
 * A file without a name: the kernel takes it away with the last process that holds it, however that process ends. It lies
 * on the file system of `directory`, which has room for what is installed there anyway.
 */
export interface Scratch {
  readonly fd: number;
  /** Appends; the position of `fd` itself stays at 0, where a program that inherits it begins to read or write. */
  append(bytes: Uint8Array): void;
  /** Bytes appended here (not by programs). */
  readonly sizeBytes: number;
  read(offset: number, length: number): Buffer;
  /** Appends a part of it to another file. @throws Error when it is shorter than that */
  copy(offset: number, length: number, target: number): void;
  close(): void;
}

/** Shared, since nothing waits between a read and its write; fresh memory for each file costs more than the copy. */
const transfer = Buffer.allocUnsafeSlow(512 * 1024);

export function openScratch(directory: string): Scratch {
  const path = join(directory, `.bakehouse-${randomBytes(8).toString("hex")}`);
  const fd = openSync(path, "wx+", 0o600);
  unlinkSync(path);
  let end = 0;
  return {
    fd,
    append(bytes) {
      for (let done = 0; done < bytes.length;) done += writeSync(fd, bytes, done, bytes.length - done, end + done);
      end += bytes.length;
    },
    get sizeBytes() {
      return end;
    },
    read: (offset, length) => readAt(fd, offset, length),
    copy(offset, length, target) {
      for (let done = 0; done < length;) {
        const count = readSync(fd, transfer, 0, Math.min(transfer.length, length - done), offset + done);
        if (count === 0) throw new Error("the package ends before its file does");
        for (let written = 0; written < count;) written += writeSync(target, transfer, written, count - written);
        done += count;
      }
    },
    close: () => closeSync(fd),
  };
}
