import type { CpioEntry } from "../core/boot/cpio.ts";
import type { OpenTree } from "./image-trees.ts";

/** A kernel that an image holds, with its modules. */
export interface ImageKernel {
  /** As `uname -r` prints it: `6.1.0-30-cloud-amd64`. */
  readonly version: string;
  /** In the image. */
  readonly path: string;
  /** For this process, as long as the tree is open. */
  readonly hostPath: string;
}

export interface BootFiles {
  readonly kernel: ImageKernel;
  /** The initrd: an archive that depends on kernel, busybox and `epochSeconds` only. Not compressed: unpacking costs a guest more than reading. */
  readonly initrd: Uint8Array;
  /** The program that everything in the initrd is: a path of the image or of this machine. */
  readonly busybox: { readonly path: string; readonly from: "image" | "host" };
}

/**
 * What a machine needs to start an image without an installed boot loader: the image's own kernel, and an initrd made for it
 * that finds and mounts the root (`src/core/boot/init-script.ts` says what it reads from the command line).
 *
 * @example
 * const tree = await trees.open(content.source);
 * const { kernel, initrd } = await bootParts.build(tree, { epochSeconds: content.epochSeconds, signal });
 * // qemu -kernel kernel.hostPath -initrd … -append "root=/dev/vda rootfstype=squashfs console=ttyS0 bh.trim"
 */
export interface BootParts {
  /** The kernels of an image, the newest first. */
  kernels(tree: Pick<OpenTree, "hostPath">): readonly ImageKernel[];
  /**
   * @throws INPUT_INVALID when the image holds no kernel (the hint says what to add to the recipe), SETUP_INCOMPLETE without
   *         busybox-static
   */
  build(
    tree: Pick<OpenTree, "hostPath">,
    options: {
      /** The time of every entry. */
      readonly epochSeconds: number;
      /** Default: the newest. */
      readonly kernel?: ImageKernel;
      /** Entries of a second archive that is unpacked upon the first, such as `trim/systemd/system/…`. Parents must be there, too. */
      readonly extra?: readonly CpioEntry[];
      readonly signal?: AbortSignal;
    },
  ): Promise<BootFiles>;
  /**
   * Kernel, initrd and command line as one EFI program (a unified kernel image): `EFI/BOOT/BOOTX64.EFI` of a disk.
   *
   * @throws SETUP_INCOMPLETE without systemd-boot-efi
   */
  loader(tree: Pick<OpenTree, "hostPath">, files: Pick<BootFiles, "kernel" | "initrd">, commandLine: string): Uint8Array;
}
