import { spawnSync } from "node:child_process";
import { accessSync, chmodSync, constants, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { ANNOTATIONS, MEDIA_TYPES, type Descriptor, type ImageConfig, type ImageManifest, type IndexEntry } from "../../core/image/oci.ts";
import { isReferrersEntry, referrersEntry, subjectOfReferrers } from "../../core/image/referrers.ts";
import { BakehouseError } from "../../core/errors.ts";
import { canonicalJson } from "../../core/json.ts";
import { hexOf, type DiffId, type ImageDigest, type Sha256 } from "../../core/digest.ts";
import type { Owner, StepRecord, Store } from "../../ports/store.ts";
import {
  adopt,
  isDiskFull,
  makeFolder,
  namesIn,
  readIfThere,
  readJsonIfThere,
  storeError,
  temporaryBeside,
  writeAtomically,
} from "./files.ts";
import { AUDIT_MIRROR } from "../sqlite-catalog/audit-mirror.ts";
import { readMarks } from "../sqlite-catalog/read-marks.ts";
import { openLocks, type Locks } from "./locks.ts";
import { isAlive, startTimeOf, thisProcess } from "./owners.ts";
import { writerOf, WRITTEN_PLACES } from "./unfinished.ts";

/** The folder layout that this code writes; see `Store`. */
const FORMAT = 1;
const FOLDERS = ["oci/blobs/sha256", "diffs", "steps", "plans", "packages", "work", "logs"] as const;
/**
 * Hold files of images as they will be on the machines, setuid programs among them, often outdated ones: nobody else on
 * this host may reach those.
 */
const UNPACKED = ["work", "diffs"] as const;

export interface LocalStoreOptions {
  /** Called for a work folder that a dead process left, before the folder goes: releases what lies outside of it. */
  onTidy?(folder: string): void;
}

/** Opens or makes a store. @throws STORE_TOO_NEW, STORE_READ_ONLY (when it has to be made), STORE_DAMAGED */
export function openLocalStore(root: string, options: LocalStoreOptions = {}): Store {
  if (root.includes("\n"))
    throw new BakehouseError("USAGE", `A store cannot lie in a folder with a line end in its name: ${JSON.stringify(root)}`, {
      hint: "name another: --store DIR",
    });
  const readOnly = prepare(root);
  const path = (...parts: readonly string[]): string => join(root, ...parts);
  let locks: Locks | undefined;
  const withLock: Store["withLock"] = async (name, lockOptions, work) => {
    locks ??= openLocks(path("locks.db"));
    const lock = await locks.acquire(name, lockOptions);
    try {
      return await work();
    } finally {
      lock.release();
    }
  };
  const blobs = blobFiles(path("oci", "blobs", "sha256"));
  return {
    root,
    readOnly,
    isFull: () => isDiskFull(root),
    path,
    readNote: (name) => readJsonIfThere(path(name)),
    writeNote: (name, value) => writeAtomically(path(name), JSON.stringify(value)),
    steps: stepFiles(path("steps")),
    blobs,
    diffs: diffFolders(path("diffs")),
    ...imageIndex(path("oci", "index.json"), blobs, withLock),
    ...workFolders(root, options),
    marks: () => readMarks(path("catalog.db"), path(AUDIT_MIRROR)),
    withLock,
    close: () => locks?.close(),
  };
}

/** @returns whether the store can only be read */
function prepare(root: string): boolean {
  if (statSync(root, { throwIfNoEntry: false })?.isDirectory() === false)
    throw new BakehouseError("STORE_DAMAGED", `${root} is no folder`, { hint: "name an empty or new folder: --store DIR" });
  if (standsOnFile(root))
    throw new BakehouseError("STORE_DAMAGED", `${root} cannot be a folder: something above it is a file`, {
      hint: "name an empty or new folder: --store DIR",
    });
  const format = readIfThere(join(root, "format"))?.trim();
  if (format === undefined) return create(root);
  if (!/^\d+$/.test(format))
    throw new BakehouseError("STORE_DAMAGED", `${root}/format holds ${JSON.stringify(format.slice(0, 40))} instead of a number`, {
      hint: `write ${FORMAT} into it if this is a store`,
    });
  if (Number(format) > FORMAT)
    throw new BakehouseError("STORE_TOO_NEW", `The store ${root} has format ${format}; this Bakehouse knows up to ${FORMAT}`, {
      hint: "use the newer Bakehouse that made it, or another store: --store DIR",
    });
  return !isWritable(root);
}

/** Node says of what stands below a file that there is nothing, as of what may be made. */
function standsOnFile(path: string): boolean {
  const stats = statSync(path, { throwIfNoEntry: false });
  return stats === undefined ? dirname(path) !== path && standsOnFile(dirname(path)) : !stats.isDirectory();
}

function create(root: string): boolean {
  try {
    if (!namesIn(root).every(isPartOfStore) && readIfThere(join(root, "format")) === undefined)
      throw new BakehouseError("STORE_DAMAGED", `${root} is not empty and is not a Bakehouse store`, {
        hint: "name an empty or new folder: --store DIR",
      });
    for (const folder of FOLDERS) makeFolder(join(root, folder));
    for (const name of UNPACKED) chmodSync(join(root, name), 0o700);
    spreadOut(UNPACKED.map((name) => join(root, name)));
    writeAtomically(join(root, "oci", "oci-layout"), JSON.stringify({ imageLayoutVersion: "1.0.0" }));
    if (readIfThere(join(root, "oci", "index.json")) === undefined) writeAtomically(join(root, "oci", "index.json"), indexText([]));
    writeAtomically(join(root, "format"), `${FORMAT}\n`);
  } catch (error) {
    throw storeError(error, root);
  }
  return false;
}

/**
 * Asks ext4 to put what is made directly in these folders into block groups of its own choice (EXT4_TOPDIR_FL, chattr(1) `T`).
 * Otherwise a new tree goes where the last one was, and if that was removed in the last minutes, each new file waits while ext4
 * passes over the inodes that were just freed: 1.4–1.9 CPU s for the 6,000 files of a minbase, 0.2 with the mark (measured on 6.18).
 * Other file systems refuse, and need it not.
 */
function spreadOut(folders: readonly string[]): void {
  spawnSync("chattr", ["+T", ...folders], { stdio: "ignore" });
}

/** Of a store that another process is just making, or did not finish making. */
const isPartOfStore = (name: string): boolean => name.startsWith(".tmp-") || FOLDERS.some((folder) => folder.split("/")[0] === name);

function isWritable(folder: string): boolean {
  try {
    accessSync(folder, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

function stepFiles(folder: string): Store["steps"] {
  const file = (key: Sha256): string => join(folder, `${hexOf(key)}.json`);
  const find = (path: string): StepRecord | undefined => readJsonIfThere(path) as StepRecord | undefined;
  return {
    find: (key) => find(file(key)),
    save: (record) => writeAtomically(file(record.key), JSON.stringify(record)),
    all: () =>
      namesIn(folder)
        .filter((name) => /^[0-9a-f]{64}\.json$/.test(name))
        .map((name) => find(join(folder, name)))
        .filter((record) => record !== undefined),
    remove: (key) => rmSync(file(key), { force: true }),
  };
}

function blobFiles(folder: string): Store["blobs"] {
  const path = (digest: Sha256): string => join(folder, hexOf(digest));
  const has = (digest: Sha256): boolean => statSync(path(digest), { throwIfNoEntry: false }) !== undefined;
  const putText = (text: string): { readonly digest: Sha256; readonly sizeBytes: number } => {
    const digest: Sha256 = `sha256:${hexSha256(text)}`;
    if (!has(digest)) writeAtomically(path(digest), text);
    return { digest, sizeBytes: Buffer.byteLength(text) };
  };
  return {
    path,
    has,
    sizeBytes: (digest) => statSync(path(digest)).size,
    adopt: (file, digest) => {
      try {
        renameSync(file, path(digest));
      } catch (error) {
        throw storeError(error, path(digest));
      }
    },
    putText,
    putJson: (value) => putText(canonicalJson(value)),
    readJson: (digest) => {
      const text = readIfThere(path(digest));
      if (text === undefined)
        throw new BakehouseError("STORE_DAMAGED", `The blob ${digest} is missing`, { hint: "bakehouse verify --repair" });
      try {
        return JSON.parse(text) as unknown;
      } catch (error) {
        throw new BakehouseError("STORE_DAMAGED", `The blob ${digest} is damaged`, { hint: "bakehouse verify --repair" }, error);
      }
    },
    list: () =>
      namesIn(folder)
        .filter((name) => /^[0-9a-f]{64}$/.test(name))
        .map((name): Sha256 => `sha256:${name}`),
    remove: (digest) => rmSync(path(digest), { force: true }),
  };
}

/** Loaded when something is written: a listing needs no hashes, and node:crypto takes 6 ms to load. */
const hexSha256 = (text: string): string => process.getBuiltinModule("node:crypto").createHash("sha256").update(text).digest("hex");

function diffFolders(folder: string): Store["diffs"] {
  const name = (diff: DiffId): string => hexOf(diff).slice(0, 16);
  return {
    name,
    folder: (diff) => join(folder, name(diff)),
    has: (diff) => {
      try {
        return statSync(join(folder, name(diff)), { throwIfNoEntry: false }) !== undefined;
      } catch (error) {
        // Who may not look (see UNPACKED) may not bake on it either, and a plan is right where its blob is there.
        if ((error as NodeJS.ErrnoException).code === "EACCES") return true;
        throw error;
      }
    },
    adopt: (directory, diff) => adopt(directory, join(folder, name(diff))),
    list: () => namesIn(folder).filter((entry) => /^[0-9a-f]{16}$/.test(entry)),
    remove: (entry) => {
      const going = temporaryBeside(join(folder, entry)); // first out of sight, then away: a half removed diff is never found
      renameSync(join(folder, entry), going);
      rmSync(going, { recursive: true, force: true });
    },
  };
}

const indexText = (manifests: readonly IndexEntry[]): string =>
  JSON.stringify({ schemaVersion: 2, mediaType: MEDIA_TYPES.index, manifests });

function imageIndex(file: string, blobs: Store["blobs"], withLock: Store["withLock"]): Pick<Store, "images" | "referrers"> {
  const all = (): readonly IndexEntry[] => {
    const text = readIfThere(file);
    if (text === undefined) return [];
    try {
      return ((JSON.parse(text) as { manifests?: readonly IndexEntry[] }).manifests ?? []).map((entry) => ({
        ...entry,
        annotations: entry.annotations ?? {},
      }));
    } catch (error) {
      throw new BakehouseError("STORE_DAMAGED", `${file} is damaged`, { hint: "bakehouse verify --repair" }, error);
    }
  };
  const change = (edit: (before: readonly IndexEntry[]) => readonly IndexEntry[]): Promise<void> =>
    withLock("index", {}, async () => writeAtomically(file, indexText(edit(all()))));
  return {
    images: {
      entries: () => all().filter((entry) => !isReferrersEntry(entry)),
      put: (added) =>
        change((before) => {
          const digests = new Set(added.map((entry) => entry.digest));
          const names = new Set(added.map((entry) => entry.annotations[ANNOTATIONS.name]));
          return [
            ...before
              .filter((entry) => !digests.has(entry.digest))
              .map((entry) => (names.has(entry.annotations[ANNOTATIONS.name]) ? withoutName(entry) : entry)),
            ...added,
          ];
        }),
      remove: (digests) => change((before) => before.filter((entry) => !digests.includes(entry.digest))),
      manifest: (digest: ImageDigest) => blobs.readJson(digest) as ImageManifest,
      config: (digest: ImageDigest) => blobs.readJson((blobs.readJson(digest) as ImageManifest).config.digest) as ImageConfig,
    },
    referrers: referrerLists(blobs, all, change),
  };
}

function referrerLists(
  blobs: Store["blobs"],
  all: () => readonly IndexEntry[],
  change: (edit: (before: readonly IndexEntry[]) => readonly IndexEntry[]) => Promise<void>,
): Store["referrers"] {
  const listed = (entries: readonly IndexEntry[], subject: ImageDigest): readonly Descriptor[] => {
    const entry = entries.find((each) => subjectOfReferrers(each) === subject);
    return entry === undefined ? [] : ((blobs.readJson(entry.digest) as { readonly manifests?: readonly Descriptor[] }).manifests ?? []);
  };
  /** The image index first, then the entry that leads to it: who looks sees the old list or the new. */
  const replaced = (entries: readonly IndexEntry[], subject: ImageDigest, manifests: readonly Descriptor[]): readonly IndexEntry[] => {
    const others = entries.filter((entry) => subjectOfReferrers(entry) !== subject);
    if (manifests.length === 0) return others;
    const index = blobs.putJson({ schemaVersion: 2, mediaType: MEDIA_TYPES.index, manifests });
    return [...others, referrersEntry(subject, index)];
  };
  return {
    indexes: () =>
      new Map(
        all().flatMap((entry) => {
          const subject = subjectOfReferrers(entry);
          return subject === undefined ? [] : [[subject, entry.digest] as const];
        }),
      ),
    of: (subject) => listed(all(), subject),
    add: (subject, manifests) =>
      change((entries) => {
        const before = listed(entries, subject);
        const fresh = manifests.filter(({ digest }) => before.every((other) => other.digest !== digest));
        return replaced(entries, subject, [...fresh, ...before]);
      }),
    remove: (subject, manifests) =>
      change((entries) => {
        const left = manifests === undefined ? [] : listed(entries, subject).filter(({ digest }) => !manifests.includes(digest));
        return replaced(entries, subject, left);
      }),
  };
}

function withoutName(entry: IndexEntry): IndexEntry {
  const { [ANNOTATIONS.name]: name, ...annotations } = entry.annotations;
  return { ...entry, annotations: name === undefined ? annotations : { ...annotations, [ANNOTATIONS.bakedName]: name } };
}

type WorkFolders = Pick<Store, "workFolder" | "releaseWorkFolder" | "hasLeftovers" | "tidy" | "kept" | "keepWorkFolder">;

function workFolders(root: string, options: LocalStoreOptions): WorkFolders {
  const folder = join(root, "work");
  const ownerOf = (name: string): Owner | undefined => readJsonIfThere(join(folder, name, "owner.json")) as Owner | undefined;
  const isKept = (name: string): boolean => readIfThere(join(folder, name, "kept.json")) !== undefined;
  const remove = (name: string): void => {
    options.onTidy?.(join(folder, name));
    rmSync(join(folder, name), { recursive: true, force: true });
  };
  const abandoned = (): readonly string[] =>
    namesIn(folder).filter((name) => {
      const owner = ownerOf(name);
      return (owner === undefined ? isOld(join(folder, name)) : !isAlive(owner)) && !isKept(name);
    });
  return {
    workFolder: (bake) => {
      const made = join(folder, bake);
      try {
        for (const part of FOLDERS) makeFolder(join(root, part)); // one that somebody removed
        makeFolder(made);
        writeFileSync(join(made, "owner.json"), JSON.stringify(thisProcess(bake)));
      } catch (error) {
        throw storeError(error, made);
      }
      return made;
    },
    releaseWorkFolder: (bake) => remove(bake),
    hasLeftovers: () => abandoned().length > 0,
    tidy: () => {
      // The folders last: as long as one is there, the next run knows that there is something to tidy.
      const files = removeUnfinished(root);
      const folders = abandoned().map((name) => {
        remove(name);
        return { kind: "work folder", id: name };
      });
      return [...files, ...folders];
    },
    kept: () =>
      namesIn(folder)
        .filter(isKept)
        .sort()
        .reverse()
        .map((bake) => ({ bake, folder: join(folder, bake) })),
    keepWorkFolder: (bake, about) => writeAtomically(join(folder, bake, "kept.json"), JSON.stringify(about)),
  };
}

/** Removes what processes that are gone did not finish writing. */
function removeUnfinished(root: string): readonly { readonly kind: string; readonly id: string }[] {
  return WRITTEN_PLACES.flatMap((place) =>
    namesIn(join(root, place)).flatMap((name) => {
      const writer = writerOf(name);
      if (writer === undefined || startTimeOf(writer) !== undefined) return [];
      rmSync(join(root, place, name), { recursive: true, force: true });
      return [{ kind: "unfinished file", id: join(place, name) }];
    }),
  );
}

/** Between mkdir and the write of owner.json a folder has no owner: only an old one is nobody's. */
const isOld = (path: string): boolean => Date.now() - statSync(path).mtimeMs > 60_000;
