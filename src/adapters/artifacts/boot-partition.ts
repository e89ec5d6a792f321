import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { MIB, wholeMib } from "../../core/artifact/disk-plan.ts";
import { runProgram } from "../overlay-diffs/run-program.ts";

/** Names in the boot partition, with `/`. */
export const LOADER_FILE = "EFI/BOOT/BOOTX64.EFI";
export const RECORD_FILE = "bakehouse/artifact.json";
export const LISTING_FILE = "bakehouse/content.txt";

/** Room for a second loader of the same size, as an update in place needs it, and no less than FAT32 can be (65,525 clusters). */
const LEAST_BYTES = 64 * MIB;

/**
 * A FAT32 file system, as UEFI (§13.3) asks for it, that holds these files. mkfs.vfat has a switch that leaves nothing to chance;
 * mtools take the time of files from SOURCE_DATE_EPOCH, and write it in the local time zone.
 *
 * @param files  path with `/` → content
 * @throws SETUP_INCOMPLETE (dosfstools, mtools), CANCELLED
 */
export async function buildBootPartition(request: {
  /** Made; must not exist. */
  readonly target: string;
  readonly files: Readonly<Record<string, Uint8Array | string>>;
  /** Eight hexadecimal digits. */
  readonly volumeId: string;
  readonly epochSeconds: number;
  readonly signal: AbortSignal;
}): Promise<void> {
  const { target, files, volumeId, epochSeconds, signal } = request;
  const environment = { ...process.env, SOURCE_DATE_EPOCH: String(epochSeconds), TZ: "UTC", MTOOLSRC: "/dev/null", MTOOLS_SKIP_CHECK: "1" };
  const content = Object.values(files).reduce((sum, each) => sum + Buffer.byteLength(each), 0);
  const kib = Math.max(LEAST_BYTES, wholeMib(2 * content + 4 * MIB)) / 1024;
  await runProgram(
    ["mkfs.vfat", "-F", "32", "-S", "512", "-s", "1", "--invariant", "-i", volumeId, "-n", "BAKEHOUSE", "-C", target, String(kib)],
    {
      environment,
      signal,
    },
  );
  const scratch = mkdtempSync(`${target}.files-`);
  try {
    const folders = [...new Set(Object.keys(files).flatMap(parents))].sort();
    await runProgram(["mmd", "-i", target, ...folders.map((folder) => `::/${folder}`)], { environment, signal });
    for (const [path, bytes] of Object.entries(files)) {
      const file = join(scratch, "file");
      writeFileSync(file, bytes);
      await runProgram(["mcopy", "-i", target, file, `::/${path}`], { environment, signal });
    }
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

const parents = (path: string): readonly string[] => {
  const parts = path.split("/").slice(0, -1);
  return parts.map((_, index) => parts.slice(0, index + 1).join("/"));
};

/** A file of a boot partition that starts at `startBytes` of a disk; `undefined` when there is none. */
export async function readBootFile(disk: string, startBytes: number, path: string, signal: AbortSignal): Promise<Buffer | undefined> {
  try {
    const text = await runProgram(["mtype", "-i", `${disk}@@${startBytes}`, `::/${path}`], {
      environment: { ...process.env, MTOOLSRC: "/dev/null", MTOOLS_SKIP_CHECK: "1" },
      signal,
    });
    return Buffer.from(text, "latin1");
  } catch (error) {
    if (/No such file|not found/i.test(String((error as Error).message))) return undefined;
    throw error;
  }
}
