import { diskInvalid } from "./disk-error.ts";
import { fileSystemAt, type FileSystem } from "./file-system.ts";
import { readPartitionTable, type Partition, type PartitionTable, type ReadDisk } from "./partition-table.ts";

/** How a recipe says which file system is the root one. */
export type RootChoice = { readonly label: string } | { readonly uuid: string } | { readonly partition: number };

/** A file system on a disk. Number 0: it fills the disk. */
export interface DiskFileSystem extends FileSystem {
  readonly number: number;
  readonly startBytes: number;
  readonly sizeBytes: number;
  readonly partitionName?: string;
}

export interface DiskLayout {
  readonly table: PartitionTable["kind"];
  readonly partitions: readonly Partition[];
  readonly fileSystems: readonly DiskFileSystem[];
}

/** What lies on a disk. @throws DISK_INVALID */
export function readDiskLayout(read: ReadDisk, sizeBytes: number): DiskLayout {
  if (sizeBytes === 0) throw diskInvalid("It is empty");
  const { kind, partitions } = readPartitionTable(read, sizeBytes);
  const places = kind === "none" ? [{ number: 0, startBytes: 0, sizeBytes }] : partitions;
  const fileSystems = places.flatMap((place) => {
    const found = fileSystemAt(read, place.startBytes);
    const { number, startBytes } = place;
    const name = "name" in place && place.name !== undefined && place.name !== "" ? { partitionName: place.name } : {};
    return found === undefined ? [] : [{ ...found, number, startBytes, sizeBytes: place.sizeBytes, ...name }];
  });
  if (kind === "none" && fileSystems.length === 0) throw diskInvalid("It has neither a partition table (GPT or MBR) nor a file system");
  return { table: kind, partitions, fileSystems };
}

/** File systems that a root can lie on and that are read here. */
const ROOT_TYPES: ReadonlySet<FileSystem["type"]> = new Set(["ext4", "xfs", "btrfs"]);
const CONTAINERS: Readonly<Partial<Record<FileSystem["type"], string>>> = {
  lvm: "LVM",
  luks: "encryption (LUKS)",
  raid: "software RAID",
};

/**
 * The file systems that may be the root one: the one that was chosen, else all that a Linux root can lie on.
 *
 * @throws DISK_INVALID when there is none; the message lists what is there
 */
export function rootCandidates(layout: DiskLayout, choice: RootChoice | undefined): readonly DiskFileSystem[] {
  if (choice !== undefined) return [chosen(layout, choice)];
  const candidates = layout.fileSystems.filter(({ type }) => ROOT_TYPES.has(type));
  if (candidates.length > 0) return candidates;
  const container = layout.fileSystems.map(({ type }) => CONTAINERS[type]).find((name) => name !== undefined);
  throw diskInvalid(
    container === undefined
      ? `It has no file system that a root could lie on. There is ${describe(layout)}`
      : `Its root lies in ${container}, which is not read`,
    "a root lies on ext4, xfs or btrfs, in a partition or on the whole disk",
  );
}

function chosen(layout: DiskLayout, choice: RootChoice): DiskFileSystem {
  const matches = layout.fileSystems.filter((each) => {
    if ("label" in choice) return each.label === choice.label || each.partitionName === choice.label;
    return "uuid" in choice ? each.uuid === choice.uuid.toLowerCase() : each.number === choice.partition;
  });
  const [only] = matches;
  const what = "label" in choice ? `label "${choice.label}"` : "uuid" in choice ? `UUID ${choice.uuid}` : `number ${choice.partition}`;
  if (only === undefined) throw diskInvalid(`It has no file system with ${what}. There is ${describe(layout)}`);
  if (matches.length > 1) throw diskInvalid(`${matches.length} of its file systems have ${what}`, "name one by `partition`");
  if (!ROOT_TYPES.has(only.type)) throw diskInvalid(`The file system with ${what} is ${only.type}, which no root lies on`);
  return only;
}

/** The file systems of a disk in words, for messages. */
function describe(layout: Pick<DiskLayout, "fileSystems">): string {
  if (layout.fileSystems.length === 0) return "no known file system at all";
  return layout.fileSystems.map(describeOne).join(", ");
}

export const describeOne = ({ number, type, label, uuid, sizeBytes }: DiskFileSystem): string =>
  [
    number === 0 ? "the whole disk" : `partition ${number}`,
    `${type}${label === undefined ? "" : ` "${label}"`}`,
    ...(uuid === undefined ? [] : [uuid]),
    `${Math.round(sizeBytes / 1_000_000)} MB`,
  ].join(" ");
