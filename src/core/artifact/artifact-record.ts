import { z } from "zod";
import { isSha256, type ImageDigest, type Sha256 } from "../digest.ts";
import { canonicalJson } from "../json.ts";

/** Kinds of root file systems in a disk. */
export const ROOT_TYPES = ["squashfs", "erofs", "ext4"] as const;
export type RootType = (typeof ROOT_TYPES)[number];

/** Whole disks with a partition table; `derived` ones hold the same disk in a container whose own bytes differ from run to run. */
export const DISK_FORMATS = ["raw", "qcow2", "vmdk", "vhd", "vhdx"] as const;
export type DiskFormat = (typeof DISK_FORMATS)[number];
export const isDerived = (format: string): boolean => format === "vhdx";

const digest = z.string().refine(isSha256, "is no SHA-256");

const schema = z.object({
  bakehouse: z.literal(1),
  image: digest,
  /** As the image was called by its recipe. */
  name: z.string(),
  content: digest,
  /** Only in disks. */
  disk: z
    .object({
      root: z.enum(ROOT_TYPES),
      kernel: z.string(),
      commandLine: z.string(),
      /** Of EFI/BOOT/BOOTX64.EFI. */
      loader: digest,
      volume: z.string().optional(),
    })
    .optional(),
});

/** What an artifact says about itself: `artifact.json` in the boot partition of disks, at the end of squashfs and erofs files, a comment in tars. */
export interface ArtifactRecord {
  readonly bakehouse: 1;
  readonly image: ImageDigest;
  readonly name: string;
  readonly content: Sha256;
  readonly disk?: {
    readonly root: RootType;
    readonly kernel: string;
    readonly commandLine: string;
    readonly loader: Sha256;
    /** Path at which a release volume is mounted. */
    readonly volume?: string;
  };
}

export const encodeArtifactRecord = (record: ArtifactRecord): string => `${canonicalJson(record)}\n`;

/** `undefined` for a text that is no such record. */
export function parseArtifactRecord(text: string): ArtifactRecord | undefined {
  try {
    const parsed = schema.safeParse(JSON.parse(text));
    return parsed.success ? (parsed.data as ArtifactRecord) : undefined;
  } catch {
    return undefined;
  }
}
