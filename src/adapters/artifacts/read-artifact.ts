import { existsSync, statSync } from "node:fs";
import { join } from "node:path";
import { BakehouseError } from "../../core/errors.ts";
import type { ArtifactReader, ReadArtifact } from "../../ports/artifact-reader.ts";
import { openPrivately } from "../image-trees/index.ts";
import { shellQuote } from "../sandbox/holder.ts";
import { formatOf } from "./artifact-format.ts";
import { listContent, type ListContentOptions } from "./list-content.ts";
import { readLayout, readTar } from "./read-archive.ts";
import { readDisk } from "./read-disk.ts";
import { readRecordAtEnd } from "./record-at-end.ts";

/** Reads what `export` wrote, whatever wrote to it afterwards. */
export function artifactReader(): ArtifactReader {
  return { read };
}

async function read(file: string, options: ListContentOptions): Promise<ReadArtifact> {
  const stats = statSync(file, { throwIfNoEntry: false });
  if (stats === undefined) throw new BakehouseError("INPUT_INVALID", `There is no file ${file}`);
  if (stats.isDirectory() && existsSync(join(file, "oci-layout"))) return readLayout(file, false, options.signal);
  const format = stats.isFile() ? formatOf(file) : undefined;
  switch (format) {
    case undefined:
      throw new BakehouseError("INPUT_INVALID", `${file} is no artifact that can be read back`, {
        hint: "a disk, squashfs, erofs, tar or OCI layout of `bakehouse export`",
      });
    case "tar":
      return readTar(file, options.signal);
    case "oci":
      return readLayout(file, true, options.signal);
    case "squashfs":
    case "erofs":
      return readFileSystem(file, format, options);
    default:
      return readDisk(file, format, options);
  }
}

async function readFileSystem(file: string, format: "squashfs" | "erofs", options: ListContentOptions): Promise<ReadArtifact> {
  const tree = await openPrivately([file], async (holder, cover) => {
    try {
      await holder.run(`mkdir ${cover}/tree && mount -t ${format} -o ro,loop,nodev,nosuid,noexec ${shellQuote(file)} ${cover}/tree`);
    } catch (error) {
      throw new BakehouseError("DISK_INVALID", `${file} cannot be mounted as ${format}: ${(error as Error).message}`, {}, error);
    }
    return `${cover}/tree`;
  });
  try {
    const listing = await listContent(tree.hostPath, { ...options, isSquashfs: format === "squashfs" });
    const end = readRecordAtEnd(file);
    return {
      format,
      ...(end === undefined ? {} : { record: end.record, carried: end.listing }),
      ...{ listing, lacksAccessLists: format === "squashfs", faults: [] },
    };
  } finally {
    await tree.close();
  }
}
