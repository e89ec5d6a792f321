import { closeSync, openSync, readSync } from "node:fs";
import { diskInvalid } from "../../core/disk/disk-error.ts";
import { runProgram } from "../overlay-diffs/run-program.ts";

/** The first bytes of disk images that are no plain copy of a disk (QEMU's block drivers). */
const CONTAINERS: readonly { readonly magic: string; readonly name: string }[] = [
  { magic: "QFI\xfb", name: "qcow2" },
  { magic: "KDMV", name: "vmdk" },
  { magic: "# Disk Descriptor", name: "vmdk" },
  { magic: "vhdxfile", name: "vhdx" },
  { magic: "conectix", name: "vhd" },
];

/**
 * The disk as plain bytes: the file itself, or for a qcow2 what is unpacked from it.
 *
 * @throws DISK_INVALID for other formats, and for a qcow2 that is damaged or reads from other files
 */
export async function rawDisk(file: string, unpacked: string, signal: AbortSignal): Promise<string> {
  const head = headOf(file);
  const container = CONTAINERS.find(({ magic }) => head.startsWith(magic))?.name;
  if (container === undefined) return file;
  if (container !== "qcow2")
    throw diskInvalid(`It is a ${container} image, and only raw and qcow2 are read`, `qemu-img convert -O qcow2 ${file} disk.qcow2`);
  await refuseOtherFiles(file, signal);
  try {
    await runProgram(["qemu-img", "convert", "-f", "qcow2", "-O", "raw", file, unpacked], { signal });
  } catch (cause) {
    throw qcow2Damaged(cause);
  }
  return unpacked;
}

interface ImageInfo {
  readonly "backing-filename"?: string;
  readonly "format-specific"?: { readonly data?: { readonly "data-file"?: string; readonly encrypt?: unknown } };
}

/** A qcow2 may name any file of this host as what lies below it. `-U`: somebody may have it open for reading, as we do. */
async function refuseOtherFiles(file: string, signal: AbortSignal): Promise<void> {
  const told = await runProgram(["qemu-img", "info", "-U", "-f", "qcow2", "--output=json", file], { signal }).catch((cause: unknown) => {
    throw qcow2Damaged(cause);
  });
  const info = JSON.parse(told) as ImageInfo;
  const other = info["backing-filename"] ?? info["format-specific"]?.data?.["data-file"];
  if (other !== undefined)
    throw diskInvalid(`It is a qcow2 on top of another file (${other})`, `make one whole: qemu-img convert -O qcow2 ${file} disk.qcow2`);
  if (info["format-specific"]?.data?.encrypt !== undefined) throw diskInvalid("It is an encrypted qcow2");
}

/** A missing program and a stop are what they are; anything else is the disk's fault. */
function qcow2Damaged(cause: unknown): unknown {
  if (cause instanceof Error && cause.name === "BakehouseError") return cause;
  const said = cause instanceof Error ? cause.message.replace(/^qemu-img ended with \d+: /, "").split("\n")[0] : String(cause);
  return diskInvalid(`It is a damaged qcow2: ${said ?? ""}`);
}

function headOf(file: string): string {
  const bytes = Buffer.alloc(32);
  const descriptor = openSync(file, "r");
  try {
    return bytes.toString("latin1", 0, readSync(descriptor, bytes, 0, bytes.length, 0));
  } finally {
    closeSync(descriptor);
  }
}
