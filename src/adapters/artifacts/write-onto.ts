import { closeSync, openSync } from "node:fs";
import { basename, join } from "node:path";
import { aboutDisk, diskInvalid } from "../../core/disk/disk-error.ts";
import { describeOne, type DiskFileSystem } from "../../core/disk/find-root.ts";
import type { DiskRequest } from "../../ports/disk-images.ts";
import { findRoot, rawDisk } from "../disks/index.ts";
import { runProgram } from "../overlay-diffs/run-program.ts";
import { buildExt4 } from "./build-ext4.ts";
import { makeSparse, needsOf } from "./root-image.ts";
import { copySparse } from "./sparse-copy.ts";

/**
 * A copy of a disk with another root: an ext4 of the old one's place, size, UUID and label, made of the tree. The maker's boot
 * loader finds it as before. Nothing is mounted for writing, so equal trees and disks give equal bytes.
 *
 * @returns the raw disk, in `work`
 * @throws DISK_INVALID: not exactly one root; one that is no ext4 or too small
 */
export async function writeOnto(request: DiskRequest & { readonly onto: string }, work: string, signal: AbortSignal): Promise<string> {
  const { onto, tree, contents, epochSeconds } = request;
  const target = join(work, "disk.raw");
  try {
    const raw = await rawDisk(onto, target, signal);
    const root = await findRoot(raw, undefined, { folder: work, signal });
    const { entries } = refuseUnfit(root, contents.listing);
    if (raw !== target) await runProgram(["cp", "--sparse=always", "--reflink=auto", raw, target], { signal });
    const image = join(work, "root.ext4");
    makeSparse(image, root.sizeBytes);
    await buildExt4({
      target: image,
      directory: tree.hostPath,
      uuid: root.uuid ?? "",
      ...(root.label === undefined ? {} : { label: root.label }),
      epochSeconds,
      entries,
      signal,
    });
    await replace(target, root, image, signal);
    return target;
  } catch (error) {
    throw aboutDisk(error, basename(onto));
  }
}

function refuseUnfit(root: DiskFileSystem, listing: string): { readonly entries: number } {
  if (root.type !== "ext4" || root.uuid === undefined)
    throw diskInvalid(`Its root, ${describeOne(root)}, is no ext4, and only that is written back`, "export it without --onto");
  const { leastBytes, entries } = needsOf(listing);
  if (leastBytes > root.sizeBytes)
    throw diskInvalid(
      `Its root, ${describeOne(root)}, is too small: the image needs ${Math.ceil(leastBytes / 1_000_000)} MB`,
      "enlarge the disk and its root partition with the tools of its maker",
    );
  return { entries };
}

/** What stood there before goes first: holes are left where the new one is zero. */
async function replace(disk: string, root: DiskFileSystem, image: string, signal: AbortSignal): Promise<void> {
  const place = ["--offset", String(root.startBytes), "--length", String(root.sizeBytes)];
  await runProgram(["fallocate", "--punch-hole", ...place, disk], { signal });
  const descriptor = openSync(disk, "r+");
  try {
    await copySparse(image, descriptor, root.startBytes, signal);
  } finally {
    closeSync(descriptor);
  }
}
