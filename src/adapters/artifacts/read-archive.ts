import { closeSync, existsSync, mkdirSync, openSync, readFileSync, readSync, rmSync } from "node:fs";
import { join } from "node:path";
import { parseArtifactRecord, type ArtifactRecord } from "../../core/artifact/artifact-record.ts";
import { canonicalLinks, contentListing } from "../../core/artifact/content-listing.ts";
import { hexOf, isSha256, type ImageDigest, type Sha256 } from "../../core/digest.ts";
import { BakehouseError } from "../../core/errors.ts";
import { ANNOTATIONS, MEDIA_TYPES, type ImageConfig, type ImageManifest, type IndexEntry } from "../../core/image/oci.ts";
import { mergeLayers, type LayerListing, type ListedEntry, type TreeEntry } from "../../core/layer/merge-layers.ts";
import { decodePax } from "../../core/layer/pax.ts";
import { decodeHeader } from "../../core/layer/tar-header.ts";
import { BLOCK } from "../../core/layer/tar-numbers.ts";
import { belongsToContent } from "../../core/layer/xattrs.ts";
import type { ReadArtifact } from "../../ports/artifact-reader.ts";
import { hashFile, openPrivately } from "../image-trees/index.ts";
import { readTarEntries } from "../overlay-diffs/index.ts";
import { runProgram, throwIfCancelled } from "../overlay-diffs/run-program.ts";
import { shellQuote } from "../sandbox/holder.ts";
import { listEntries } from "./list-content.ts";
import { temporaryPath } from "./temporary.ts";

/** A tar, straight from its entries: nothing is unpacked. */
export async function readTar(file: string, signal: AbortSignal): Promise<ReadArtifact> {
  const record = remarkOf(file);
  const listing = listingOf([await layerOf("tar", file, signal)]);
  return { format: "tar", ...(record === undefined ? {} : { record }), listing, lacksAccessLists: false, faults: [] };
}

/** The comment of a global header in front of everything; see `encodeRemark`. */
function remarkOf(file: string): ArtifactRecord | undefined {
  const descriptor = openSync(file, "r");
  try {
    const block = Buffer.alloc(BLOCK);
    readSync(descriptor, block, 0, BLOCK, 0);
    const header = decodeHeader(block);
    if (header?.flag !== "g" || header.sizeBytes > LONGEST_REMARK) return undefined;
    const payload = Buffer.alloc(header.sizeBytes);
    readSync(descriptor, payload, 0, payload.length, BLOCK);
    return parseArtifactRecord(new TextDecoder().decode(decodePax(payload).get("comment")));
  } finally {
    closeSync(descriptor);
  }
}

const LONGEST_REMARK = 64 * 1024;

/** A layout: every blob against the digest that names it, from the index down, and the layers merged. */
export async function readLayout(source: string, isTar: boolean, signal: AbortSignal): Promise<ReadArtifact> {
  const folder = isTar ? temporaryPath() : source;
  try {
    if (isTar) {
      mkdirSync(folder, { mode: 0o700 });
      await runProgram(["tar", "--extract", "--file", source, "--directory", folder, "--no-same-owner"], { signal });
    }
    return await readFolder(folder, source, signal);
  } finally {
    if (isTar) rmSync(folder, { recursive: true, force: true });
  }
}

async function readFolder(folder: string, source: string, signal: AbortSignal): Promise<ReadArtifact> {
  const entry = entryOf(folder, source);
  const blobs = new Blobs(folder, source);
  const manifest = blobs.json(entry.digest) as ImageManifest;
  const isVolume = manifest.artifactType === MEDIA_TYPES.volume;
  const root = isVolume ? (blobs.json(manifest.subject?.digest ?? entry.digest) as ImageManifest) : manifest;
  const config = blobs.json(root.config.digest) as ImageConfig;
  const layers: LayerListing[] = [];
  for (const { digest } of root.layers) layers.push(await layerOf(digest, blobs.verified(digest), signal));
  const changed = config.rootfs.diff_ids.join() !== root.layers.map(({ digest }) => digest).join();
  const path = manifest.annotations?.[ANNOTATIONS.volumePath];
  if (isVolume && path !== undefined)
    layers.push(await volumeLayer(blobs.verified(manifest.layers[0]?.digest ?? entry.digest), path, layers, signal));
  const content = entry.annotations[ANNOTATIONS.artifactContent];
  const name = manifest.annotations?.[ANNOTATIONS.title] ?? "";
  return {
    format: "oci",
    ...(content !== undefined && isSha256(content) ? { record: { bakehouse: 1, image: entry.digest, name, content } } : {}),
    listing: listingOf(layers),
    lacksAccessLists: false,
    faults: [...blobs.faults, ...(changed ? ["the configuration names other layers than the manifest"] : [])],
  };
}

