import { closeSync, mkdirSync, openSync, statSync } from "node:fs";
import { join } from "node:path";
import { setImmediate as nextTurn } from "node:timers/promises";
import { createHash, hash } from "node:crypto";
import { readSync } from "node:fs";
import { encodeArtifactRecord, type ArtifactRecord } from "../../core/artifact/artifact-record.ts";
import { commandLine, idOf, planDisk, sfdiskScript, wholeMib, type DiskPlan, type PartitionRole } from "../../core/artifact/disk-plan.ts";
import { GROW_TREE } from "../../core/boot/grow-tree.ts";
import type { Sha256 } from "../../core/digest.ts";
import type { BootParts } from "../../ports/boot-parts.ts";
import type { DiskImages, DiskRequest } from "../../ports/disk-images.ts";
import { atomically, type Written } from "../image-export/atomically.ts";
import { hostImageRoot } from "../image-root/image-root.ts";
import { runProgram, throwIfCancelled } from "../overlay-diffs/run-program.ts";
import { buildBootPartition, LISTING_FILE, LOADER_FILE, RECORD_FILE } from "./boot-partition.ts";
import { buildExt4 } from "./build-ext4.ts";
import { packDisk } from "./disk-containers.ts";
import { buildRoot, makeSparse } from "./root-image.ts";
import { copySparse } from "./sparse-copy.ts";
import { writeOnto } from "./write-onto.ts";

/** Disks out of files: mkfs fills file systems from folders, sfdisk writes the table, and what is zero stays a hole. */
export function localDiskImages(bootParts: BootParts): DiskImages {
  return {
    write: (request, options) =>
      atomically(options, true, async (work) => {
        mkdirSync(work);
        return writeDisk(bootParts, request, work, options.signal);
      }),
  };
}

/** File systems in files of their own, which are copied into the disk one after the other. */
type Parts = Readonly<Partial<Record<PartitionRole, string>>>;

async function writeDisk(bootParts: BootParts, request: DiskRequest, work: string, signal: AbortSignal): Promise<Written> {
  const { contents, epochSeconds } = request;
  if (request.onto !== undefined) {
    const raw = await writeOnto({ ...request, onto: request.onto }, work, signal);
    return inFormat(raw, request, work, signal);
  }
  const parts: Parts = {
    boot: await bootPartition(bootParts, request, join(work, "boot"), signal),
    ...(request.volume === undefined ? {} : { volume: request.volume.hostPath }),
    ...(request.dataBytes === 0 ? {} : { data: await dataPartition(request, join(work, "data"), signal) }),
  };
  const others = planDisk(contents.digest, sizesOf(parts)).sizeBytes;
  const root = join(work, "root");
  await buildRoot({
    root: request.root,
    tree: request.tree,
    contents,
    target: root,
    epochSeconds,
    atLeastBytes: Math.max(0, request.sizeBytes - others),
    signal,
  });
  const raw = join(work, "disk.raw");
  await fillDisk(planDisk(contents.digest, sizesOf({ ...parts, root }), request.sizeBytes), { ...parts, root }, raw, signal);
  return inFormat(raw, request, work, signal);
}

async function inFormat(raw: string, { format, contents, epochSeconds }: DiskRequest, work: string, signal: AbortSignal): Promise<Written> {
  const file = format === "raw" ? raw : join(work, `disk.${format}`);
  if (format !== "raw") await packDisk(raw, file, { format, content: contents.digest, epochSeconds, signal });
  return { file, digest: await digestOfFile(file, signal) };
}

const sizesOf = (parts: Parts): Partial<Record<PartitionRole, number>> =>
  Object.fromEntries(Object.entries(parts).map(([role, file]) => [role, statSync(file).size]));

async function bootPartition(bootParts: BootParts, request: DiskRequest, target: string, signal: AbortSignal): Promise<string> {
  const { tree, root, contents, epochSeconds, volume } = request;
  const boot = await bootParts.build(tree, { epochSeconds, extra: root === "ext4" ? GROW_TREE : [], signal });
  const line = commandLine({
    content: contents.digest,
    root,
    hasData: request.dataBytes > 0,
    ...(volume === undefined ? {} : { volumePath: realPath(tree.hostPath, volume.path) }),
    append: request.append,
  });
  const loader = bootParts.loader(tree, boot, line);
  const record: ArtifactRecord = {
    bakehouse: 1,
    image: request.image,
    name: request.name,
    content: contents.digest,
    disk: {
      root,
      kernel: boot.kernel.version,
      commandLine: line,
      loader: `sha256:${hash("sha256", loader, "hex")}`,
      ...(volume === undefined ? {} : { volume: volume.path }),
    },
  };
  await buildBootPartition({
    target,
    files: { [LOADER_FILE]: loader, [RECORD_FILE]: encodeArtifactRecord(record), [LISTING_FILE]: contents.listing },
    volumeId: contents.digest.slice(-8),
    epochSeconds,
    signal,
  });
  return target;
}

/** The initrd has no program that follows the image's links, so they are followed here. */
const realPath = (tree: string, path: string): string => hostImageRoot(tree).resolve(path).slice(tree.length);

async function dataPartition({ dataBytes, contents, epochSeconds }: DiskRequest, target: string, signal: AbortSignal): Promise<string> {
  makeSparse(target, wholeMib(dataBytes));
  await buildExt4({ target, uuid: idOf(contents.digest, 40), epochSeconds, entries: 0, signal });
  return target;
}

async function fillDisk(plan: DiskPlan, parts: Parts, target: string, signal: AbortSignal): Promise<void> {
  makeSparse(target, plan.sizeBytes);
  await runProgram(["sfdisk", "--quiet", "--no-reread", "--no-tell-kernel", target], { input: sfdiskScript(plan), signal });
  const disk = openSync(target, "r+");
  try {
    for (const { role, startBytes } of plan.partitions) await copySparse(parts[role] ?? "", disk, startBytes, signal);
  } finally {
    closeSync(disk);
  }
}

const BUFFER_BYTES = 1024 * 1024;

async function digestOfFile(file: string, signal: AbortSignal): Promise<Sha256> {
  const sum = createHash("sha256");
  const buffer = Buffer.allocUnsafeSlow(BUFFER_BYTES);
  const descriptor = openSync(file, "r");
  try {
    for (let count = readSync(descriptor, buffer); count > 0; count = readSync(descriptor, buffer)) {
      sum.update(buffer.subarray(0, count));
      await nextTurn();
      throwIfCancelled(signal);
    }
  } finally {
    closeSync(descriptor);
  }
  return `sha256:${sum.digest("hex")}`;
}
