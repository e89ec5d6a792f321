import {
  closeSync,
  constants,
  copyFileSync,
  chmodSync,
  fchmodSync,
  fchownSync,
  lchownSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import type { Stats } from "node:fs";
import { resolve as resolveOnHost } from "node:path";
import type { Attributes, Entry, EntryKind, FileToCopy, ImageRoot } from "../../ports/image-root.ts";

/** As the kernel: more links than this on one way is a loop (path_resolution(7)). */
const MAX_LINKS = 40;
const DIRECTORY: Required<Attributes> = { mode: 0o755, uid: 0, gid: 0 };
const FILE: Required<Attributes> = { mode: 0o644, uid: 0, gid: 0 };

/**
 * An image's merged tree as it lies on the host. Symbolic links are resolved here, one component after another, and never
 * by the kernel, so that `/etc/x -> /srv/x` means the image's /srv/x and `../../..` stops at the image's root.
 *
 * Nothing is remembered between two calls: a command in the sandbox may have changed any directory in between.
 * `setAttributes` does not follow a link at the last component (a link has an owner, but no mode).
 */
export function hostImageRoot(hostPath: string): ImageRoot {
  const top = resolveOnHost(hostPath);
  const prefix = top === "/" ? "" : top;
  const onHost = (imagePath: string): string => (imagePath === "/" ? top : prefix + imagePath);
  const look = (imagePath: string): Stats | undefined => lstatOf(onHost(imagePath));

  /** Image path without any link on the way; `keep` leaves a link at the last component as it is. */
  function real(path: string, last: "follow" | "keep"): { path: string; stats: Stats | undefined } {
    const pending = componentsOf(path).reverse();
    let done = "";
    let stats: Stats | undefined;
    // Whether `stats` is about `done`: it is not after a link or `..`.
    let isCurrent = false;
    let links = 0;
    for (let part = pending.pop(); part !== undefined; part = pending.pop()) {
      if (part === "..") {
        done = parentOf(done);
        isCurrent = false;
        continue;
      }
      const next = `${done}/${part}`;
      stats = look(next);
      if (stats?.isSymbolicLink() === true && (pending.length > 0 || last === "follow")) {
        if (++links > MAX_LINKS) throw failure(path, "ELOOP", "too many symbolic links");
        const target = readlinkSync(onHost(next));
        if (target.startsWith("/")) done = "";
        pending.push(...split(target).reverse());
        isCurrent = false;
        continue;
      }
      if (stats !== undefined && pending.length > 0 && !stats.isDirectory()) throw failure(path, "ENOTDIR", `${next} is not a directory`);
      done = next;
      isCurrent = true;
    }
    const found = done === "" ? "/" : done;
    return { path: found, stats: isCurrent ? stats : look(found) };
  }

  /** Like `real`, but something that cannot be there is simply not there. */
  function find(path: string, last: "follow" | "keep"): { path: string; stats: Stats } | undefined {
    try {
      const found = real(path, last);
      return found.stats === undefined ? undefined : { path: found.path, stats: found.stats };
    } catch (cause) {
      if (reasonOf(cause) === "ENOTDIR") return undefined;
      throw cause;
    }
  }

  /** Makes what is missing on the way; returns the image path without links. */
  function ensureDirectory(path: string): { path: string; made: boolean } {
    const found = real(path, "follow");
    if (found.stats?.isDirectory() === true) return { path: found.path, made: false };
    if (found.stats !== undefined) throw failure(path, "ENOTDIR", "something else than a directory is there");
    const parent = parentOf(found.path);
    if (parent !== "") ensureDirectory(parent);
    mkdirSync(onHost(found.path));
    apply(onHost(found.path), DIRECTORY);
    return { path: found.path, made: true };
  }

  /** The place for something new: its parents exist, and a file or link that was there is gone. */
  function clearPlace(path: string): string {
    const found = real(path, "keep");
    if (found.stats?.isDirectory() === true) throw failure(path, "EISDIR", "a directory is there");
    if (found.stats !== undefined) unlinkSync(onHost(found.path));
    else if (look(parentOf(found.path) || "/") === undefined) ensureDirectory(parentOf(found.path));
    return onHost(found.path);
  }

  const entry = (path: string, last: "follow" | "keep"): Entry | undefined => {
    const found = find(path, last);
    return found === undefined ? undefined : entryOf(found.stats);
  };

  const read = (path: string): Buffer | undefined => {
    const found = find(path, "follow");
    if (found === undefined) return undefined;
    if (!found.stats.isFile()) throw failure(path, found.stats.isDirectory() ? "EISDIR" : "EINVAL", "it is not a regular file");
    return readFileSync(onHost(found.path));
  };

  function list(path: string): readonly string[] {
    const found = find(path, "follow");
    if (found === undefined) return [];
    if (!found.stats.isDirectory()) throw failure(path, "ENOTDIR", "it is not a directory");
    return readdirSync(onHost(found.path)).sort();
  }

  function write(path: string, content: string | Uint8Array, attributes: Attributes): void {
    const target = clearPlace(path);
    const file = openSync(target, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW, 0o600);
    try {
      writeFileSync(file, content);
      // The owner first: changing it takes setuid and setgid away.
      fchownSync(file, attributes.uid ?? FILE.uid, attributes.gid ?? FILE.gid);
      fchmodSync(file, attributes.mode ?? FILE.mode);
    } finally {
      closeSync(file);
    }
  }

  function makeDirectory(path: string, attributes: Attributes): void {
    const directory = onHost(ensureDirectory(path).path);
    change(directory, lstatSync(directory), attributes);
  }

  function symlink(path: string, target: string): void {
    if (target === "" || target.includes("\0")) throw failure(path, "EINVAL", `"${target}" cannot be the target of a link`);
    const place = clearPlace(path);
    symlinkSync(target, place);
    // A set-group-ID directory hands its group to what is made in it.
    lchownSync(place, 0, 0);
  }

  function remove(path: string): void {
    const found = find(path, "keep");
    if (found === undefined) return;
    if (found.path === "/") throw failure(path, "EBUSY", "the root of the image cannot be removed");
    if (found.stats.isDirectory()) rmSync(onHost(found.path), { recursive: true, force: true });
    else unlinkSync(onHost(found.path));
  }

  function setAttributes(path: string, attributes: Attributes): void {
    const found = find(path, "keep");
    if (found === undefined) throw failure(path, "ENOENT", "there is nothing here");
    change(onHost(found.path), found.stats, attributes);
  }

  function copyFile(source: string, path: string, attributes: Attributes): void {
    const target = clearPlace(path);
    copyFileSync(source, target, constants.COPYFILE_FICLONE | constants.COPYFILE_EXCL);
    apply(target, { uid: attributes.uid ?? FILE.uid, gid: attributes.gid ?? FILE.gid, mode: attributes.mode ?? FILE.mode });
  }

  /** Two calls into the file system a file instead of nine: what is there already is asked of the directory, once. */
  function copyFiles(directory: string, files: readonly FileToCopy[]): void {
    const place = ensureDirectory(directory);
    const onDisk = onHost(place.path);
    const there = new Set(place.made ? [] : readdirSync(onDisk));
    const handsOnGroup = (lstatSync(onDisk).mode & 0o2000) !== 0;
    for (const { hostPath: source, name, attributes } of files) {
      named(`${directory === "/" ? "" : directory}/${name}`, () => {
        if (there.has(name)) return copyFile(source, `${place.path === "/" ? "" : place.path}/${name}`, attributes);
        const target = `${onDisk}/${name}`;
        copyFileSync(source, target, constants.COPYFILE_FICLONE | constants.COPYFILE_EXCL);
        const { uid = FILE.uid, gid = FILE.gid, mode = FILE.mode } = attributes;
        if (uid !== 0 || gid !== 0 || handsOnGroup || process.getuid?.() !== 0) lchownSync(target, uid, gid);
        chmodSync(target, mode);
        there.add(name);
      });
    }
  }

  return {
    hostPath: top,
    resolve: (path) => named(path, () => onHost(real(path, "keep").path)),
    read: (path) => named(path, () => read(path)),
    readText: (path) => named(path, () => read(path)?.toString("utf8")),
    stat: (path) => named(path, () => entry(path, "follow")),
    lstat: (path) => named(path, () => entry(path, "keep")),
    readLink: (path) =>
      named(path, () => {
        const found = find(path, "keep");
        return found?.stats.isSymbolicLink() === true ? readlinkSync(onHost(found.path)) : undefined;
      }),
    list: (path) => named(path, () => list(path)),
    write: (path, content, attributes = {}) => named(path, () => write(path, content, attributes)),
    makeDirectory: (path, attributes = {}) => named(path, () => makeDirectory(path, attributes)),
    symlink: (path, target) => named(path, () => symlink(path, target)),
    remove: (path) => named(path, () => remove(path)),
    setAttributes: (path, attributes) => named(path, () => setAttributes(path, attributes)),
    copyFile: (source, path, attributes = {}) => named(path, () => copyFile(source, path, attributes)),
    copyFiles: (directory, files) => named(directory, () => copyFiles(directory, files)),
  };
}

/** Tells a failure of the file system by the path inside the image; its `code` (`ENOSPC`, `EROFS`, …) stays. */
function named<T>(path: string, act: () => T): T {
  try {
    return act();
  } catch (cause) {
    const reason = reasonOf(cause);
    if (reason === undefined || cause instanceof ImagePathError) throw cause;
    throw failure(path, reason, "the file system refuses", cause);
  }
}

function componentsOf(path: string): string[] {
  if (!path.startsWith("/")) throw failure(path, "EINVAL", "a path inside the image starts with /");
  if (path.includes("\0")) throw failure(path, "EINVAL", "a path has no NUL");
  return split(path);
}

const split = (path: string): string[] => path.split("/").filter((part) => part !== "" && part !== ".");

/** `""` for the root. */
const parentOf = (path: string): string => path.slice(0, Math.max(path.lastIndexOf("/"), 0));

const lstatOf = (hostPath: string): Stats | undefined => lstatSync(hostPath, { throwIfNoEntry: false });

function apply(hostPath: string, attributes: Required<Attributes>): void {
  lchownSync(hostPath, attributes.uid, attributes.gid);
  chmodSync(hostPath, attributes.mode);
}

/** Sets what is given and differs; the rest stays. Untouched files are not copied up in an overlay. */
function change(hostPath: string, now: Stats, wanted: Attributes): void {
  const uid = wanted.uid ?? now.uid;
  const gid = wanted.gid ?? now.gid;
  const mode = wanted.mode ?? now.mode & 0o7777;
  const ownerChanges = uid !== now.uid || gid !== now.gid;
  if (ownerChanges) lchownSync(hostPath, uid, gid);
  if (now.isSymbolicLink()) return;
  if (ownerChanges || mode !== (now.mode & 0o7777)) chmodSync(hostPath, mode);
}

function entryOf(stats: Stats): Entry {
  return {
    kind: kindOf(stats),
    mode: stats.mode & 0o7777,
    uid: stats.uid,
    gid: stats.gid,
    sizeBytes: stats.size,
    mtimeSeconds: Math.floor(stats.mtimeMs / 1000),
  };
}

function kindOf(stats: Stats): EntryKind {
  if (stats.isFile()) return "file";
  if (stats.isDirectory()) return "directory";
  if (stats.isSymbolicLink()) return "symlink";
  if (stats.isFIFO()) return "fifo";
  return stats.isSocket() ? "socket" : "device";
}

class ImagePathError extends Error {
  readonly code: string;
  constructor(message: string, code: string, cause?: unknown) {
    super(message, { cause });
    this.code = code;
  }
}

const failure = (path: string, reason: string, explanation: string, cause?: unknown): ImagePathError =>
  new ImagePathError(`${path}: ${explanation} (${reason})`, reason, cause);

const reasonOf = (cause: unknown): string | undefined => (cause instanceof Error && "code" in cause ? String(cause.code) : undefined);
