import { closeSync, existsSync, fstatSync, lstatSync, mkdirSync, openSync, readSync, rmSync } from "node:fs";
import { basename, join } from "node:path";
import { aboutDisk, diskInvalid } from "../../core/disk/disk-error.ts";
import {
  describeOne,
  readDiskLayout,
  rootCandidates,
  type DiskFileSystem,
  type DiskLayout,
  type RootChoice,
} from "../../core/disk/find-root.ts";
import type { ReadDisk } from "../../core/disk/partition-table.ts";
import { separateParts } from "../../core/disk/separate-parts.ts";
import type { ImageRoot } from "../../ports/image-root.ts";
import type { Disks } from "../../ports/step-services.ts";
import { hostImageRoot } from "../image-root/image-root.ts";
import { diskError, runProgram, throwIfCancelled } from "../overlay-diffs/run-program.ts";
import { shellQuote, startHolder, type Holder } from "../sandbox/holder.ts";
import { rawDisk } from "./raw-disk.ts";

/**
 * Reads disks by loop devices that mount(8) takes and that free themselves with the mount, in a mount namespace that ends with
 * this process: several bakes never want the same device, and a killed one leaves none.
 *
 * @param folder  for what has to be unpacked or replayed; kept with a failed step's state
 */
export function diskReader(root: Pick<ImageRoot, "hostPath">, folder: string, signal: AbortSignal): Disks {
  return {
    copyTree: async (hostPath, choice) => {
      const name = basename(hostPath);
      mkdirSync(folder, { recursive: true });
      try {
        const raw = await rawDisk(hostPath, join(folder, "volume.raw"), signal);
        const from = await copyRoot(raw, choice, { target: root.hostPath, folder, signal });
        rmSync(folder, { recursive: true, force: true });
        return { from: describeOne(from) };
      } catch (error) {
        throw aboutDisk(diskError(error, folder), name);
      }
    },
  };
}

interface Copying {
  /** For copies, and as a mount point that only the holder sees. */
  readonly folder: string;
  readonly signal: AbortSignal;
}

async function copyRoot(
  raw: string,
  choice: RootChoice | undefined,
  copying: Copying & { readonly target: string },
): Promise<DiskFileSystem> {
  return withRoot(raw, choice, copying, async (root, mounted, layout) => {
    refuseSeparateParts(mounted, layout, root);
    throwIfCancelled(copying.signal);
    // cp keeps owners, modes, times, hard links, sparse files, extended attributes and ACLs; the mount is the holder's, the target ours
    await runProgram(["cp", "--archive", "--one-file-system", "--no-target-directory", mounted, copying.target], {
      signal: copying.signal,
    });
    rmSync(join(copying.target, "lost+found"), { recursive: true, force: true });
    return root;
  });
}

/**
 * The root file system of a disk: the one that was chosen, else the only one that looks like it.
 *
 * @throws DISK_INVALID
 */
export const findRoot = (raw: string, choice: RootChoice | undefined, copying: Copying): Promise<DiskFileSystem> =>
  withRoot(raw, choice, copying, async (root) => root);

/** Finds the root and works on it while it is mounted. */
async function withRoot<T>(
  raw: string,
  choice: RootChoice | undefined,
  copying: Copying,
  work: (root: DiskFileSystem, mounted: string, layout: DiskLayout) => Promise<T>,
): Promise<T> {
  const layout = layoutOf(raw);
  const candidates = rootCandidates(layout, choice);
  const point = join(copying.folder, "root");
  mkdirSync(point, { recursive: true });
  const holder = await startHolder();
  try {
    const mount = (fileSystem: DiskFileSystem): Promise<string> => mountPart(holder, raw, fileSystem, { point, copying });
    const root = await theRoot(candidates, async (candidate) => {
      const isRoot = looksLikeRoot(await mount(candidate));
      await holder.run(`umount ${shellQuote(point)}`);
      return isRoot;
    });
    return await work(root, await mount(root), layout);
  } finally {
    await holder.close();
    rmSync(point, { recursive: true, force: true });
  }
}

/** @throws DISK_INVALID */
function layoutOf(raw: string): DiskLayout {
  const descriptor = openSync(raw, "r");
  try {
    return readDiskLayout(readerOf(descriptor), fstatSync(descriptor).size);
  } finally {
    closeSync(descriptor);
  }
}

const readerOf =
  (descriptor: number): ReadDisk =>
  (offset, length) => {
    const bytes = new Uint8Array(length);
    return bytes.subarray(0, readSync(descriptor, bytes, 0, length, offset));
  };

interface Mounting {
  readonly point: string;
  readonly copying: Copying;
}

/** Read-only, unless something has to be replayed first: then a copy is mounted so that it can be. @returns host path of the tree */
async function mountPart(holder: Holder, raw: string, part: DiskFileSystem, { point, copying }: Mounting): Promise<string> {
  const line = (file: string, access: "ro" | "rw"): string =>
    `mount -t ${part.type} -o ${access},nodev,nosuid,noexec,loop,offset=${part.startBytes},sizelimit=${part.sizeBytes} ${shellQuote(file)} ${shellQuote(point)}`;
  try {
    await holder.run(line(raw, "ro"));
  } catch (cause) {
    throwIfCancelled(copying.signal);
    const copy = join(copying.folder, "replayed.raw");
    if (!existsSync(copy)) await runProgram(["cp", "--sparse=always", "--reflink=auto", raw, copy], { signal: copying.signal });
    await holder.run(line(copy, "rw")).catch(() => {
      throw diskInvalid(
        `Its file system on ${describeOne(part)} cannot be mounted: ${firstLine(cause)}`,
        "check it with fsck where it was made, and whether this kernel has that file system",
      );
    });
  }
  return `/proc/${holder.pid}/root${point}`;
}

const firstLine = (error: unknown): string => String(error instanceof Error ? error.message : error).split("\n")[0] ?? "";

async function theRoot(
  candidates: readonly DiskFileSystem[],
  isRoot: (candidate: DiskFileSystem) => Promise<boolean>,
): Promise<DiskFileSystem> {
  const roots: DiskFileSystem[] = [];
  for (const candidate of candidates) if (await isRoot(candidate)) roots.push(candidate);
  const [only] = roots;
  if (only === undefined)
    throw diskInvalid(`It has no root file system: no /etc with /usr or /bin on ${candidates.map(describeOne).join(", ")}`);
  if (roots.length > 1)
    throw diskInvalid(
      `It has ${roots.length} root file systems: ${roots.map(describeOne).join("; ")}`,
      `say which: root: { partition: ${only.number} }${only.label === undefined ? "" : ` or root: { label: ${only.label} }`}`,
    );
  return only;
}

const looksLikeRoot = (tree: string): boolean => isThere(tree, "etc") && (isThere(tree, "usr") || isThere(tree, "bin"));
const isThere = (tree: string, path: string): boolean => lstatSync(join(tree, path), { throwIfNoEntry: false }) !== undefined;

function refuseSeparateParts(tree: string, layout: DiskLayout, root: DiskFileSystem): void {
  const parts = separateParts(hostImageRoot(tree).readText("/etc/fstab") ?? "", layout, root);
  const [first] = parts;
  if (first !== undefined)
    throw diskInvalid(
      `It keeps ${parts.map(({ path, fileSystem }) => `${path} on ${describeOne(fileSystem)}`).join(", ")}, and only one file system is read`,
      "have the disk made with a single root file system; a separate EFI partition is fine",
    );
}
