import { BakehouseError } from "../core/errors.ts";
import { didYouMean } from "../core/text/did-you-mean.ts";
import type { Clock } from "../ports/host.ts";
import type { ImageMount, ImageMounts, MountState } from "../ports/image-mounts.ts";
import type { ImageTrees } from "../ports/image-trees.ts";
import type { Store } from "../ports/store.ts";
import { readImage } from "./image-content.ts";

export interface MountImageParts {
  readonly store: Store;
  readonly trees: Pick<ImageTrees, "ensureUnpacked">;
  readonly mounts: ImageMounts;
  readonly clock: Clock;
}

/**
 * Mounts an image read-only at a directory of the host; a volume with its root image below it. It stays until
 * `unmountImage`, and `gc` keeps what it stands on.
 *
 * @param directory  absolute; made if it is not there
 * @throws IMAGE_NOT_FOUND, INPUT_INVALID (the directory is in use), SETUP_INCOMPLETE (not root), STORE_READ_ONLY
 */
export async function mountImage(parts: MountImageParts, reference: string, directory: string): Promise<ImageMount> {
  const { entry, name, source } = readImage(parts.store, reference);
  if (parts.store.readOnly)
    throw new BakehouseError("STORE_READ_ONLY", `The store ${parts.store.root} cannot be written to, so a mount could not be recorded`, {
      hint: "use a store that you may write to, or run as root",
    });
  await parts.trees.ensureUnpacked(source.diffs);
  return parts.mounts.mount({ image: entry.digest, name, directory, source, mountedAt: parts.clock.now().toISOString() });
}

/**
 * Ends the mount at a directory, or all mounts of an image when a reference (name or digest) is given instead.
 *
 * @throws INPUT_INVALID when nothing of this store is mounted there, RESOURCE_BUSY when it is in use
 */
export async function unmountImage(
  parts: Pick<MountImageParts, "mounts">,
  where: { readonly directory: string; readonly given: string } | "all",
): Promise<readonly ImageMount[]> {
  const mounts = parts.mounts.list();
  const chosen = where === "all" ? mounts : matching(mounts, where);
  for (const mount of [...chosen].reverse()) await parts.mounts.unmount(mount);
  return chosen;
}

function matching(mounts: readonly MountState[], where: { readonly directory: string; readonly given: string }): readonly MountState[] {
  const hex = where.given.replace(/^sha256:/, "");
  const isDigest = /^[0-9a-f]{4,64}$/.test(hex);
  const found = mounts.filter(
    ({ directory, name, image }) =>
      directory === where.directory || name === where.given || (isDigest && image.slice("sha256:".length).startsWith(hex)),
  );
  if (found.length > 0) return found;
  const near = didYouMean(
    where.directory,
    mounts.map(({ directory }) => directory),
  );
  throw new BakehouseError("INPUT_INVALID", `No image of this store is mounted at ${where.directory}`, {
    hint: near === undefined ? "bakehouse image mount   (lists what is mounted)" : `did you mean ${near}?`,
  });
}
