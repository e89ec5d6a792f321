import { createHash } from "node:crypto";
import type { BinaryPackage } from "./binary-package.ts";
import type { TarEntry } from "./tar-headers.ts";

export const md5Of = (pack: BinaryPackage, entry: TarEntry): string =>
  createHash("md5").update(pack.content.read(entry.offset, entry.sizeBytes)).digest("hex");

/** The `md5sums` file that dpkg writes for a package that brings none: every regular file but conffiles. */
export function hashFiles(pack: BinaryPackage): Buffer {
  const lines = pack.entries
    .filter((entry) => entry.kind === "file" && !pack.conffiles.has(entry.path))
    .map((entry) => `${md5Of(pack, entry)}  ${entry.path.slice(1)}\n`);
  return Buffer.from(lines.join(""), "latin1");
}
