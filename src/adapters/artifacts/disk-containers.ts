import { closeSync, fstatSync, openSync, readSync, writeSync } from "node:fs";
import type { DiskFormat } from "../../core/artifact/artifact-record.ts";
import { hexOf, type Sha256 } from "../../core/digest.ts";
import { BakehouseError } from "../../core/errors.ts";
import { runProgram } from "../overlay-diffs/run-program.ts";

type ContainerFormat = Exclude<DiskFormat, "raw">;

/** What qemu-img(1) calls it, and with which options. `vhd` is fixed: the only kind that Azure takes, and sparse on our side. */
const CONTAINERS: Readonly<Record<ContainerFormat, { readonly name: string; readonly options: string }>> = {
  qcow2: { name: "qcow2", options: "compat=1.1,cluster_size=65536,lazy_refcounts=off" },
  vmdk: { name: "vmdk", options: "adapter_type=lsilogic,subformat=monolithicSparse" },
  vhd: { name: "vpc", options: "subformat=fixed,force_size=on" },
  vhdx: { name: "vhdx", options: "subformat=dynamic" },
};

/**
 * Puts a raw disk into a container. What qemu-img draws at random is set from the content digest afterwards; a vhdx has too much of
 * it, in places that checksums cover, and differs from run to run.
 *
 * @param target  a vmdk holds its own name, so it must be the same for equal bytes
 */
export async function packDisk(
  raw: string,
  target: string,
  request: { readonly format: ContainerFormat; readonly content: Sha256; readonly epochSeconds: number; readonly signal: AbortSignal },
): Promise<void> {
  const { name, options } = CONTAINERS[request.format];
  await runProgram(["qemu-img", "convert", "-f", "raw", "-O", name, "-o", options, raw, target], { signal: request.signal });
  if (request.format === "vmdk") settleVmdk(target, request.content);
  if (request.format === "vhd") settleVhd(target, request);
}

/** The text descriptor, whose sector the header has at byte 28 (VMware, Virtual Disk Format 5.0, "SparseExtentHeader"). */
function settleVmdk(file: string, content: Sha256): void {
  const descriptor = openSync(file, "r+");
  try {
    const header = Buffer.alloc(512);
    readSync(descriptor, header, 0, 512, 0);
    const at = Number(header.readBigUInt64LE(28)) * 512;
    const text = Buffer.alloc(Number(header.readBigUInt64LE(36)) * 512);
    readSync(descriptor, text, 0, text.length, at);
    const settled = text.toString("latin1").replace(/^CID=[0-9a-f]+\n/m, `CID=${vmdkId(content)}\n`);
    const fresh = Buffer.alloc(text.length);
    fresh.write(settled, "latin1");
    writeSync(descriptor, fresh, 0, fresh.length, at);
  } finally {
    closeSync(descriptor);
  }
}

/** Never one of the two values that mean something: 0 and ffffffff. It starts without a zero, as qemu writes it. */
const vmdkId = (content: Sha256): string => `1${hexOf(content).slice(1, 8)}`;

/** VHD counts its seconds from 2000-01-01. */
const VHD_EPOCH_SECONDS = 946_684_800;

/** The footer, the last 512 bytes: time at 24, checksum at 64, UUID at 68 (Microsoft, VHD Image Format Specification). */
function settleVhd(file: string, request: { readonly content: Sha256; readonly epochSeconds: number }): void {
  const descriptor = openSync(file, "r+");
  try {
    const at = fstatSync(descriptor).size - 512;
    const footer = Buffer.alloc(512);
    readSync(descriptor, footer, 0, 512, at);
    if (footer.toString("latin1", 0, 8) !== "conectix") throw new Error(`${file} does not end as a VHD does`);
    footer.writeUInt32BE(Math.max(0, request.epochSeconds - VHD_EPOCH_SECONDS), 24);
    footer.write(hexOf(request.content).slice(0, 32), 68, "hex");
    footer.writeUInt32BE(0, 64);
    footer.writeUInt32BE(~footer.reduce((sum, byte) => sum + byte, 0) >>> 0, 64);
    writeSync(descriptor, footer, 0, 512, at);
  } finally {
    closeSync(descriptor);
  }
}

/**
 * The disk in a container, as a sparse file. Containers may name other files (backing files, extents), which would be read in
 * their place: such a one is refused.
 */
export async function unpackDisk(file: string, raw: string, format: ContainerFormat, signal: AbortSignal): Promise<void> {
  const { name } = CONTAINERS[format];
  try {
    const about = JSON.parse(await runProgram(["qemu-img", "info", "-f", name, "--output=json", file], { signal })) as ContainerInfo;
    const kind = about["format-specific"]?.data?.["create-type"];
    if (about["backing-filename"] !== undefined || (kind !== undefined && kind !== "monolithicSparse"))
      throw new BakehouseError("DISK_INVALID", `${file} stands on other files`, { hint: "qemu-img convert makes one file of them" });
    await runProgram(["qemu-img", "convert", "-f", name, "-O", "raw", file, raw], { signal });
  } catch (error) {
    if (error instanceof BakehouseError || isFull(error)) throw error;
    throw new BakehouseError("DISK_INVALID", `${file} cannot be read as ${format}: ${(error as Error).message}`, {}, error);
  }
}

interface ContainerInfo {
  readonly "backing-filename"?: string;
  readonly "format-specific"?: { readonly data?: { readonly "create-type"?: string } };
}

const isFull = (error: unknown): boolean => String((error as Error).message).includes("No space left");
