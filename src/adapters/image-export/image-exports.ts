import { chmodSync, closeSync, constants, copyFileSync, mkdirSync, openSync, readSync, statSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { setImmediate as nextTurn } from "node:timers/promises";
import { encodeArtifactRecord } from "../../core/artifact/artifact-record.ts";
import { hexOf } from "../../core/digest.ts";
import { BakehouseError } from "../../core/errors.ts";
import { MEDIA_TYPES } from "../../core/image/oci.ts";
import { canonicalJson } from "../../core/json.ts";
import { encodeHeader } from "../../core/layer/tar-header.ts";
import { BLOCK, paddingOf } from "../../core/layer/tar-numbers.ts";
import { uuidOfDigest } from "../../core/layer/volume-id.ts";
import type { ImageExports, TreeAbout, TreeFormat } from "../../ports/image-exports.ts";
import type { Store } from "../../ports/store.ts";
import { appendRecord } from "../artifacts/record-at-end.ts";
import { hashFile } from "../image-trees/index.ts";
import { buildErofs, buildSquashfs, writeDirectoryTar } from "../overlay-diffs/index.ts";
import { runProgram, throwIfCancelled } from "../overlay-diffs/run-program.ts";
import { tarOutput, type TarOutput } from "../overlay-diffs/tar-output.ts";
import { atomically, type Written } from "./atomically.ts";

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
        return { digest };
      }),
  };
}

async function writeTree(
  { hostPath: directory, inside }: Parameters<ImageExports["tree"]>[0],
  format: TreeFormat,
  { epochSeconds, identity, mark }: TreeAbout,
  target: string,
  signal: AbortSignal,
): Promise<Written> {
  switch (format) {
    case "tar":
      return { digest: (await writeDirectoryTar(directory, target, { ...remarkOf(mark), signal })).diffId };
    case "dir":
      mkdirSync(target);
      // times of directories are set last, extended attributes and hard links are kept
      await runProgram(["cp", "--archive", "--reflink=auto", "--no-target-directory", "--", `${directory}/.`, target], { signal });
      return {};
    case "squashfs":
      await buildSquashfs({ directory, target, epochSeconds, signal });
      break;
    case "erofs":
      await buildErofs({
        directory: inside.path,
        inNamespaceOf: inside.pid,
        target,
        epochSeconds,
        uuid: uuidOfDigest(identity),
        signal,
      });
  }
  if (mark !== undefined) appendRecord(target, mark.record, mark.listing);
  return { digest: `sha256:${hashFile(target)}` };
}

const remarkOf = (mark: TreeAbout["mark"]): { readonly remark?: string } =>
  mark === undefined ? {} : { remark: encodeArtifactRecord(mark.record).trim() };

type LayoutContent = Parameters<ImageExports["layout"]>[0];

const OCI_LAYOUT = JSON.stringify({ imageLayoutVersion: "1.0.0" });

const indexOf = ({ entries }: LayoutContent): string =>
  canonicalJson({ schemaVersion: 2, mediaType: MEDIA_TYPES.index, manifests: entries });

async function layoutFolder(store: Store, content: LayoutContent, target: string, signal: AbortSignal): Promise<Written> {
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
  return {};
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
async function layoutTar(store: Store, content: LayoutContent, target: string, signal: AbortSignal): Promise<Written> {
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
    return { digest: output.end().digest };
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
