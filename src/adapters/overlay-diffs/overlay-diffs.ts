import type { Sha256 } from "../../core/digest.ts";
import type { Diffs, DiffSummary } from "../../ports/diffs.ts";
import { normalise } from "./normalise.ts";
import { unpackDiff } from "./unpack-diff.ts";
import { writeTree } from "./write-tree.ts";

/** Diffs as overlayfs has them: upper directories in, lower directories out. Needs root, getfattr and setfattr. */
export function overlayDiffs(): Diffs {
  return {
    normalise,
    write: ({ directory, target, epochSeconds, lowerHasDirectory, signal }) =>
      writeTree({ directory, target, epochSeconds, signal, form: { kind: "diff", lowerHasDirectory } }),
    unpack: unpackDiff,
  };
}

/** The digest that `writeDirectoryTar` would give, without writing anything; names a volume. The directory is left alone. */
export const treeDigest = async (
  directory: string,
  options: { readonly epochSeconds?: number; readonly signal?: AbortSignal } = {},
): Promise<Sha256> => (await writeTree({ directory, form: { kind: "tree" }, ...options })).diffId;

/**
 * Writes any directory (such as a mounted image) as a tar, the same way as a diff but with every name and device as it stands.
 *
 * @param target  a path that does not exist yet, or an open descriptor such as standard output
 */
export const writeDirectoryTar = (
  directory: string,
  target: string | number,
  options: { readonly epochSeconds?: number; readonly remark?: string; readonly signal?: AbortSignal } = {},
): Promise<DiffSummary> => writeTree({ directory, target, form: { kind: "tree" }, ...options });
