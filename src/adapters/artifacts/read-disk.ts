import { hash } from "node:crypto";
import { rmSync } from "node:fs";
import {
  parseArtifactRecord,
  ROOT_TYPES,
  type ArtifactRecord,
  type DiskFormat,
  type RootType,
} from "../../core/artifact/artifact-record.ts";
import { roleOfLabel, SECTOR, type PartitionRole } from "../../core/artifact/disk-plan.ts";
import { hexOf } from "../../core/digest.ts";
import { BakehouseError } from "../../core/errors.ts";
import type { ReadArtifact } from "../../ports/artifact-reader.ts";
import type { OpenTree } from "../../ports/image-trees.ts";
import { insideTree, makePoints, openPrivately } from "../image-trees/index.ts";
import { runProgram } from "../overlay-diffs/run-program.ts";
import { shellQuote } from "../sandbox/holder.ts";
import { LISTING_FILE, LOADER_FILE, readBootFile, RECORD_FILE } from "./boot-partition.ts";
import { unpackDisk } from "./disk-containers.ts";
import { listContent, type ListContentOptions } from "./list-content.ts";
import { temporaryPath } from "./temporary.ts";

interface Place {
  readonly startBytes: number;
  readonly sizeBytes: number;
  readonly label: string;
}

type Places = ReadonlyMap<PartitionRole, Place>;

/** Reads a disk of ours: what its boot partition says, and every file of root and volume, which are mounted read-only. */
export async function readDisk(file: string, format: DiskFormat, options: ListContentOptions): Promise<ReadArtifact> {
  const isPlain = format === "raw" || format === "vhd"; // a fixed VHD is the disk with a footer behind it
  const raw = isPlain ? file : temporaryPath();
  try {
    if (!isPlain) await unpackDisk(file, raw, format, options.signal);
    return { format, ...(await readRaw(raw, options)) };
  } finally {
    if (!isPlain) rmSync(raw, { force: true });
  }
}

async function readRaw(disk: string, options: ListContentOptions): Promise<Omit<ReadArtifact, "format">> {
  const places = await placesOf(disk, options.signal);
  const boot = places.get("boot");
  const root = places.get("root");
  if (boot === undefined || root === undefined)
    throw new BakehouseError("DISK_INVALID", `${disk} has no partitions that Bakehouse has made`, {
      hint: "only disks of `bakehouse export` can be read back",
    });
  const read = (path: string): Promise<Buffer | undefined> => readBootFile(disk, boot.startBytes, path, options.signal);
  const record = parseArtifactRecord((await read(RECORD_FILE))?.toString("utf8") ?? "");
  const carried = (await read(LISTING_FILE))?.toString("utf8");
  const faults = record === undefined ? [] : faultsOf(record, await read(LOADER_FILE), places);
  const type = record?.disk?.root;
  const tree = await openDisk(disk, places, type, record?.disk?.volume);
  try {
    const listing = await listContent(tree.hostPath, { ...options, ignoreLostAndFound: type === "ext4", isSquashfs: type === "squashfs" });
    return {
      ...(record === undefined ? {} : { record }),
      ...(carried === undefined ? {} : { carried }),
      ...{ listing, faults, lacksAccessLists: type === "squashfs" },
    };
  } finally {
    await tree.close();
  }
}

function faultsOf(record: ArtifactRecord, loader: Buffer | undefined, places: Places): readonly string[] {
  const stated = record.disk?.loader;
  const found = loader === undefined ? undefined : (`sha256:${hash("sha256", loader, "hex")}` as const);
  const wrong = [...places.values()].filter(({ label }) => !label.endsWith(hexOf(record.content).slice(0, 16)));
  const line = record.disk?.commandLine;
  return [
    ...(loader !== undefined && line !== undefined && !loader.includes(`${line}\0`)
      ? [`${LOADER_FILE} hands the kernel another command line than ${RECORD_FILE} says`]
      : []),
    ...(stated === found ? [] : [`${LOADER_FILE} is ${found ?? "missing"}, and should be ${stated ?? "?"}`]),
    ...wrong.map(({ label }) => `the partition ${label} belongs to other content`),
  ];
}

async function placesOf(disk: string, signal: AbortSignal): Promise<Places> {
  let table: { readonly partitiontable?: { readonly partitions?: readonly { start: number; size: number; name?: string }[] } };
  try {
    table = JSON.parse(await runProgram(["sfdisk", "--json", disk], { signal })) as typeof table;
  } catch (error) {
    if (error instanceof BakehouseError) throw error;
    throw new BakehouseError("DISK_INVALID", `${disk} has no partition table that can be read`, {}, error);
  }
  return new Map(
    (table.partitiontable?.partitions ?? []).flatMap(({ start, size, name = "" }) => {
      const role = roleOfLabel(name);
      return role === undefined ? [] : [[role, { startBytes: start * SECTOR, sizeBytes: size * SECTOR, label: name }] as const];
    }),
  );
}

/** As the machine sees it after its initrd, but for what it writes. */
function openDisk(disk: string, places: Places, type: RootType | undefined, volumePath: string | undefined): Promise<OpenTree> {
  return openPrivately([disk], async (holder, cover) => {
    const mount = (role: PartitionRole, types: readonly string[], at: string): string => {
      const { startBytes, sizeBytes } = places.get(role) ?? { startBytes: 0, sizeBytes: 0 };
      const options = `ro,loop,offset=${startBytes},sizelimit=${sizeBytes},nodev,nosuid,noexec`;
      const tries = types.map(
        (each) => `mount -t ${each} -o ${options}${each === "ext4" ? ",noload" : ""} ${shellQuote(disk)} ${shellQuote(at)}`,
      );
      return tries.join(" || ");
    };
    try {
      await holder.run(`${makePoints(cover, volumePath ?? "")} && mkdir ${cover}/lower`);
      await holder.run(mount("root", type === undefined ? ROOT_TYPES : [type], `${cover}/lower`));
      await holder.run(`mount -t overlay -o ro,lowerdir=${cover}/lower:${cover}/points overlay ${cover}/tree`);
      if (volumePath !== undefined) await holder.run(mount("volume", ["erofs"], insideTree(holder, `${cover}/tree`, volumePath)));
    } catch (error) {
      throw new BakehouseError("DISK_INVALID", `A file system of ${disk} cannot be mounted: ${(error as Error).message}`, {}, error);
    }
    return `${cover}/tree`;
  });
}
