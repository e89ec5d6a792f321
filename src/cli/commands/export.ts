import { resolve } from "node:path";
import { BakehouseError } from "../../core/errors.ts";
import { defineCommand } from "../command.ts";
import { percent, progressLine } from "../images/progress-line.ts";
import { IMAGE_ARGUMENT, withImages } from "../images/with-images.ts";
import { formatBytes } from "../text.ts";

const FORMATS = ["tar", "dir", "oci", "squashfs", "erofs", "raw", "qcow2", "vmdk", "vhd", "vhdx"] as const;

/** Compressed or sparse: how much it will be cannot be told from what goes in. */
const UNFORESEEN: readonly string[] = ["squashfs", "raw", "qcow2", "vmdk", "vhd", "vhdx"];

function refuseOntoOther(format: string): void {
  if (["raw", "qcow2", "vmdk", "vhd", "vhdx"].includes(format)) return;
  throw new BakehouseError("USAGE", `--onto writes a disk, and ${format} is none`, { hint: "--format raw, or another disk" });
}

export const command = defineCommand({
  name: "export",
  summary: "Write an image as a tar, file system, OCI layout or disk",
  description: `Equal images give equal bytes, whenever and wherever they are exported. The output appears whole or not at all.
A release volume comes merged with its root image; with --volume-only just the volume, as it is. \`oci\` writes a layout that holds only this
image (and the root of a volume): a folder, or a tar of it when --output ends in .tar (the default). An image that has papers takes them along,
with the images that it was baked onto, so that \`image verify\` can follow the chain; \`--no-papers\` leaves both out.

\`raw\`, \`qcow2\`, \`vmdk\` (VMware), \`vhd\` (Azure) and \`vhdx\` (Hyper-V) are disks that UEFI machines start from: the image's own kernel
with an initrd as one EFI program, and the root. An erofs or squashfs root stays as it is, and what is written lies above it in memory, or with
--data on a partition; an ext4 root is written to and grows to the disk. A release volume is a partition of its own.

--onto takes a disk such as the one that a \`disk\` step started from, and puts the image in the place of its root: partitions, boot loader, UUIDs
and labels stay as its maker made them, and the machine starts by its own boot loader.

Whatever the format, the content digest that is printed is the same, and stands in the artifact: \`image verify --artifact\` reads it back.`,
  arguments: { image: IMAGE_ARGUMENT },
  options: {
    format: { short: "f", value: "format", choices: FORMATS, default: "tar", summary: "What to write" },
    output: { short: "o", value: "path", summary: "Where to; default: named after the image, in this folder", completes: "file" },
    volumeOnly: { summary: "Only the release volume, without its root image (erofs)" },
    noPapers: { summary: "Without SBOM, provenance, evidence and the images below (oci)" },
    root: { value: "type", choices: ["erofs", "squashfs", "ext4"], default: "erofs", summary: "Root file system of a disk" },
    size: { value: "size", summary: "Size of the disk, such as 8GiB, when it shall be larger than needed", completes: "none" },
    data: { value: "size", summary: "Disk: keep what is written above a read-only root on a partition of this size", completes: "none" },
    append: { value: "words", many: true, summary: "Disk: further words for the kernel's command line", completes: "none" },
    onto: {
      value: "disk",
      summary: "Disk: replace the root in a copy of this disk image, and keep everything else of it",
      completes: "file",
    },
    force: { summary: "Replace what is there" },
  },
  examples: [
    { line: "export shop --format squashfs --output shop.squashfs", does: "One compressed file" },
    { line: "export shop --format oci --output shop-oci", does: "For skopeo, umoci, buildah or another store" },
    { line: "export shop --format qcow2 --output shop.qcow2", does: "A disk for QEMU, OpenStack or libvirt" },
    { line: "export shop --format qcow2 --onto vendor.qcow2", does: "With the vendor's partitions and boot loader" },
    { line: "export shop --format vhd --root ext4 --size 30GiB", does: "A disk that is written to, for Azure" },
  ],
  run: async ({ args, options, global, terminal, folder, signal }) => {
    const { exportImage } = await import("../../engine/export-image.ts");
    const { diskOptions } = await import("../images/disk-options.ts");
    const onto = options.onto === undefined ? undefined : resolve(folder, options.onto);
    if (onto !== undefined) refuseOntoOther(options.format);
    const disk = diskOptions({ ...options, onto });
    const line = progressLine({ global, terminal });
    return withImages({ global, terminal }, async (parts) =>
      exportImage(await parts.exporting(), args.image, {
        format: options.format,
        folder,
        ...(options.output === undefined ? {} : { output: resolve(folder, options.output) }),
        replace: options.force,
        volumeOnly: options.volumeOnly,
        noPapers: options.noPapers,
        disk,
        signal,
        onProgress: (done, total) =>
          line.show(
            `Writing ${options.format}: ${formatBytes(done)}${done === 0 || UNFORESEEN.includes(options.format) ? "" : ` ${percent(done, total)}`}`,
          ),
      }).finally(() => line.end()),
    );
  },
  render: ({ target, sizeBytes, digest, content, derived, withoutAccessLists: lost }, { terminal: { colors } }) => {
    const file = `${target} ${colors.dim(`${formatBytes(sizeBytes)}${digest === undefined ? "" : ` ${digest}`}`)}\n`;
    const note = derived ? " (the file's own bytes differ from export to export)" : "";
    const left =
      lost.length === 0
        ? ""
        : `without the access list${lost.length === 1 ? "" : "s"} of ${lost.join(", ")}: a squashfs cannot hold them\n`;
    return content === undefined ? file : `${file}${colors.dim(`content ${content}${note}`)}\n${left}`;
  },
});
