import { readinessUnit } from "../core/boot/readiness.ts";
import type { CpioEntry } from "../core/boot/cpio.ts";
import { treeBelow, trimsOf } from "../core/boot/trims.ts";
import { hexOf } from "../core/digest.ts";
import type { BootFiles, BootParts } from "../ports/boot-parts.ts";
import type { Serve } from "../ports/cells.ts";
import type { ImageRoot } from "../ports/image-root.ts";
import type { OpenTree } from "../ports/image-trees.ts";
import type { Machine, Machines } from "../ports/machines.ts";
import { exportImage, type ExportImageParts } from "./export-image.ts";
import type { ImageContent } from "./image-content.ts";

export interface ImageMachineParts extends ExportImageParts {
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
  /** Files that the machine is given beside the image, by path; only root reads them. */
  readonly files?: Readonly<Record<string, string | Uint8Array>>;
  /** What this process answers in the machine's network. */
  readonly serve?: readonly Serve[];
}

export type StartDiskOptions = Pick<StartOptions, "ports" | "memoryMiB">;

/** Starts an image as machines; what they start from is made once, by the first that needs it. */
export interface ImageMachine {
  /** Makes what one of the two starts from, and finds out which acceleration it will have. */
  prepare(kind: "direct" | "firmware", signal: AbortSignal): Promise<void>;
  /** By its own kernel, on its content. */
  start(options: StartOptions, signal: AbortSignal): Promise<Machine>;
  /** As the disk that `export --format raw` writes, through firmware and boot loader, nothing left out. */
  startDisk(options: StartDiskOptions, signal: AbortSignal): Promise<Machine>;
  /** Removes what was made. Machines must be stopped before. */
  close(): Promise<void>;
}

type Content = Pick<ImageContent, "source" | "entry" | "epochSeconds">;

/**
 * Looks at an image as something that can be booted: at its kernel.
 *
 * @throws INPUT_INVALID (no kernel in the image), SETUP_INCOMPLETE, STORE_FULL
 */
export async function openImageMachine(parts: ImageMachineParts, content: Content, signal: AbortSignal): Promise<ImageMachine> {
  const id = parts.newId();
  const folder = parts.store.workFolder(id);
  await parts.trees.ensureUnpacked(content.source.diffs);
  const tree = await parts.trees.open(content.source, { uncovered: folder });
  const close = async (): Promise<void> => {
    await tree.close();
    parts.store.releaseWorkFolder(id);
  };
  try {
    const plain = await parts.bootParts.build(tree, { epochSeconds: content.epochSeconds, signal });
    const made: Made = {
      tree,
      plain,
      content,
      root: once(`${folder}/root.erofs`, (target, by) => makeRoot(parts, content, tree, target, by)),
    };
    const disk = once(`${folder}/disk.raw`, (target, by) => makeDisk(parts, content, target, by));
    return {
      prepare: async (kind, by) => {
        await parts.machines.acceleration(plain.kernel.hostPath);
        await (kind === "direct" ? made.root(by) : disk(by));
      },
      start: (options, by) => start(parts, made, options, by),
      startDisk: async (options, by) =>
        parts.machines.start(
          {
            ...options,
            boot: {
              kind: "firmware",
              disk: await disk(by),
              format: "raw",
              bus: "virtio",
              keepWrites: false,
              probeKernel: plain.kernel.hostPath,
            },
          },
          by,
        ),
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Makes a file when it is first asked for. One that could not be made is tried again. */
function once(target: string, make: (target: string, signal: AbortSignal) => Promise<unknown>): (signal: AbortSignal) => Promise<string> {
  let made: Promise<string> | undefined;
  return (signal) =>
    (made ??= make(target, signal).then(
      () => target,
      (error: unknown) => {
        made = undefined;
        throw error;
      },
    ));
}

/** Not compressed: an emulated processor pays more for unpacking than for reading. */
function makeRoot(parts: ImageMachineParts, content: Content, tree: OpenTree, target: string, signal: AbortSignal): Promise<unknown> {
  const about = { epochSeconds: content.epochSeconds, identity: content.entry.digest };
  return parts.exports.tree(tree, "erofs", about, { target, replace: false, signal, onBytes: () => undefined });
}

function makeDisk(parts: ImageMachineParts, content: Content, target: string, signal: AbortSignal): Promise<unknown> {
  const options = { format: "raw", output: target, folder: "", replace: false, volumeOnly: false } as const;
  return exportImage(parts, content.entry.digest, { ...options, signal, onProgress: () => undefined });
}

interface Made {
  readonly tree: OpenTree;
  readonly plain: BootFiles;
  readonly content: Content;
  root(signal: AbortSignal): Promise<string>;
}

async function start(parts: ImageMachineParts, made: Made, options: StartOptions, signal: AbortSignal): Promise<Machine> {
  const tells = options.tell || options.units.length > 0;
  const tree = [...(options.trimmed ? trimsOf(parts.imageRoot(made.tree.hostPath)) : []), ...(tells ? readinessUnit(options.units) : [])];
  const given = Object.entries(options.files ?? {}).map(([path, content]) => ({ path: path.replace(/^\//, ""), content }));
  const extra = [
    ...treeBelow("trim", tree),
    ...treeBelow(
      "files",
      given.map((file): CpioEntry => ({ ...file, kind: "file", mode: 0o600 })),
    ),
  ];
  const { epochSeconds } = made.content;
  const { kernel, initrd } =
    extra.length === 0 ? made.plain : await parts.bootParts.build(made.tree, { epochSeconds, kernel: made.plain.kernel, extra, signal });
  return parts.machines.start(
    {
      boot: {
        kind: "direct",
        kernel: kernel.hostPath,
        initrd: [initrd],
        root: await made.root(signal),
        commandLine: commandLine(made.content, { trimmed: options.trimmed, hasTree: tree.length > 0, hasFiles: given.length > 0 }),
      },
      memoryMiB: options.memoryMiB,
      ports: options.ports,
      ...(options.serve === undefined ? {} : { serve: options.serve }),
    },
    signal,
  );
}

/** At most 2,048 bytes, beyond which the kernel dies silently. The machine id is the image's, so that equal boots are equal. */
function commandLine(
  { entry }: Content,
  { trimmed, hasTree, hasFiles }: { readonly trimmed: boolean; readonly hasTree: boolean; readonly hasFiles: boolean },
): string {
  const words = ["root=/dev/vda", "rootfstype=erofs", "console=ttyS0", "panic=-1", "quiet", "systemd.show_status=1", "systemd.log_color=0"];
  const quick = ["mitigations=off", "nokaslr", "module_blacklist=kvm,kvm_amd,kvm_intel"];
  return [
    ...words,
    `systemd.machine_id=${hexOf(entry.digest).slice(0, 32)}`,
    ...(trimmed ? quick : []),
    ...(hasTree ? ["bh.trim"] : []),
    ...(hasFiles ? ["bh.files"] : []),
  ].join(" ");
}
