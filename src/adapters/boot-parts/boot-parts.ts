import { join } from "node:path";
import { encodeCpio, type CpioEntry } from "../../core/boot/cpio.ts";
import { BOOT_MODULES, INIT_PROGRAMS, INIT_SCRIPT } from "../../core/boot/init-script.ts";
import { compareVersions } from "../../core/debian/version.ts";
import { BakehouseError } from "../../core/errors.ts";
import type { BootParts, ImageKernel } from "../../ports/boot-parts.ts";
import type { OpenTree } from "../../ports/image-trees.ts";
import { hostImageRoot } from "../image-root/image-root.ts";
import { throwIfCancelled } from "../overlay-diffs/run-program.ts";
import { findBusybox } from "./busybox.ts";
import { KernelModules } from "./kernel-modules.ts";
import { buildLoader } from "./loader.ts";

/** Boot files out of an image's own kernel and busybox. */
export function localBootParts(): BootParts {
  return {
    kernels: kernelsOf,
    build: async (tree, { epochSeconds, kernel = newestKernel(tree), extra = [], signal }) => {
      throwIfCancelled(signal);
      const image = hostImageRoot(tree.hostPath);
      const { bytes, ...busybox } = findBusybox(image);
      const modules = await moduleEntries(new KernelModules(image.resolve(`/lib/modules/${kernel.version}`)));
      const archive = encodeCpio([...frame(bytes), ...modules], epochSeconds);
      const initrd = extra.length === 0 ? archive : Buffer.concat([archive, encodeCpio(extra, epochSeconds)]);
      return { kernel, initrd, busybox };
    },
    loader: (tree, { kernel, initrd }, commandLine) =>
      buildLoader(hostImageRoot(tree.hostPath), { kernelFile: kernel.hostPath, version: kernel.version, initrd, commandLine }),
  };
}

function kernelsOf(tree: Pick<OpenTree, "hostPath">): readonly ImageKernel[] {
  const image = hostImageRoot(tree.hostPath);
  return image
    .list("/boot")
    .filter((name) => name.startsWith("vmlinuz-"))
    .map((name) => name.slice("vmlinuz-".length))
    .filter((version) => image.stat(`/lib/modules/${version}/kernel`)?.kind === "directory")
    .sort((a, b) => compareVersions(b, a))
    .map((version) => ({ version, path: `/boot/vmlinuz-${version}`, hostPath: image.resolve(`/boot/vmlinuz-${version}`) }));
}

function newestKernel(tree: Pick<OpenTree, "hostPath">): ImageKernel {
  const [newest] = kernelsOf(tree);
  if (newest === undefined)
    throw new BakehouseError(
      "INPUT_INVALID",
      "The image holds no kernel (/boot/vmlinuz-… with its /lib/modules), so no machine can start from it",
      {
        hint: "add `- apt: { packages: [linux-image-cloud-amd64] }` to the steps of its base layer; linux-image-amd64 has drivers for real hardware, too",
      },
    );
  return newest;
}

const FOLDERS = ["bin", "dev", "proc", "sys", "lower", "upper", "newroot", "modules", "modules/files"] as const;

const frame = (busybox: Uint8Array): readonly CpioEntry[] => [
  ...FOLDERS.map((path): CpioEntry => ({ path, kind: "directory" })),
  // process 1 is started with this as its output, before anything is mounted
  { path: "dev/console", kind: "character-device", device: { major: 5, minor: 1 } },
  { path: "bin/busybox", kind: "file", mode: 0o755, content: busybox },
  ...INIT_PROGRAMS.map((name): CpioEntry => ({ path: join("bin", name), kind: "symlink", target: "busybox" })),
  { path: "init", kind: "file", mode: 0o755, content: INIT_SCRIPT },
];

/** `modules/<name>` lists the files to load for it; `modules/files` has each once. */
async function moduleEntries(modules: KernelModules): Promise<readonly CpioEntry[]> {
  const files = new Set<string>();
  const lists: CpioEntry[] = [];
  for (const name of Object.values(BOOT_MODULES).flat()) {
    const order = await modules.orderFor(name);
    if (order.length === 0) continue;
    for (const each of order) files.add(each);
    lists.push({ path: `modules/${name}`, kind: "file", content: `${order.join("\n")}\n` });
  }
  return [
    ...lists,
    ...[...files].map((name): CpioEntry => ({ path: `modules/files/${name}`, kind: "file", content: modules.bytesOf(name) })),
  ];
}
