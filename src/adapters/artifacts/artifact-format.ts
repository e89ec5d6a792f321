import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import type { ArtifactFormat } from "../../ports/artifact-reader.ts";

interface Mark {
  readonly format: ArtifactFormat;
  /** From the start; a negative one counts from the end. */
  readonly at: number;
  readonly bytes: string;
}

/** From the specifications of each: what stands where. A fixed VHD is a raw disk but for its end, so it comes before. */
const MARKS: readonly Mark[] = [
  { format: "qcow2", at: 0, bytes: "QFI\xfb" },
  { format: "vmdk", at: 0, bytes: "KDMV" },
  { format: "vhdx", at: 0, bytes: "vhdxfile" },
  { format: "vhd", at: -512, bytes: "conectix" },
  { format: "squashfs", at: 0, bytes: "hsqs" },
  { format: "erofs", at: 1024, bytes: "\xe2\xe1\xf5\xe0" },
  { format: "raw", at: 512, bytes: "EFI PART" },
];

/** By its content; `undefined` when it is none of ours. A tar that starts with `oci-layout` is a layout. */
export function formatOf(file: string): ArtifactFormat | undefined {
  const descriptor = openSync(file, "r");
  try {
    const { size } = fstatSync(descriptor);
    const text = (at: number, length: number): string => {
      const bytes = Buffer.alloc(length);
      return bytes.toString("latin1", 0, readSync(descriptor, bytes, 0, length, at < 0 ? Math.max(0, size + at) : at));
    };
    const mark = MARKS.find(({ at, bytes }) => text(at, bytes.length) === bytes);
    if (mark !== undefined) return mark.format;
    if (text(257, 5) !== "ustar") return undefined;
    return text(0, 11) === "oci-layout\0" ? "oci" : "tar";
  } finally {
    closeSync(descriptor);
  }
}
