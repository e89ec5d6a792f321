import type { RootType } from "../../core/artifact/artifact-record.ts";
import { parseDiskSize } from "../../core/artifact/disk-size.ts";
import { BakehouseError } from "../../core/errors.ts";
import type { DiskOptions } from "../../engine/export-image.ts";

/** @throws USAGE */
export function diskOptions(given: {
  readonly root: RootType;
  readonly size: string | undefined;
  readonly data: string | undefined;
  readonly append: readonly string[];
  /** Absolute path. */
  readonly onto: string | undefined;
}): DiskOptions {
  if (given.data !== undefined && given.root === "ext4")
    throw new BakehouseError("USAGE", "An ext4 root is written to itself: --data is for squashfs and erofs", { hint: "--root squashfs" });
  if (given.onto !== undefined && (given.size ?? given.data ?? given.append[0]) !== undefined)
    throw new BakehouseError("USAGE", "--onto keeps the disk as it is: --size, --data and --append change it", { hint: "leave them out" });
  return {
    ...(given.onto === undefined ? {} : { onto: given.onto }),
    root: given.root,
    sizeBytes: bytesOf("--size", given.size),
    dataBytes: bytesOf("--data", given.data),
    append: given.append.flatMap((words) => words.split(/\s+/)).filter((word) => word !== ""),
  };
}

function bytesOf(option: string, text: string | undefined): number {
  if (text === undefined) return 0;
  const bytes = parseDiskSize(text);
  if (bytes === undefined) throw new BakehouseError("USAGE", `${option} ${text} is no size`, { hint: `${option} 8GiB, or MiB, TiB` });
  return bytes;
}
