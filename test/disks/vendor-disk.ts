import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { readImage } from "../../src/engine/image-content.ts";
import type { ImageParts } from "../../src/presets/images.ts";
import { makeDisk } from "./make-disk.ts";

export const VENDOR_UUID = "11111111-2222-4333-8444-555555555555";
export const VENDOR_LABEL = "vendor-root";

const GRUB_MODULES = "part_gpt part_msdos fat ext2 search search_fs_uuid configfile normal linux echo serial".split(" ");

/**
 * A machine's disk as a distribution makes one: GPT, an EFI partition with GRUB that finds the root by its UUID, an ext4 root with
 * kernel, initrd, /boot/grub/grub.cfg and an fstab that names both by UUID and label. What is on the root is an image.
 */
export async function makeVendorDisk(parts: ImageParts, image: string, target: string): Promise<void> {
  const content = readImage(parts.store, image);
  const tree = await (await parts.trees()).open(content.source);
  const folder = mkdtempSync(join(dirname(target), "vendor-"));
  try {
    const { kernel, initrd } = await (await parts.bootParts()).build(tree, { epochSeconds: content.epochSeconds });
    const [root, esp] = [join(folder, "root"), join(folder, "esp")];
    execFileSync("cp", ["--archive", tree.hostPath, root]);
    put(root, `boot/initrd.img-${kernel.version}`, initrd);
    put(root, "boot/grub/grub.cfg", menu(kernel.version));
    put(root, "etc/fstab", `UUID=${VENDOR_UUID} / ext4 defaults 0 1\nLABEL=EFI /boot/efi vfat defaults,nofail 0 2\n`);
    mkdirSync(join(root, "boot/efi"));
    put(esp, "EFI/debian/grub.cfg", `search.fs_uuid ${VENDOR_UUID} root\nset prefix=($root)'/boot/grub'\nconfigfile $prefix/grub.cfg\n`);
    mkdirSync(join(esp, "EFI/BOOT"));
    const grub = ["-d", "/usr/lib/grub/x86_64-efi", "-O", "x86_64-efi", "-p", "/EFI/debian", "-o", join(esp, "EFI/BOOT/BOOTX64.EFI")];
    execFileSync("grub-mkimage", [...grub, ...GRUB_MODULES]);
    makeDisk(target, "gpt", [
      { sizeMiB: 40, fileSystem: "vfat", label: "EFI", type: "U", name: "esp", directory: esp },
      { sizeMiB: 640, fileSystem: "ext4", label: VENDOR_LABEL, uuid: VENDOR_UUID, name: "root", directory: root },
    ]);
  } finally {
    await tree.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** What costs an emulated processor seconds and proves nothing about a disk: checks of its own kernel, consoles, housekeeping. */
const QUICK = [
  ...["quiet", "systemd.show_status=1", "mitigations=off", "nokaslr", "module_blacklist=kvm,kvm_amd,kvm_intel"],
  ...["getty.target", "systemd-logind.service", "systemd-binfmt.service", "systemd-timesyncd.service", "e2scrub_reap.service"].map(
    (unit) => `systemd.mask=${unit}`,
  ),
  ...["modprobe@drm.service", "modprobe@efi_pstore.service", "systemd-pstore.service"].map((unit) => `systemd.mask=${unit}`),
];

const menu = (kernel: string): string => `set timeout=0
menuentry Debian {
  search --no-floppy --fs-uuid --set=root ${VENDOR_UUID}
  echo "GRUB of the vendor"
  linux /boot/vmlinuz-${kernel} root=PARTLABEL=root rootfstype=ext4 ro console=ttyS0 panic=-1 ${QUICK.join(" ")}
  initrd /boot/initrd.img-${kernel}
}
`;

function put(folder: string, path: string, content: string | Uint8Array): void {
  mkdirSync(dirname(join(folder, path)), { recursive: true });
  writeFileSync(join(folder, path), content);
}
