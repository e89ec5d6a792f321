import { execFileSync } from "node:child_process";
import { closeSync, mkdtempSync, openSync, readSync, rmSync, truncateSync, writeFileSync, writeSync } from "node:fs";
import { dirname, join } from "node:path";

export interface DiskPart {
  readonly sizeMiB: number;
  readonly fileSystem: "ext4" | "vfat" | "none";
  /** What is put on it. */
  readonly directory?: string;
  readonly label?: string;
  /** Of an ext4. */
  readonly uuid?: string;
  /** Of the partition (GPT). */
  readonly name?: string;
  /** As sfdisk(8) names types: `U` is an EFI partition. Default `L`. */
  readonly type?: string;
}

const MIB = 1024 * 1024;
const PATH = { PATH: "/usr/sbin:/usr/bin:/sbin:/bin" };

/** Makes a disk as the maker of a machine would: a partition table and file systems, with the tools of Debian. */
export function makeDisk(target: string, table: "gpt" | "mbr" | "none", parts: readonly DiskPart[]): void {
  const folder = mkdtempSync(join(dirname(target), "disk-"));
  try {
    const starts = parts.map((_, index) => 1 + parts.slice(0, index).reduce((sum, part) => sum + part.sizeMiB, 0));
    writeFileSync(target, "");
    truncateSync(target, (table === "none" ? 0 : 2) * MIB + parts.reduce((sum, part) => sum + part.sizeMiB, 0) * MIB);
    if (table !== "none") {
      const rows = parts.map(
        ({ sizeMiB, type = "L", name }, index) =>
          `start=${(starts[index] ?? 0) * 2048}, size=${sizeMiB * 2048}, type=${type}${name === undefined || table === "mbr" ? "" : `, name="${name}"`}`,
      );
      execFileSync("sfdisk", ["--quiet", "--no-reread", "--no-tell-kernel", target], {
        input: `label: ${table === "gpt" ? "gpt" : "dos"}\n${rows.join("\n")}\n`,
        env: PATH,
        stdio: ["pipe", "ignore", "inherit"],
      });
    }
    for (const [index, part] of parts.entries()) {
      if (part.fileSystem === "none") continue;
      const image = join(folder, `part-${index}`);
      fileSystem(image, part);
      copyInto(image, target, table === "none" ? 0 : (starts[index] ?? 0) * MIB);
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function fileSystem(image: string, part: DiskPart): void {
  writeFileSync(image, "");
  truncateSync(image, part.sizeMiB * MIB);
  if (part.fileSystem === "ext4") {
    const words = [...(part.label === undefined ? [] : ["-L", part.label]), ...(part.uuid === undefined ? [] : ["-U", part.uuid])];
    execFileSync("mkfs.ext4", ["-q", "-F", ...words, ...(part.directory === undefined ? [] : ["-d", part.directory]), image], {
      env: PATH,
    });
    return;
  }
  execFileSync("mkfs.vfat", ["-F", "32", ...(part.label === undefined ? [] : ["-n", part.label]), image], { env: PATH, stdio: "ignore" });
  if (part.directory !== undefined)
    execFileSync("sh", ["-c", 'mcopy -i "$1" -s "$2"/* ::', "sh", image, part.directory], { env: { ...PATH, MTOOLS_SKIP_CHECK: "1" } });
}

/** Leaves holes where there are only zeros. */
function copyInto(image: string, target: string, offset: number): void {
  const [from, to] = [openSync(image, "r"), openSync(target, "r+")];
  const buffer = Buffer.alloc(MIB);
  for (let at = 0, count = readSync(from, buffer); count > 0; at += count, count = readSync(from, buffer))
    if (buffer.some((byte) => byte !== 0)) writeSync(to, buffer, 0, count, offset + at);
  closeSync(from);
  closeSync(to);
}
