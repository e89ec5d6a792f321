import { readFileSync } from "node:fs";
import { assembleUki } from "../../core/artifact/uki.ts";
import { BakehouseError } from "../../core/errors.ts";
import type { ImageRoot } from "../../ports/image-root.ts";

/** From package systemd-boot-efi, in the image or on this machine. */
const STUB = "/usr/lib/systemd/boot/efi/linuxx64.efi.stub";

/** Kernel, initrd and command line as one program that the firmware starts. */
export function buildLoader(
  image: ImageRoot,
  parts: { readonly kernelFile: string; readonly version: string; readonly initrd: Uint8Array; readonly commandLine: string },
): Uint8Array {
  const text = new TextEncoder();
  return assembleUki(image.read(STUB) ?? hostStub(), [
    { name: ".osrel", content: image.read("/etc/os-release") ?? text.encode("ID=linux\n") },
    { name: ".cmdline", content: text.encode(parts.commandLine) },
    { name: ".uname", content: text.encode(parts.version) },
    { name: ".linux", content: readFileSync(parts.kernelFile) },
    { name: ".initrd", content: parts.initrd },
  ]);
}

function hostStub(): Uint8Array {
  try {
    return readFileSync(STUB);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    throw new BakehouseError(
      "SETUP_INCOMPLETE",
      "The program that starts a kernel from the firmware, systemd's EFI stub, is not installed",
      {
        hint: "bakehouse doctor --install --for artifacts",
      },
    );
  }
}
