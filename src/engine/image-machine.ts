import { readinessUnit } from "../core/boot/readiness.ts";
import { treeBelow, trims, type TrimmedImage } from "../core/boot/trims.ts";
import { hexOf } from "../core/digest.ts";
import type { BootFiles, BootParts } from "../ports/boot-parts.ts";
import type { ImageExports } from "../ports/image-exports.ts";
import type { ImageRoot } from "../ports/image-root.ts";
import type { ImageTrees, OpenTree } from "../ports/image-trees.ts";
import type { Machine, Machines } from "../ports/machines.ts";
import type { Store } from "../ports/store.ts";
import type { ImageContent } from "./image-content.ts";

export interface ImageMachineParts {
  readonly store: Store;
  readonly trees: ImageTrees;
  readonly exports: Pick<ImageExports, "tree">;
  readonly bootParts: BootParts;
  readonly machines: Machines;
  /** Reads a tree by the paths of the image. */
  imageRoot(hostPath: string): Pick<ImageRoot, "readText" | "list" | "lstat">;
  /** A name for a folder of work. */
  newId(): string;
}

export interface StartOptions {
  /** Leave out what a smoke boot needs not. */
  readonly trimmed: boolean;
  readonly ports: readonly number[];
  /** Units whose state the machine tells on its console; with them, or `tell`, it also tells when everything is started. */
  readonly units: readonly string[];
  readonly tell: boolean;
  readonly memoryMiB: number;
}

/** Starts an image as a machine by its own kernel; what that needs is made once for all starts. */
export interface ImageMachine {
  start(options: StartOptions, signal: AbortSignal): Promise<Machine>;
  /** Removes what was made. Machines must be stopped before. */
  close(): Promise<void>;
}

/**
 * Makes what an image needs to be booted: its tree as a read-only file-system image, and an initrd for its kernel.
 *
 * @throws INPUT_INVALID (no kernel in the image), SETUP_INCOMPLETE, STORE_FULL
 */
export async function openImageMachine(
  parts: ImageMachineParts,
  content: Pick<ImageContent, "source" | "entry" | "epochSeconds">,
  signal: AbortSignal,
): Promise<ImageMachine> {
  const id = parts.newId();
  const folder = parts.store.workFolder(id);
  await parts.trees.ensureUnpacked(content.source.diffs);
  const root = `${folder}/root.erofs`;
  const tree = await parts.trees.open(content.source, { uncovered: root });
  const close = async (): Promise<void> => {
    await tree.close();
    parts.store.releaseWorkFolder(id);
  };
  try {
    // the kernel first: an image without one is found at once
    const plain = await parts.bootParts.build(tree, { epochSeconds: content.epochSeconds, signal });
    const about = { epochSeconds: content.epochSeconds, identity: content.entry.digest };
    await parts.exports.tree(tree, "erofs", about, { target: root, replace: false, signal, onBytes: () => undefined });
    return { start: (options, by) => start(parts, { tree, root, plain, content }, options, by), close };
  } catch (error) {
    await close();
    throw error;
  }
}

interface Made {
  readonly tree: OpenTree;
  readonly root: string;
  readonly plain: BootFiles;
  readonly content: Pick<ImageContent, "entry" | "epochSeconds">;
}

async function start(parts: ImageMachineParts, made: Made, options: StartOptions, signal: AbortSignal): Promise<Machine> {
  const tells = options.tell || options.units.length > 0;
  const files = [
    ...(options.trimmed ? trims(needsOf(parts.imageRoot(made.tree.hostPath))) : []),
    ...(tells ? readinessUnit(options.units) : []),
  ];
  const { epochSeconds } = made.content;
  const { kernel, initrd } =
    files.length === 0
      ? made.plain
      : await parts.bootParts.build(made.tree, { epochSeconds, kernel: made.plain.kernel, extra: treeBelow("trim", files), signal });
  return parts.machines.start(
    {
      boot: {
        kind: "direct",
        kernel: kernel.hostPath,
        initrd: [initrd],
        root: made.root,
        commandLine: commandLine(made.content, { trimmed: options.trimmed, hasTree: files.length > 0 }),
      },
      memoryMiB: options.memoryMiB,
      ports: options.ports,
    },
    signal,
  );
}

/** At most 2,048 bytes, beyond which the kernel dies silently. The machine id is the image's, so that equal boots are equal. */
function commandLine({ entry }: Made["content"], { trimmed, hasTree }: { readonly trimmed: boolean; readonly hasTree: boolean }): string {
  const words = ["root=/dev/vda", "rootfstype=erofs", "console=ttyS0", "panic=-1", "quiet", "systemd.show_status=1", "systemd.log_color=0"];
  const quick = ["mitigations=off", "nokaslr", "module_blacklist=kvm,kvm_amd,kvm_intel"];
  return [
    ...words,
    `systemd.machine_id=${hexOf(entry.digest).slice(0, 32)}`,
    ...(trimmed ? quick : []),
    ...(hasTree ? ["bh.trim"] : []),
  ].join(" ");
}

const UNIT_FOLDERS = ["/etc/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"] as const;

function needsOf(root: Pick<ImageRoot, "readText" | "list" | "lstat">): TrimmedImage {
  const hasUnit = (script: string): boolean =>
    UNIT_FOLDERS.some((folder) => root.lstat(`${folder}/${script.replace(/\.sh$/, "")}.service`) !== undefined);
  return {
    hasFstab: /^\s*[^#\s]/m.test(root.readText("/etc/fstab") ?? ""),
    hasInitScripts: root.list("/etc/init.d").some((script) => script !== "README" && !hasUnit(script)),
  };
}
