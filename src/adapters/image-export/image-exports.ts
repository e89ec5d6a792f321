import {
  chmodSync,
  closeSync,
  constants,
  copyFileSync,
  existsSync,
  lstatSync,
  mkdirSync,
  openSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { setImmediate as nextTurn } from "node:timers/promises";
import { hexOf, type Sha256 } from "../../core/digest.ts";
import { BakehouseError } from "../../core/errors.ts";
import { MEDIA_TYPES } from "../../core/image/oci.ts";
import { canonicalJson } from "../../core/json.ts";
import { encodeHeader } from "../../core/layer/tar-header.ts";
import { BLOCK, paddingOf } from "../../core/layer/tar-numbers.ts";
import { uuidOfDigest } from "../../core/layer/volume-id.ts";
import type { Exported, ExportOptions, ImageExports, TreeFormat } from "../../ports/image-exports.ts";
import type { Store } from "../../ports/store.ts";
import { hashFile } from "../image-trees/index.ts";
import { namesIn } from "../local-store/files.ts";
import { startTimeOf } from "../local-store/owners.ts";
import { buildErofs, buildSquashfs, writeDirectoryTar } from "../overlay-diffs/index.ts";
import { runProgram, throwIfCancelled } from "../overlay-diffs/run-program.ts";
import { tarOutput, type TarOutput } from "../overlay-diffs/tar-output.ts";
import { sizeOfTree } from "../store-contents/tree-size.ts";

/** Writes images of a local store to files and folders outside of it. */
export function localImageExports(store: Store): ImageExports {
  return {
    tree: (tree, format, about, options) =>
      atomically(options, format === "dir", (to) => writeTree(tree, format, about, to, options.signal)),
    layout: (content, options) =>
      atomically(options, !options.target.endsWith(".tar"), (to) =>
        options.target.endsWith(".tar") ? layoutTar(store, content, to, options.signal) : layoutFolder(store, content, to, options.signal),
      ),
    blob: (digest, options) =>
      atomically(options, false, async (to) => {
        copyFileSync(store.blobs.path(digest), to, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
        return digest;
      }),
  };
}

/** Writes beside the target and renames: whoever looks sees the old, nothing, or the whole new one. */
async function atomically(
  options: ExportOptions,
  isFolder: boolean,
  write: (to: string) => Promise<Sha256 | undefined>,
): Promise<Exported> {
  const { target } = options;
  refuseTaken(target, options.replace);
  removeAbandoned(target);
  const beside = join(dirname(target), `.${basename(target)}.bakehouse-${process.pid}-${startTimeOf(process.pid) ?? 0}`);
  const watch = setInterval(() => options.onBytes(sizeSoFar(beside, isFolder)), PROGRESS_MS);
  try {
    throwIfCancelled(options.signal);
    const digest = await write(beside);
    throwIfCancelled(options.signal);
    if (options.replace) rmSync(target, { recursive: true, force: true });
    renameSync(beside, target);
    return { target, sizeBytes: isFolder ? sizeOfTree(target) : statSync(target).size, ...(digest === undefined ? {} : { digest }) };
  } catch (error) {
    rmSync(beside, { recursive: true, force: true });
    throw outputError(error, target);
  } finally {
    clearInterval(watch);
  }
}

const PROGRESS_MS = 200;

/** What an export to the same place left that was killed: its name says which process wrote it, and when that began. */
function removeAbandoned(target: string): void {
  const prefix = `.${basename(target)}.bakehouse-`;
  for (const name of namesIn(dirname(target)).filter((each) => each.startsWith(prefix))) {
    const [, pid, start] = /-(\d+)-(\d+)$/.exec(name) ?? [];
    if (startTimeOf(Number(pid)) !== Number(start)) rmSync(join(dirname(target), name), { recursive: true, force: true });
  }
}

function refuseTaken(target: string, replace: boolean): void {
  if (!existsSync(dirname(target)))
    throw new BakehouseError("INPUT_INVALID", `There is no folder ${dirname(target)} to write to`, { hint: `mkdir -p ${dirname(target)}` });
  if (!replace && lstatSync(target, { throwIfNoEntry: false }) !== undefined)
    throw new BakehouseError("INPUT_INVALID", `${target} exists already`, { hint: "--force replaces it; --output names another place" });
}

/** A folder's size is too costly to ask for so often. */
const sizeSoFar = (path: string, isFolder: boolean): number => (isFolder ? 0 : (statSync(path, { throwIfNoEntry: false })?.size ?? 0));

/** Programs say it in words, system calls by code, and the layer code by its own error, which speaks of the store. */
function outputError(error: unknown, target: string): unknown {
  const code = (error as NodeJS.ErrnoException | undefined)?.code;
  const full =
    code === "ENOSPC" ||
    code === "EDQUOT" ||
    (error instanceof BakehouseError && error.code === "STORE_FULL") ||
    /No space left on device/.test(String((error as Error | undefined)?.message));
  if (full)
    return new BakehouseError(
      "STORE_FULL",
      `No space left while writing ${target}; nothing was left behind`,
      { hint: "write to a larger disk: --output" },
      error,
    );
  if (code === "EACCES" || code === "EPERM" || code === "EROFS")
    return new BakehouseError(
      "INPUT_INVALID",
      `Cannot write ${target}: ${(error as Error).message}`,
      { hint: "write to another place: --output" },
      error,
    );
  return error;
}

async function writeTree(
  { hostPath: directory, inside }: Parameters<ImageExports["tree"]>[0],
  format: TreeFormat,
  about: { readonly epochSeconds: number; readonly identity: Sha256 },
  target: string,
  signal: AbortSignal,
): Promise<Sha256 | undefined> {
  switch (format) {
    case "tar":
      return (await writeDirectoryTar(directory, target, { signal })).diffId;
    case "dir":
      mkdirSync(target);
      // times of directories are set last, extended attributes and hard links are kept
      await runProgram(["cp", "--archive", "--reflink=auto", "--no-target-directory", "--", `${directory}/.`, target], { signal });
      return undefined;
    case "squashfs":
      await buildSquashfs({ directory, target, epochSeconds: about.epochSeconds, signal });
      return `sha256:${hashFile(target)}`;
    case "erofs":
      await buildErofs({
        directory: inside.path,
        inNamespaceOf: inside.pid,
        target,
        epochSeconds: about.epochSeconds,
        uuid: uuidOfDigest(about.identity),
        signal,
      });
      return `sha256:${hashFile(target)}`;
  }
}

type LayoutContent = Parameters<ImageExports["layout"]>[0];

const OCI_LAYOUT = JSON.stringify({ imageLayoutVersion: "1.0.0" });

const indexOf = ({ entries }: LayoutContent): string =>
  canonicalJson({ schemaVersion: 2, mediaType: MEDIA_TYPES.index, manifests: entries });

async function layoutFolder(store: Store, content: LayoutContent, target: string, signal: AbortSignal): Promise<undefined> {
  for (const folder of ["", "blobs", "blobs/sha256"]) makeFolder(join(target, folder));
  for (const digest of content.blobs) {
    throwIfCancelled(signal);
    writeBeside(join(target, "blobs", "sha256", hexOf(digest)), (path) =>
      copyFileSync(store.blobs.path(digest), path, constants.COPYFILE_FICLONE),
    );
    await nextTurn();
  }
  writeBeside(join(target, "index.json"), (path) => writeFileSync(path, indexOf(content)));
  writeBeside(join(target, "oci-layout"), (path) => writeFileSync(path, OCI_LAYOUT));
  return undefined;
}

/** The umask is the user's; the bytes and modes shall be the same for everybody. */
function makeFolder(path: string): void {
  mkdirSync(path);
  chmodSync(path, 0o755);
}

function writeBeside(path: string, write: (path: string) => void): void {
  write(path);
  chmodSync(path, 0o644);
}

/** Straight from the store into the tar, in the order in which a reader wants it: what it is, what is in it, the blobs. */
async function layoutTar(store: Store, content: LayoutContent, target: string, signal: AbortSignal): Promise<Sha256> {
  const descriptor = openSync(target, "wx", 0o644);
  try {
    const output = tarOutput(descriptor);
    addText(output, "oci-layout", OCI_LAYOUT);
    addText(output, "index.json", indexOf(content));
    for (const folder of ["blobs", "blobs/sha256"]) output.write(encodeHeader({ ...PLAIN, path: folder, kind: "directory", mode: 0o755 }));
    for (const digest of content.blobs) {
      throwIfCancelled(signal);
      await addFile(output, `blobs/sha256/${hexOf(digest)}`, store.blobs.path(digest), signal);
    }
    output.zeros(2 * BLOCK);
    return output.end().digest;
  } finally {
    closeSync(descriptor);
  }
}

const PLAIN = { mode: 0o644, uid: 0, gid: 0, sizeBytes: 0, mtimeSeconds: 0 } as const;

function addText(output: TarOutput, path: string, text: string): void {
  const bytes = Buffer.from(text);
  output.write(encodeHeader({ ...PLAIN, path, kind: "file", sizeBytes: bytes.length }));
  output.write(bytes);
  output.zeros(paddingOf(bytes.length));
}

async function addFile(output: TarOutput, path: string, hostPath: string, signal: AbortSignal): Promise<void> {
  const sizeBytes = statSync(hostPath).size;
  output.write(encodeHeader({ ...PLAIN, path, kind: "file", sizeBytes }));
  const descriptor = openSync(hostPath, "r");
  try {
    for (let left = sizeBytes; left > 0;) {
      const room = output.room();
      const count = readSync(descriptor, room, 0, Math.min(room.length, left), null);
      if (count === 0)
        throw new BakehouseError("STORE_DAMAGED", `The blob ${basename(hostPath)} became shorter while it was read`, {
          hint: "bakehouse verify",
        });
      output.filled(count);
      left -= count;
      await nextTurn();
      throwIfCancelled(signal);
    }
  } finally {
    closeSync(descriptor);
  }
  output.zeros(paddingOf(sizeBytes));
}
