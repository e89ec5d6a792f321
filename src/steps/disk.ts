import { z } from "zod";
import type { RootChoice } from "../core/disk/find-root.ts";
import { defineStep } from "../core/step.ts";
import { recipePath } from "./lib/options.ts";

const choice = z.union([
  z.strictObject({ label: z.string().min(1).max(255).describe("Label of the file system, or name of its partition") }),
  z.strictObject({
    uuid: z
      .string()
      .regex(/^[0-9A-Fa-f-]{4,36}$/, "is no UUID of a file system")
      .describe("UUID of the file system"),
  }),
  z.strictObject({ partition: z.int().min(1).max(128).describe("Number of the partition") }),
]);

const settings = z.strictObject({
  image: recipePath().describe("The disk image, raw or qcow2, beside the recipe"),
  root: choice.optional().describe("Which file system is the root one; absent: the only one that looks like it"),
});
const options = z.union([recipePath().describe("The disk image"), settings]);

const settingsOf = (value: z.output<typeof options>): { readonly image: string; readonly root?: RootChoice | undefined } =>
  typeof value === "string" ? { image: value } : value;

/** A foundation from the disk of a machine that somebody else has made, as Aminator starts from one. */
export const disk = defineStep({
  id: "disk",
  version: 1,
  role: "foundation",
  summary: "Start from a disk image of a machine: raw or qcow2",
  description: `Takes the root file system of a machine's disk as the foundation: what a distribution publishes as a cloud image, or another tool has made.

- Raw and qcow2 disks are read, with a GPT, an MBR (logical partitions, too), or a file system on the whole disk. The root lies on ext4, xfs or btrfs; one that was not unmounted
  cleanly is replayed in a copy. The file itself is never written to.
- The root is found by what lies on it (/etc with /usr or /bin). Where several look like it, \`root\` says which, and the message lists them.
- Owners, modes, times, capabilities, ACLs and hard links are kept. What machines make anew (host keys, machine id, caches) is left out as from every layer.
- \`bakehouse export --format raw --onto <the same disk>\` writes what was baked back into a copy of the disk: partitions, boot loader, UUIDs and labels stay those of its maker.
- A disk in LVM, LUKS or RAID, and one that keeps /boot, /usr or /var on a partition of its own, is refused.`,
  examples: [`- disk: vendor/cloud.qcow2`, `- disk:\n    image: vendor/cloud.raw\n    root: { label: cloudimg-rootfs }`],
  options,
  needs: ["disks", "inputs"],
  requires: (value) => ({ files: [{ path: settingsOf(value).image, kind: "file" }] }),
  run: async ({ options: given, disks, inputs, log, progress }) => {
    const { image, root } = settingsOf(given);
    progress({ message: `reading ${image}` });
    const { from } = await disks.copyTree(inputs.hostPath(image), root);
    log(`${image}: ${from}`);
  },
});
