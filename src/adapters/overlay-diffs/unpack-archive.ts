import { BakehouseError } from "../../core/errors.ts";
import type { TarEntry } from "../../core/layer/model.ts";
import { type RawPath, rawFromText } from "../../core/layer/raw-path.ts";
import { tarParser, type TarSink } from "../../core/layer/tar-parser.ts";
import { type SafetyRules, safetyChecker } from "../../core/layer/unsafe-entries.ts";
import { whiteoutOf } from "../../core/layer/whiteout.ts";
import type { ImageRoot } from "../../ports/image-root.ts";
import type { Archives, UnpackOptions } from "../../ports/step-services.ts";
import { archiveChunks } from "./archive-source.ts";
import { diskError } from "./run-program.ts";
import { TreeBuilder } from "./tree-builder.ts";
import { inArchive, unsafeArchive } from "./unpack-diff.ts";

export interface UnpackArchiveOptions extends UnpackOptions {
  readonly signal?: AbortSignal;
}

/**
 * Unpacks a tar (plain, gzip, xz, zstd) below `root`. The archive is read twice: nothing is written before all of it was
 * found safe and whole. Symbolic links that the image has are followed inside it (`lib/x` goes to `/usr/lib/x` on merged-usr);
 * those that the archive brings are followed only within `into`.
 *
 * @param root  host path of the image's tree
 * @throws BakehouseError ARCHIVE_UNSAFE (all bad entries), ARCHIVE_INVALID, INPUT_INVALID (a file would replace a full directory), CANCELLED
 */
export async function unpackArchive(archive: string, root: string, options: UnpackArchiveOptions = {}): Promise<void> {
  const into = options.into ?? "/";
  const rules: SafetyRules = {
    base: into === "/" ? "/" : rawFromText(into.replace(/\/+$/, "")),
    strip: options.strip ?? 0,
    devices: options.devices ?? false,
    whiteouts: options.whiteouts ?? false,
  };
  const builder = new TreeBuilder({
    root,
    into,
    whiteouts: rules.whiteouts ? "merged" : "literal",
    ...(options.owner === undefined ? {} : { owner: options.owner }),
  });
  try {
    const { removed, opaque } = await inspect(archive, rules, options.signal);
    builder.clearWhiteouts(removed, opaque);
    const checker = safetyChecker(rules);
    await feed(archive, options.signal, {
      entry(entry) {
        const safe = checker.check(entry);
        if (safe !== undefined) builder.entry(safe);
      },
      content: (bytes) => builder.content(bytes),
      entryEnd: () => builder.entryEnd(),
    });
    await builder.finish();
  } catch (error) {
    throw diskError(inArchive(error, archive), root);
  } finally {
    builder.abandon();
  }
}

/** The `Archives` of a step: unpacks into the image that is being baked. */
export function archives(root: Pick<ImageRoot, "hostPath">, signal?: AbortSignal): Archives {
  return {
    unpack: (hostPath, options = {}) => unpackArchive(hostPath, root.hostPath, { ...options, ...(signal === undefined ? {} : { signal }) }),
  };
}

interface Findings {
  readonly removed: readonly RawPath[];
  readonly opaque: readonly RawPath[];
}

async function inspect(archive: string, rules: SafetyRules, signal: AbortSignal | undefined): Promise<Findings> {
  const checker = safetyChecker(rules);
  const removed: RawPath[] = [];
  const opaque: RawPath[] = [];
  let entries = 0;
  await feed(archive, signal, {
    entry(entry: TarEntry) {
      entries += 1;
      const safe = checker.check(entry);
      const whiteout = safe === undefined || !rules.whiteouts ? undefined : whiteoutOf(safe.path);
      if (whiteout?.kind === "removed") removed.push(whiteout.path);
      else if (whiteout?.kind === "opaque") opaque.push(whiteout.path);
    },
  });
  if (checker.problems.length > 0) throw unsafeArchive(archive, checker.problems);
  if (entries === 0) throw new BakehouseError("ARCHIVE_INVALID", `${archive} holds no entries`);
  return { removed, opaque };
}

async function feed(archive: string, signal: AbortSignal | undefined, sink: TarSink): Promise<void> {
  const parser = tarParser(sink);
  const leap = (): number => {
    const count = parser.skippableBytes();
    parser.skip(count);
    return count;
  };
  for await (const chunk of archiveChunks(archive, signal, leap)) parser.push(chunk);
  parser.finish();
}
