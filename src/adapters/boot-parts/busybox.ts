import { readFileSync } from "node:fs";
import { BakehouseError } from "../../core/errors.ts";
import type { BootFiles } from "../../ports/boot-parts.ts";
import type { ImageRoot } from "../../ports/image-root.ts";

const PLACES = ["/bin/busybox", "/usr/bin/busybox"] as const;

/** The image's own, when it has one that needs no library: then the initrd depends on the image alone. */
export function findBusybox(image: ImageRoot): BootFiles["busybox"] & { readonly bytes: Uint8Array } {
  for (const path of PLACES) {
    const bytes = image.read(path);
    if (bytes !== undefined && isStatic(bytes)) return { path, from: "image", bytes };
  }
  for (const path of PLACES) {
    const bytes = hostFile(path);
    if (bytes !== undefined && isStatic(bytes)) return { path, from: "host", bytes };
  }
  throw new BakehouseError("SETUP_INCOMPLETE", "The program that an initrd is made of, busybox without libraries, is not installed", {
    hint: "bakehouse doctor --install --for artifacts",
  });
}

function hostFile(path: string): Uint8Array | undefined {
  try {
    return readFileSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

/** ELF: program headers start at `e_phoff`, and one of type 3 (PT_INTERP) names the loader of libraries. */
function isStatic(bytes: Uint8Array): boolean {
  if (bytes.length < 64 || bytes[0] !== 0x7f || bytes[1] !== 0x45 || bytes[4] !== 2) return false;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const start = Number(view.getBigUint64(32, true));
  const sizeBytes = view.getUint16(54, true);
  return Array.from({ length: view.getUint16(56, true) }, (_, index) => view.getUint32(start + index * sizeBytes, true)).every(
    (type) => type !== 3,
  );
}
