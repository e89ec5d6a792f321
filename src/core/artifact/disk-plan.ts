import { hexOf, type Sha256 } from "../digest.ts";
import { uuidOfDigest } from "../layer/volume-id.ts";
import type { RootType } from "./artifact-record.ts";

export const MIB = 1024 * 1024;
export const SECTOR = 512;

export type PartitionRole = "boot" | "volume" | "data" | "root";

export interface DiskPartition {
  readonly role: PartitionRole;
  /** What the kernel's command line finds it by: `bh-root-` and 16 digits of the content digest. */
  readonly label: string;
  readonly uuid: string;
  /** GPT type. */
  readonly type: string;
  readonly startBytes: number;
  readonly sizeBytes: number;
}

export interface DiskPlan {
  readonly uuid: string;
  readonly sizeBytes: number;
  readonly partitions: readonly DiskPartition[];
}

/** UEFI specification §5.3.3; uapi-group.org, Discoverable Partitions Specification; and "Linux file system data". */
const TYPES: Readonly<Record<PartitionRole, string>> = {
  boot: "C12A7328-F81F-11D2-BA4B-00A0C93EC93B",
  volume: "0FC63DAF-8483-4772-8E79-3D69D8477DE4",
  data: "0FC63DAF-8483-4772-8E79-3D69D8477DE4",
  root: "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709",
};

/** On the disk in this order: the root is last, so that it can grow. */
const ROLES: readonly PartitionRole[] = ["boot", "volume", "data", "root"];

const partitionLabel = (role: PartitionRole, content: Sha256): string => `bh-${role}-${hexOf(content).slice(0, 16)}`;

export const roleOfLabel = (label: string): PartitionRole | undefined => ROLES.find((role) => label.startsWith(`bh-${role}-`));

/**
 * Ids of everything in an artifact come from its content digest, each from other digits of it: equal content gives equal disks.
 *
 * @param turn  how many digits to begin later
 */
export const idOf = (content: Sha256, turn: number): string =>
  uuidOfDigest(`sha256:${hexOf(content).slice(turn)}${hexOf(content).slice(0, turn)}`);

const TURNS: Readonly<Record<PartitionRole, number>> = { boot: 8, volume: 16, data: 24, root: 32 };

/**
 * Where everything goes. Partitions start and end at whole MiB, which suits every disk; the first and the last MiB hold the two
 * partition tables.
 *
 * @param sizes    in bytes; partitions of those that are absent or 0 are left out
 * @param atLeast  the disk's own size in bytes, when it shall be larger
 */
export function planDisk(content: Sha256, sizes: Readonly<Partial<Record<PartitionRole, number>>>, atLeast = 0): DiskPlan {
  let at = MIB;
  const partitions = ROLES.flatMap((role): readonly DiskPartition[] => {
    const sizeBytes = wholeMib(sizes[role] ?? 0);
    if (sizeBytes === 0) return [];
    const startBytes = at;
    at += sizeBytes;
    return [{ role, label: partitionLabel(role, content), uuid: idOf(content, TURNS[role]), type: TYPES[role], startBytes, sizeBytes }];
  });
  return { uuid: idOf(content, 0), sizeBytes: Math.max(at + MIB, wholeMib(atLeast)), partitions };
}

export const wholeMib = (bytes: number): number => Math.ceil(bytes / MIB) * MIB;

/** What sfdisk(8) reads. */
export const sfdiskScript = ({ uuid, partitions }: DiskPlan): string =>
  [
    "label: gpt",
    `label-id: ${uuid}`,
    "unit: sectors",
    "",
    ...partitions.map(
      ({ startBytes, sizeBytes, type, uuid: id, label }) =>
        `start=${startBytes / SECTOR}, size=${sizeBytes / SECTOR}, type=${type}, uuid=${id}, name="${label}"`,
    ),
    "",
  ].join("\n");

/**
 * For the stub to hand to the kernel. The serial line comes last: it is the console of process 1, and what clouds show as the
 * machine's log.
 */
export function commandLine(request: {
  readonly content: Sha256;
  readonly root: RootType;
  readonly hasData: boolean;
  /** Real path, links of the image followed. */
  readonly volumePath?: string;
  /** Further words. */
  readonly append: readonly string[];
}): string {
  const { content, root } = request;
  return [
    `root=PARTLABEL=${partitionLabel("root", content)}`,
    `rootfstype=${root}`,
    ...(request.hasData ? [`bh.data=PARTLABEL=${partitionLabel("data", content)}`] : []),
    ...(request.volumePath === undefined ? [] : [`bh.volume=PARTLABEL=${partitionLabel("volume", content)},erofs,${request.volumePath}`]),
    ...(root === "ext4" ? ["bh.grow"] : []),
    "console=tty0",
    "console=ttyS0,115200n8",
    `bh.content=${content}`,
    ...request.append,
  ].join(" ");
}
