import { closeSync, ftruncateSync, openSync, readSync, statSync, writeSync } from "node:fs";
import type { AuditMirror } from "../../ports/ledger.ts";

/** Its place below the store's root. */
export const AUDIT_MIRROR = "audit.jsonl";

/**
 * `audit.jsonl`: each record of the audit log as canonical JSON on a line of its own, in order. Only written under the write lock
 * of the catalog.
 */
export function auditMirror(file: string): AuditMirror {
  const sizeBytes = (): number => statSync(file, { throwIfNoEntry: false })?.size ?? 0;
  return {
    sizeBytes,
    readFrom: (offset) => {
      const size = sizeBytes();
      if (size <= offset) return { lines: [], endBytes: size };
      const bytes = Buffer.alloc(size - offset);
      const handle = openSync(file, "r");
      try {
        readSync(handle, bytes, 0, bytes.length, offset);
      } finally {
        closeSync(handle);
      }
      const end = bytes.lastIndexOf(0x0a) + 1;
      return { lines: end === 0 ? [] : bytes.toString("utf8", 0, end - 1).split("\n"), endBytes: offset + end };
    },
    appendAt: (offset, lines) => {
      if (lines.length === 0 && sizeBytes() <= offset) return offset;
      const handle = openSync(file, "a+", 0o644);
      try {
        ftruncateSync(handle, offset);
        const bytes = Buffer.from(lines.map((line) => `${line}\n`).join(""));
        for (let done = 0; done < bytes.length;) done += writeSync(handle, bytes, done);
        return offset + bytes.length;
      } finally {
        closeSync(handle);
      }
    },
  };
}