/** The one that was exported; parents and papers may lie beside it. */
function entryOf(folder: string, source: string): IndexEntry {
  const index = readJson(join(folder, "index.json"), source) as { readonly manifests?: readonly IndexEntry[] };
  const entries = index.manifests ?? [];
  const entry = entries.find(({ annotations }) => annotations?.[ANNOTATIONS.artifactContent] !== undefined) ?? entries.at(-1);
  if (entry === undefined) throw new BakehouseError("ARCHIVE_INVALID", `The layout ${source} holds no image`);
  return entry;
}

function readJson(file: string, source: string): unknown {
  try {
    return JSON.parse(readFileSync(file, "utf8"));
  } catch (error) {
    throw new BakehouseError("ARCHIVE_INVALID", `The layout ${source} cannot be read: ${(error as Error).message}`, {}, error);
  }
}

class Blobs {
  readonly faults: string[] = [];
  readonly #folder: string;
  readonly #source: string;

  constructor(folder: string, source: string) {
    this.#folder = folder;
    this.#source = source;
  }

  json(digest: ImageDigest): unknown {
    return readJson(this.verified(digest), this.#source);
  }

  /** The file of a blob; when its bytes are not those of its name, that is a fault. */
  verified(digest: Sha256): string {
    if (!isSha256(digest)) throw new BakehouseError("ARCHIVE_INVALID", `The layout ${this.#source} names a blob ${String(digest)}`);
    const file = join(this.#folder, "blobs", "sha256", hexOf(digest));
    if (!existsSync(file)) throw new BakehouseError("ARCHIVE_INVALID", `The layout ${this.#source} lacks the blob ${digest}`);
    const found = hashFile(file);
    if (found !== hexOf(digest)) this.faults.push(`the blob ${digest} holds sha256:${found}`);
    return file;
  }
}

async function layerOf(id: string, file: string, signal: AbortSignal): Promise<LayerListing> {
  const entries: ListedEntry[] = [];
  for await (const entry of readTarEntries(file, { hash: true, signal })) {
    throwIfCancelled(signal);
    entries.push({ ...entry, xattrs: new Map([...(entry.xattrs ?? [])].filter(([name]) => belongsToContent(name))) });
  }
  return { id, entries };
}

/** The tree of an erofs as a layer at its path, with the folders on the way that no layer has. */
async function volumeLayer(file: string, path: string, below: readonly LayerListing[], signal: AbortSignal): Promise<LayerListing> {
  const tree = await openPrivately([file], async (holder, cover) => {
    await holder.run(`mkdir ${cover}/volume && mount -t erofs -o ro,loop,nodev,nosuid,noexec ${shellQuote(file)} ${cover}/volume`);
    return `${cover}/volume`;
  });
  try {
    const at = path.replace(/^\//, "");
    const entries = (await listEntries(tree.hostPath, { signal })).map((entry): TreeEntry => ({
      ...entry,
      path: entry.path === "" ? at : `${at}/${entry.path}`,
      ...(entry.kind === "hardlink" ? { linkTarget: `${at}/${entry.linkTarget ?? ""}` } : {}),
    }));
    const present = new Set(mergeLayers(below).map((entry) => entry.path));
    const parents = at
      .split("/")
      .slice(0, -1)
      .map((_, index, parts) => parts.slice(0, index + 1).join("/"));
    return { id: "volume", entries: [...parents.filter((parent) => !present.has(parent)).map(plainFolder), ...entries] };
  } finally {
    await tree.close();
  }
}

/** As `makePoints` makes them. */
const plainFolder = (path: string): ListedEntry => ({
  path,
  kind: "directory",
  mode: 0o755,
  uid: 0,
  gid: 0,
  sizeBytes: 0,
  mtimeSeconds: 0,
});

const listingOf = (layers: readonly LayerListing[]): string => contentListing(canonicalLinks(mergeLayers(layers)));
