import { createHash } from "node:crypto";
import type { DiffId } from "../../core/digest.ts";
import { BakehouseError } from "../../core/errors.ts";
import { tarParser } from "../../core/layer/tar-parser.ts";
import { safetyChecker, type UnsafeEntry } from "../../core/layer/unsafe-entries.ts";
import type { DiffSummary } from "../../ports/diffs.ts";
import { archiveChunks } from "./archive-source.ts";
import { diskError } from "./run-program.ts";
import { TreeBuilder } from "./tree-builder.ts";

/** So many are written out; the rest is counted. */
const NAMED_IN_MESSAGE = 50;

export function unsafeArchive(archive: string, problems: readonly UnsafeEntry[]): BakehouseError {
  const named = problems.slice(0, NAMED_IN_MESSAGE).map(({ path, reason }) => `  ${path}: ${reason}`);
  const more = problems.length - named.length;
  const message = [
    `${archive} holds ${problems.length} unsafe ${problems.length === 1 ? "entry" : "entries"}:`,
    ...named,
    ...(more > 0 ? [`  and ${more} more`] : []),
  ];
  return new BakehouseError("ARCHIVE_UNSAFE", message.join("\n"), {
    hint: "take these entries out of the archive",
    details: problems.map((problem) => ({ ...problem })),
  });
}

/** Says which archive; the parser does not know. */
export const inArchive = (error: unknown, archive: string): unknown =>
  error instanceof BakehouseError && error.code === "ARCHIVE_INVALID" && !error.message.includes(archive)
    ? new BakehouseError("ARCHIVE_INVALID", `${archive}: ${error.message}`, error.help, error)
    : error;

/**
 * Unpacks a layer into an empty directory as overlayfs wants its lower directories, in one pass over the archive. Unsafe
 * entries are never written; when there are any, or the digest is another one, the directory is left for the caller to remove.
 *
 * @throws BakehouseError ARCHIVE_UNSAFE (all of them), ARCHIVE_INVALID, DIGEST_MISMATCH, STORE_FULL
 */
export async function unpackDiff(tar: string, directory: string, expected?: DiffId): Promise<DiffSummary> {
  const checker = safetyChecker({ base: "/", strip: 0, devices: true, whiteouts: true });
  const builder = new TreeBuilder({ root: directory, into: "/", whiteouts: "lower" });
  const hash = createHash("sha256");
  let sizeBytes = 0;
  let entries = 0;
  let unreadable: BakehouseError | undefined;
  const parser = tarParser({
    entry(entry) {
      entries += 1;
      const safe = checker.check(entry);
      if (safe !== undefined && checker.problems.length === 0) builder.entry(safe);
    },
    content: (bytes) => builder.content(bytes),
    entryEnd: () => builder.entryEnd(),
  });
  // bytes that cannot be read may be the wrong bytes, which is the better thing to say: go on hashing
  const attempt = (read: () => void): void => {
    if (unreadable !== undefined) return;
    try {
      read();
    } catch (error) {
      if (expected === undefined || !(error instanceof BakehouseError) || error.code !== "ARCHIVE_INVALID") throw error;
      unreadable = error;
    }
  };
  try {
    for await (const chunk of archiveChunks(tar)) {
      hash.update(chunk);
      sizeBytes += chunk.length;
      attempt(() => parser.push(chunk));
    }
    attempt(() => parser.finish());
    const diffId: DiffId = `sha256:${hash.digest("hex")}`;
    if (expected !== undefined && diffId !== expected) throw mismatch(tar, expected, diffId);
    if (unreadable !== undefined) throw unreadable;
    if (checker.problems.length > 0) throw unsafeArchive(tar, checker.problems);
    await builder.finish();
    return { diffId, sizeBytes, entries };
  } catch (error) {
    throw diskError(inArchive(error, tar), directory);
  } finally {
    builder.abandon();
  }
}

const mismatch = (tar: string, expected: DiffId, actual: DiffId): BakehouseError =>
  new BakehouseError("DIGEST_MISMATCH", `${tar} holds ${actual}, not ${expected}`, { details: { file: tar, expected, actual } });
