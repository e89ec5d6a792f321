import { createHash } from "node:crypto";
import {
  createReadStream,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  renameSync,
  rmSync,
  writeSync,
  closeSync,
} from "node:fs";
import { join } from "node:path";
import { hexOf, type Sha256 } from "../../core/digest.ts";
import { BakehouseError } from "../../core/errors.ts";
import type { PackageStore } from "../../ports/package-store.ts";
import { storeError } from "../local-store/files.ts";
import { startTimeOf } from "../local-store/owners.ts";

/**
 * Packages by digest:
 *
 *     <folder>/<2 hex>/<hex>.deb      whole and verified: it got its name when its digest was right
 *     <folder>/.part-<pid>-<start>-<n>   being written by that process; anybody removes it when the process is gone
 *
 * Nobody locks anything: two processes that bring the same package write two parts, and the later rename replaces equal bytes.
 */
export interface LocalPackageStore extends PackageStore {
  /**
   * Like find, but reads the file (1 GB takes 0.7 s) and takes one away whose bytes are no longer those of its name: a disk
   * fails, and nothing wrong may get into an image.
   */
  findVerified(sha256: Sha256): string | undefined;
  /** A new path to write a package to before it has its name; the folder exists. */
  part(): string;
  /** Gives a part, whose digest the caller has checked, its name. */
  adopt(part: string, sha256: Sha256): string;
  /** Removes parts of processes that are gone; returns how many. */
  tidy(): number;
}

let counter = 0;

/** @param folder  `<store>/packages`; made when something is written */
export function localPackageStore(folder: string): LocalPackageStore {
  const pathOf = (sha256: Sha256): string => join(folder, hexOf(sha256).slice(0, 2), `${hexOf(sha256)}.deb`);
  const store: LocalPackageStore = {
    find(sha256) {
      const path = pathOf(sha256);
      return existsSync(path) ? path : undefined;
    },
    findVerified(sha256) {
      const path = store.find(sha256);
      if (path === undefined || digestOf(path) === sha256) return path;
      removeQuietly(path);
      return undefined;
    },
    async add(hostPath, expected) {
      const there = store.find(expected);
      if (there !== undefined) return there;
      const part = store.part();
      try {
        const found = await copyHashing(hostPath, part);
        if (found !== expected) {
          const hint = "the file is not the one that was locked: put the right one back, or run: bakehouse lock";
          throw new BakehouseError("DIGEST_MISMATCH", `${hostPath} has the digest ${found} instead of ${expected}`, { hint });
        }
        return store.adopt(part, expected);
      } finally {
        rmSync(part, { force: true });
      }
    },
    part() {
      makeFolder(folder);
      return join(folder, `.part-${process.pid}-${startTimeOf(process.pid) ?? 0}-${counter++}`);
    },
    adopt(part, sha256) {
      const path = pathOf(sha256);
      try {
        mkdirSync(join(path, ".."), { recursive: true });
        renameSync(part, path);
      } catch (error) {
        throw storeError(error, path);
      }
      return path;
    },
    tidy: () => removeParts(folder),
  };
  return store;
}

function digestOf(path: string): Sha256 {
  const hash = createHash("sha256");
  const buffer = Buffer.allocUnsafe(1 << 20);
  const fd = openSync(path, "r");
  try {
    for (let count = readSync(fd, buffer); count > 0; count = readSync(fd, buffer)) hash.update(buffer.subarray(0, count));
  } finally {
    closeSync(fd);
  }
  return `sha256:${hash.digest("hex")}`;
}

/** From a store that cannot be written it stays; it is not used all the same. */
function removeQuietly(path: string): void {
  try {
    rmSync(path);
  } catch {
    return;
  }
}

function makeFolder(folder: string): void {
  try {
    mkdirSync(folder, { recursive: true });
  } catch (error) {
    throw storeError(error, folder);
  }
}

async function copyHashing(from: string, to: string): Promise<Sha256> {
  const hash = createHash("sha256");
  let fd: number | undefined;
  try {
    fd = openSync(to, "wx", 0o644);
    for await (const chunk of createReadStream(from, { highWaterMark: 1 << 20 })) {
      hash.update(chunk as Buffer);
      for (let done = 0; done < (chunk as Buffer).length;) done += writeSync(fd, chunk as Buffer, done);
    }
  } catch (error) {
    throw storeError(error, to);
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
  return `sha256:${hash.digest("hex")}`;
}

function removeParts(folder: string): number {
  const parts = existsSync(folder) ? readdirSync(folder).filter((name) => name.startsWith(".part-")) : [];
  const dead = parts.filter((name) => {
    const [, pid, start] = /^\.part-(\d+)-(\d+)-/.exec(name) ?? [];
    return startTimeOf(Number(pid)) !== Number(start);
  });
  for (const name of dead) rmSync(join(folder, name), { force: true });
  return dead.length;
}
