import { existsSync, realpathSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { BakehouseError } from "../../core/errors.ts";
import { hexOf, type DiffId, type Sha256 } from "../../core/digest.ts";
import { overlayLowers } from "../../core/layer/overlay-lowers.ts";
import type { OpenTree, TreeSource } from "../../ports/image-trees.ts";
import { hostImageRoot } from "../image-root/image-root.ts";
import { shellQuote, startHolder, type Holder } from "../sandbox/holder.ts";

export interface StorePlaces {
  /** Folder of the unpacked diffs. */
  readonly diffs: string;
  /** Folder of the blobs. */
  readonly blobs: string;
  diffName(diff: DiffId): string;
}

/**
 * Mounts the tree of an image in a mount namespace that nobody else sees; the kernel takes everything back when this
 * process dies, the loop device of a volume included (mount sets it to clear itself).
 *
 * A tmpfs covers a standard folder of the host inside that namespace, so that nothing is made on the host's own disk:
 *
 *     <cover>/points/…   the volume's mount point, the lowest layer of all
 *     <cover>/tree       the merged image; the volume mounted at its path
 *     <cover>/volume     the volume by itself
 */
export function openPrivateTree(places: StorePlaces, source: TreeSource, uncovered?: string): Promise<OpenTree> {
  return openPrivately([places.diffs, places.blobs, ...(uncovered === undefined ? [] : [uncovered])], async (holder, cover) => {
    const point = source.volume === undefined ? "" : source.volume.path;
    const lowers = [...overlayLowers(source.diffs).map((diff) => places.diffName(diff)), `${cover}/points`];
    await holder.run(makePoints(cover, point));
    // relative names keep the options within the one page that the kernel takes
    await holder.run(`cd ${shellQuote(places.diffs)} && mount -t overlay -o ro,lowerdir=${lowers.join(":")} overlay ${cover}/tree`);
    if (source.volume !== undefined)
      await mountVolume(holder, places, source.volume.blob, insideTree(holder, `${cover}/tree`, source.volume.path));
    return `${cover}/tree`;
  });
}

/** Folders that the image itself lacks on the way to its volume: they look the same everywhere and always. */
export const makePoints = (cover: string, path: string): string =>
  `umask 022; mkdir -p ${shellQuote(`${cover}/points${path}`)} ${cover}/tree && find ${cover}/points -exec touch -d @0 {} +`;

/** The place of a path with the image's own links followed inside the image: one of them may be absolute. */
export function insideTree(holder: Holder, tree: string, path: string): string {
  const prefix = `/proc/${holder.pid}/root`;
  return hostImageRoot(`${prefix}${tree}`).resolve(path).slice(prefix.length);
}

/** A volume by itself. */
export function openPrivateVolume(places: StorePlaces, blob: Sha256): Promise<OpenTree> {
  return openPrivately([places.blobs], async (holder, cover) => {
    await holder.run(`mkdir ${cover}/volume`);
    await mountVolume(holder, places, blob, `${cover}/volume`);
    return `${cover}/volume`;
  });
}

const mountVolume = (holder: Holder, places: StorePlaces, blob: Sha256, at: string): Promise<string> =>
  holder.run(`mount -t erofs -o ro,loop,nodev ${shellQuote(join(places.blobs, hexOf(blob)))} ${shellQuote(at)}`);

/** Folders that every Linux has (Filesystem Hierarchy Standard 3.0) and that may be covered in a namespace of our own. */
const COVERS = ["/mnt", "/media", "/srv", "/opt", "/home"] as const;

/** With links followed, of what is there already. */
const realPath = (path: string): string => (existsSync(path) ? realpathSync(path) : join(realPath(dirname(path)), basename(path)));

/**
 * Mounts something in a namespace of its own.
 *
 * @param uncovered  host paths that `mount` needs
 * @param mount      given a folder of its own below which everything may be mounted; returns the tree's path in the namespace
 */
export async function openPrivately(
  uncovered: readonly string[],
  mount: (holder: Holder, cover: string) => Promise<string>,
): Promise<OpenTree> {
  if (process.getuid?.() !== 0) throw new BakehouseError("SETUP_INCOMPLETE", "Mounting an image needs root", { hint: "run it with sudo" });
  const cover = COVERS.find((folder) => existsSync(folder) && !uncovered.some((path) => realPath(path).startsWith(`${folder}/`)));
  if (cover === undefined)
    throw new BakehouseError("SETUP_INCOMPLETE", `This machine has none of the folders ${COVERS.join(", ")} that a mount could use`, {
      hint: "mkdir /mnt",
    });
  const holder = await startHolder();
  try {
    await holder.run(`mount -t tmpfs -o mode=755 tmpfs ${cover}`);
    const tree = await mount(holder, cover);
    return { hostPath: `/proc/${holder.pid}/root${tree}`, inside: { pid: holder.pid, path: tree }, close: () => holder.close() };
  } catch (error) {
    await holder.close();
    throw error;
  }
}
