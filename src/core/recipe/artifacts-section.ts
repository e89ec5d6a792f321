import { z } from "zod";
import { DISK_FORMATS, ROOT_TYPES, type DiskFormat, type RootType } from "../artifact/artifact-record.ts";
import { DISK_SIZE, parseDiskSize } from "../artifact/disk-size.ts";

/** Formats that `export` writes as one file. */
const FILE_FORMATS = ["tar", "oci", "squashfs", "erofs", ...DISK_FORMATS] as const;

/** One file that a layer's image shall be had as. Changes nothing in the image. */
export interface RecipeArtifact {
  readonly format: (typeof FILE_FORMATS)[number];
  readonly root: RootType;
  /** Of the disk, at least; 0: as large as needed. */
  readonly sizeBytes: number;
  /** Of a partition that keeps what is written above a read-only root; 0: none. */
  readonly dataBytes: number;
  /** Further words of the kernel's command line. */
  readonly append: readonly string[];
}

const SIZE_RULE = "must be a size such as 512MiB, 8GiB or 1TiB";
const sizeSchema = z.string(SIZE_RULE).regex(DISK_SIZE, SIZE_RULE);

export const artifactSchema = z
  .strictObject({
    format: z.enum(FILE_FORMATS).describe("What to write: a disk (raw, qcow2, vmdk, vhd, vhdx), a file system, a tar or an OCI layout"),
    root: z.enum(ROOT_TYPES).optional().describe("Disks: root file system; erofs if absent. ext4 is written to and grows to the disk"),
    size: sizeSchema.optional().describe("Disks: how large, at least"),
    data: sizeSchema.optional().describe("Disks: a partition of this size keeps what is written above a read-only root"),
    append: z
      .array(z.string().regex(/^\S+$/, "must be one word of the kernel's command line"))
      .optional()
      .describe("Disks: further words for the kernel's command line"),
  })
  .superRefine((artifact, context) => {
    const isDisk = (DISK_FORMATS as readonly string[]).includes(artifact.format);
    for (const key of ["root", "size", "data", "append"] as const)
      if (!isDisk && artifact[key] !== undefined)
        context.addIssue({ code: "custom", path: [key], message: `is for disks (${DISK_FORMATS.join(", ")}), not for ${artifact.format}` });
    if (artifact.data !== undefined && artifact.root === "ext4")
      context.addIssue({ code: "custom", path: ["data"], message: "is for read-only roots: an ext4 root is written to itself" });
  });

export const recipeArtifact = (artifact: z.infer<typeof artifactSchema>): RecipeArtifact => ({
  format: artifact.format,
  root: artifact.root ?? "erofs",
  sizeBytes: parseDiskSize(artifact.size ?? "") ?? 0,
  dataBytes: parseDiskSize(artifact.data ?? "") ?? 0,
  append: artifact.append ?? [],
});

export const isDiskFormat = (format: string): format is DiskFormat => (DISK_FORMATS as readonly string[]).includes(format);
