import type { DiskFileSystem, DiskLayout } from "./find-root.ts";

/** Places that belong to the system's own tree. What lies on other places (`/srv`, `/home`) is data, and stays on the disk. */
const SYSTEM = new Set(["/boot", "/usr", "/var", "/etc", "/opt"]);

export interface SeparatePart {
  readonly path: string;
  readonly fileSystem: DiskFileSystem;
}

/** Parts of the system that a disk's /etc/fstab (fstab(5)) puts on other file systems of the same disk. */
export function separateParts(fstab: string, layout: Pick<DiskLayout, "fileSystems">, root: DiskFileSystem): readonly SeparatePart[] {
  return fstab.split("\n").flatMap((line) => {
    const [source = "#", path = ""] = line.trim().split(/\s+/);
    if (source.startsWith("#") || !SYSTEM.has(path)) return [];
    const fileSystem = layout.fileSystems.find((each) => each.number !== root.number && isNamed(each, source));
    return fileSystem === undefined ? [] : [{ path, fileSystem }];
  });
}

function isNamed({ uuid, label, partitionName, number }: DiskFileSystem, source: string): boolean {
  const [key = "", value = ""] = source.split("=");
  const wanted = value.replaceAll('"', "");
  if (key === "UUID") return uuid !== undefined && uuid === wanted.toLowerCase();
  if (key === "LABEL") return label === wanted;
  if (key === "PARTLABEL") return partitionName === wanted;
  return new RegExp(`^/dev/(?:[a-z]+|nvme\\d+n\\d+p)${number}$`).test(source);
}
