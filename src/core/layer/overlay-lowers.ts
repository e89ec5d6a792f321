import type { DiffId } from "../digest.ts";

/**
 * The layers of an overlay mount for diffs upon each other (the lowest first), in the order that mount(8) wants: the highest first.
 *
 * Two steps may have left the same diff, such as none at all, and the kernel mounts no layer twice (ELOOP). Only the highest of
 * them is kept: whatever the lower one has or hides at a path, the higher one has or hides there again.
 */
export const overlayLowers = (diffs: readonly DiffId[]): readonly DiffId[] => [...new Set([...diffs].reverse())];
