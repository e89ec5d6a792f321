import { createHash } from "node:crypto";
import type { BinaryPackage } from "./binary-package.ts";
import type { TarEntry } from "./tar-headers.ts";

export const md5Of = (pack: BinaryPackage, entry: TarEntry): string =>
  createHash("md5").update(pack.content.read(entry.offset, entry.sizeBytes)).digest("hex");

/** The `md5sums` file that dpkg writes for a package that brings none: every regular file, by each of its names. */
export function hashFiles(pack: BinaryPackage): Buffer {
  const files = new Map(pack.entries.filter((entry) => entry.kind === "file").map((entry) => [entry.path, entry]));
  const lines = pack.entries.flatMap((entry) => {
    const file = files.get(entry.kind === "hardlink" ? entry.target : entry.path);
    return file === undefined ? [] : [`${md5Of(pack, file)}  ${entry.path.slice(1)}\n`];
  });
  return Buffer.from(lines.join(""), "latin1");
}
