import { createHash } from "node:crypto";
import {
  closeSync,
  constants,
  copyFileSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  readSync,
  realpathSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { setImmediate as nextTurn } from "node:timers/promises";
import { hexOf, isSha256, type DiffId, type Sha256 } from "../../core/digest.ts";
import { BakehouseError } from "../../core/errors.ts";
import type { Descriptor, IndexEntry } from "../../core/image/oci.ts";
import type { Diffs } from "../../ports/diffs.ts";
import type { ImageImports, ImportSource } from "../../ports/image-imports.ts";
import type { Store } from "../../ports/store.ts";
import { storeError } from "../local-store/files.ts";
import { readTarEntries, unpackArchive } from "../overlay-diffs/index.ts";
import { archiveChunks } from "../overlay-diffs/archive-source.ts";
import { runProgram, throwIfCancelled } from "../overlay-diffs/run-program.ts";

/**
 * Looks into files and folders that may hold an image. Everything is unpacked in a work folder of the store, which the next
 * run removes if this process dies.
 */
export function localImageImports(store: Store, diffs: Diffs): ImageImports {
  return { open: (path, signal) => openSource(store, diffs, path, signal) };
}

interface Opening {
  readonly store: Store;
  readonly diffs: Diffs;
  readonly path: string;
  readonly signal: AbortSignal;
  /** For what is unpacked on the way. */
  readonly work: string;
}

async function openSource(store: Store, diffs: Diffs, path: string, signal: AbortSignal): Promise<ImportSource> {
  const stats = statSync(path, { throwIfNoEntry: false });
  if (stats === undefined)
    throw new BakehouseError("INPUT_INVALID", `There is nothing at ${path}`, {
      hint: "name an OCI layout, a tar of a root file system, or a folder",
    });
  if (!stats.isDirectory() && !stats.isFile()) throw new BakehouseError("INPUT_INVALID", `${path} is neither a file nor a folder`);
  const id = `import-${process.pid}-${Date.now().toString(36)}`;
  const opening: Opening = { store, diffs, path, signal, work: store.workFolder(id) };
  const close = async (): Promise<void> => store.releaseWorkFolder(id);
  try {
    const source = stats.isDirectory() ? folderSource(opening) : await fileSource(opening);
    return { ...source, close };
  } catch (error) {
    await close();
    throw error;
  }
}

type OpenedSource = Omit<ImportSource, "close">;

function folderSource(opening: Opening): OpenedSource {
  const isLayout = statSync(join(opening.path, "oci-layout"), { throwIfNoEntry: false })?.isFile() === true;
  if (isLayout) return layoutSource(opening, opening.path);
  return {
    ...noLayout("directory"),
    takeTree: async (epochSeconds) => {
      const tree = join(opening.work, "tree");
      mkdirSync(tree);
      await copyFolder(opening, tree);
      return takeTree(opening, tree, epochSeconds);
    },
  };
}

/** @throws INPUT_INVALID when the folder holds the store, or something in it cannot be copied: other programs may be at work there */
async function copyFolder({ store, path, signal }: Opening, target: string): Promise<void> {
  const folder = realpathSync(path);
  if (`${realpathSync(store.root)}/`.startsWith(folder === "/" ? folder : `${folder}/`))
    throw new BakehouseError("INPUT_INVALID", `${path} holds the store ${store.root}, which cannot be taken into itself`, {
      hint: "import a copy of the folder, or into a store elsewhere: --store DIR",
    });
  try {
    await runProgram(["cp", "--archive", "--reflink=auto", "--no-target-directory", "--", `${path}/.`, target], { signal });
  } catch (error) {
    if (error instanceof BakehouseError) throw error;
    if (store.isFull()) throw new BakehouseError("STORE_FULL", `No space left to copy ${path}`, { hint: "bakehouse gc" }, error);
    throw new BakehouseError("INPUT_INVALID", `Cannot copy ${path}: ${(error as Error).message}`, {}, error);
  }
}

async function fileSource(opening: Opening): Promise<OpenedSource> {
  const kind = await kindOfTar(opening);
  if (kind === "docker")
    throw new BakehouseError("INPUT_INVALID", `${opening.path} was written by \`docker save\`, which is no OCI layout`, {
      hint: `skopeo copy docker-archive:${opening.path} oci:layout, then bakehouse import layout`,
    });
  if (kind === "layout") {
    const folder = join(opening.work, "layout");
    mkdirSync(folder);
    await unpackArchive(opening.path, folder, { signal: opening.signal });
    return layoutSource(opening, folder);
  }
  return {
    ...noLayout("rootfs-tar"),
    takeTree: async (epochSeconds) => {
      const tree = join(opening.work, "tree");
      mkdirSync(tree);
      await unpackArchive(opening.path, tree, { signal: opening.signal, devices: true });
      return takeTree(opening, tree, epochSeconds);
    },
  };
}

/** Told apart by the files that each has at its root. A root file system has neither. */
async function kindOfTar({ path, signal }: Opening): Promise<"layout" | "docker" | "rootfs"> {
  let docker = false;
  for await (const entry of readTarEntries(path, { signal })) {
    if (entry.path === "oci-layout" && entry.kind === "file") return "layout";
    if (entry.path === "manifest.json" && entry.kind === "file") docker = true;
  }
  return docker ? "docker" : "rootfs";
}

function noLayout(kind: "directory" | "rootfs-tar"): Omit<OpenedSource, "takeTree"> {
  const refuse = (): never => {
    throw new Error(`A ${kind} has no blobs`);
  };
  return { kind, entries: [], readJson: refuse, takeBlob: refuse, takeLayer: refuse };
}

async function takeTree(
  { store, diffs, work, signal }: Opening,
  tree: string,
  epochSeconds: number,
): Promise<{ readonly diffId: DiffId; readonly sizeBytes: number; readonly entries: number }> {
  const target = join(work, "layer.tar");
  const summary = await diffs.write({ directory: tree, target, epochSeconds, lowerHasDirectory: () => false, signal });
  store.blobs.adopt(target, summary.diffId);
  store.diffs.adopt(tree, summary.diffId);
  return summary;
}

function layoutSource(opening: Opening, folder: string): OpenedSource {
  return {
    kind: "oci-layout",
    entries: indexEntries(folder, opening.path),
    readJson: (descriptor) => readJsonBlob(folder, descriptor),
    takeBlob: (descriptor) => takeBlob(opening, folder, descriptor),
    takeLayer: (descriptor, diff) => takeLayer(opening, folder, descriptor, diff),
    takeTree: () => Promise.reject(new Error("A layout is taken layer by layer")),
  };
}

function indexEntries(folder: string, shown: string): readonly IndexEntry[] {
  const invalid = (why: string): BakehouseError => new BakehouseError("ARCHIVE_INVALID", `${shown} is no sound OCI layout: ${why}`);
  let index: unknown;
  try {
    index = JSON.parse(readFileSync(join(folder, "index.json"), "utf8"));
  } catch (error) {
    throw invalid(`index.json ${(error as NodeJS.ErrnoException).code === "ENOENT" ? "is missing" : "cannot be read"}`);
  }
  const { manifests } = index as { readonly manifests?: unknown };
  if (!Array.isArray(manifests)) throw invalid("index.json lists no manifests");
  return manifests.map((entry: Partial<IndexEntry> | null): IndexEntry => {
    if (typeof entry?.digest !== "string" || !isSha256(entry.digest))
      throw invalid(`index.json names ${JSON.stringify(entry?.digest)}, which is no SHA-256 digest`);
    return {
      ...entry,
      mediaType: entry.mediaType ?? "",
      digest: entry.digest,
      size: entry.size ?? 0,
      annotations: entry.annotations ?? {},
    };
  });
}

/** A regular file in its place: a layout of strangers may hold links to anywhere. */
function blobFile(folder: string, digest: Sha256): string {
  if (!isSha256(digest)) throw new BakehouseError("ARCHIVE_INVALID", `${JSON.stringify(digest)} is no SHA-256 digest`);
  const path = join(folder, "blobs", "sha256", hexOf(digest));
  if (lstatSync(path, { throwIfNoEntry: false })?.isFile() === true) return path;
  throw new BakehouseError("ARCHIVE_INVALID", `The layout lacks the blob ${digest}`, { hint: "copy the layout again" });
}

/** No manifest or configuration is larger; registries refuse more than 4 MiB. */
const JSON_LIMIT_BYTES = 16 * 1024 * 1024;

function readJsonBlob(folder: string, { digest }: Descriptor): unknown {
  const path = blobFile(folder, digest);
  if (statSync(path).size > JSON_LIMIT_BYTES) throw new BakehouseError("ARCHIVE_INVALID", `The blob ${digest} is too large for a manifest`);
  const bytes = readFileSync(path);
  const found = `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
  if (found !== digest) throw mismatch(digest, found);
  try {
    return JSON.parse(bytes.toString("utf8")) as unknown;
  } catch (error) {
    throw new BakehouseError("ARCHIVE_INVALID", `The blob ${digest} is not JSON`, {}, error);
  }
}

const mismatch = (expected: string, found: string): BakehouseError =>
  new BakehouseError("DIGEST_MISMATCH", `A blob holds ${found}, not ${expected}`, {
    hint: "copy the image again",
    details: { expected, found },
  });

async function takeBlob({ store, work, signal }: Opening, folder: string, { digest }: Descriptor): Promise<void> {
  const from = blobFile(folder, digest);
  if (store.blobs.has(digest)) return;
  const copy = join(work, hexOf(digest));
  try {
    copyFileSync(from, copy, constants.COPYFILE_FICLONE);
  } catch (error) {
    throw storeError(error, copy);
  }
  const hash = createHash("sha256");
  for await (const chunk of chunksOf(copy, signal)) hash.update(chunk);
  const found = `sha256:${hash.digest("hex")}`;
  if (found !== digest) throw mismatch(digest, found);
  store.blobs.adopt(copy, digest);
}

async function* chunksOf(path: string, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  const descriptor = openSync(path, "r");
  try {
    const buffer = Buffer.allocUnsafeSlow(1024 * 1024);
    for (let count = readSync(descriptor, buffer); count > 0; count = readSync(descriptor, buffer)) {
      yield buffer.subarray(0, count);
      await nextTurn();
      throwIfCancelled(signal);
    }
  } finally {
    closeSync(descriptor);
  }
}

/** The compressed bytes are checked by what the manifest says, the plain ones by what the configuration says. */
async function takeLayer(opening: Opening, folder: string, descriptor: Descriptor, diff: DiffId): Promise<{ readonly sizeBytes: number }> {
  const { store, diffs, work, signal } = opening;
  if (!isSha256(diff)) throw new BakehouseError("ARCHIVE_INVALID", `${JSON.stringify(diff)} is no SHA-256 digest`);
  const from = blobFile(folder, descriptor.digest);
  if (!store.blobs.has(diff) || !store.diffs.has(diff)) {
    if (descriptor.digest !== diff) await verify(from, descriptor.digest, signal);
    const plain = join(work, "layer.tar");
    await decompress(from, plain, signal);
    const tree = join(work, "layer");
    mkdirSync(tree);
    try {
      await diffs.unpack(plain, tree, diff);
    } catch (error) {
      rmSync(tree, { recursive: true, force: true });
      throw error;
    }
    store.blobs.adopt(plain, diff);
    store.diffs.adopt(tree, diff);
  }
  return { sizeBytes: store.blobs.sizeBytes(diff) };
}

async function verify(path: string, digest: Sha256, signal: AbortSignal): Promise<void> {
  const hash = createHash("sha256");
  for await (const chunk of chunksOf(path, signal)) hash.update(chunk);
  const found = `sha256:${hash.digest("hex")}`;
  if (found !== digest) throw mismatch(digest, found);
}

async function decompress(from: string, to: string, signal: AbortSignal): Promise<void> {
  const descriptor = openSync(to, "wx", 0o644);
  try {
    for await (const chunk of archiveChunks(from, signal)) for (let at = 0; at < chunk.length;) at += writeSync(descriptor, chunk, at);
  } catch (error) {
    throw storeError(error, to);
  } finally {
    closeSync(descriptor);
  }
}
