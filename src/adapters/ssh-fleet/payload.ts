import { createHash } from "node:crypto";
import { createReadStream, existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { hexOf, shortDigest, type Sha256 } from "../../core/digest.ts";
import { BakehouseError } from "../../core/errors.ts";
import type { Store } from "../../ports/store.ts";
import { openPrivateVolume } from "../image-trees/private-mounts.ts";
import { makeFolder, namesIn } from "../local-store/files.ts";
import { buildErofs, writeDirectoryTar } from "../overlay-diffs/index.ts";

/** A file that is sent to a machine, and how it is told that it arrived whole. */
export interface Payload {
  readonly kind: "erofs" | "tar";
  readonly file: string;
  /** Hex. */
  readonly sha256: string;
  readonly sizeBytes: number;
  /** What the machine needs beside it, to unpack it. */
  readonly unpackedBytes: number;
}

/** The volume as it is. @throws STORE_DAMAGED */
export function erofsPayload(store: Store, blob: Sha256): Payload {
  if (!store.blobs.has(blob))
    throw new BakehouseError("STORE_DAMAGED", `The blob ${shortDigest(blob)} is missing`, { hint: "bakehouse verify --repair" });
  return { kind: "erofs", file: store.blobs.path(blob), sha256: hexOf(blob), sizeBytes: store.blobs.sizeBytes(blob), unpackedBytes: 0 };
}

/**
 * The content of the volume as a tar, for machines that cannot mount it. The same volume gives the same bytes; it is kept for the
 * other machines of the fleet until another release is wanted.
 *
 * @param folder  where such tars are kept
 * @throws STORE_DAMAGED, SETUP_INCOMPLETE (mounting needs root)
 */
export async function tarPayload(store: Store, blob: Sha256, folder: string): Promise<Payload> {
  erofsPayload(store, blob);
  const file = join(folder, `${hexOf(blob)}.tar`);
  await store.withLock(`tar-${hexOf(blob)}`, {}, async () => {
    if (existsSync(file)) return;
    makeFolder(folder);
    for (const other of namesIn(folder)) rmSync(join(folder, other));
    const places = { diffs: store.path("diffs"), blobs: store.path("oci", "blobs", "sha256"), diffName: store.diffs.name };
    const tree = await openPrivateVolume(places, blob);
    try {
      await writeDirectoryTar(tree.hostPath, `${file}.new`);
      renameSync(`${file}.new`, file);
    } finally {
      await tree.close();
    }
  });
  const sizeBytes = statSync(file).size;
  return { kind: "tar", file, sha256: await sha256Of(file), sizeBytes, unpackedBytes: sizeBytes };
}

async function sha256Of(file: string): Promise<string> {
  const hash = createHash("sha256");
  await pipeline(createReadStream(file), hash);
  return hash.digest("hex");
}

let empty: Buffer | undefined;

/** An erofs without files: whoever can mount it can mount releases. 4 kB. @throws SETUP_INCOMPLETE (erofs-utils) */
export async function emptyErofs(): Promise<Buffer> {
  if (empty !== undefined) return empty;
  const folder = mkdtempSync(join(tmpdir(), "bakehouse-erofs-"));
  try {
    mkdirSync(join(folder, "tree"));
    const target = join(folder, "erofs");
    await buildErofs({ directory: join(folder, "tree"), target, epochSeconds: 0, uuid: "00000000-0000-0000-0000-000000000000" });
    return (empty = readFileSync(target));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
