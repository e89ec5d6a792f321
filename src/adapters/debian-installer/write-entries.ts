import { closeSync, fchmodSync, fchownSync, futimesSync, lchownSync, linkSync, lstatSync, lutimesSync, mkdirSync, openSync, readlinkSync, statSync, symlinkSync, utimesSync, writeSync, type Stats } from "node:fs";
import { posix } from "node:path";
import type { ImageRoot } from "../../ports/image-root.ts";
import type { BinaryPackage } from "./binary-package.ts";
import type { TarEntry } from "./tar-headers.ts";

/** Owner names of the image, as dpkg prefers them over the numbers in a package. */
export interface Owners {
  user(name: string, id: number): number;
  group(name: string, id: number): number;
}

/** Where conffiles go: beside their place as dpkg unpacks them, or where they will be in the end, as in an empty root. */
export type ConffilePlace = "dpkg-new" | "final";

/**
 * Writes packages' entries as `dpkg --unpack` does: directories that exist are kept as they are, symbolic links to
 * directories followed inside the image. Nothing else may be there yet.
 *
 * Every directory is looked up once: while this runs nobody else may change the tree.
 */
export class EntryWriter {
  private readonly root: ImageRoot;
  private readonly owners: Owners;
  private readonly conffiles: ConffilePlace;
  /** By image directory (byte string). */
  private readonly directories = new Map<string, Place>();

  constructor(root: ImageRoot, owners: Owners, conffiles: ConffilePlace) {
    this.root = root;
    this.owners = owners;
    this.conffiles = conffiles;
    const host = Buffer.from(root.hostPath, "utf8").toString("latin1");
    this.directories.set("/", { host, setsGroup: isSetGroup(statSync(root.hostPath)) });
  }

  /** @throws Error with the image path and the reason */
  write(pack: BinaryPackage): void {
    const umask = process.umask(0); // modes are given to open and mkdir, which spares a call for each entry
    try {
      for (const entry of pack.entries) {
        try {
          this.writeEntry(pack, entry);
        } catch (cause) {
          throw new Error(`${entry.path}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
        }
      }
    } finally {
      process.umask(umask);
    }
  }

  /** Writes something that no package's tar holds; replaces what is there. */
  addFile(path: string, content: Uint8Array, attributes: { readonly mode: number; readonly mtimeSeconds?: number }): void {
    const file = openSync(this.place(path), "w", attributes.mode);
    try {
      for (let done = 0; done < content.length; ) done += writeSync(file, content, done);
      fchmodSync(file, attributes.mode);
      if (attributes.mtimeSeconds !== undefined) futimesSync(file, attributes.mtimeSeconds, attributes.mtimeSeconds);
    } finally {
      closeSync(file);
    }
  }

  private writeEntry(pack: BinaryPackage, entry: TarEntry): void {
    if (entry.path === "/.") return;
    const path = this.unpackedPath(pack, entry.path);
    if (entry.kind === "file") this.writeFile(pack, entry, this.place(path));
    else if (entry.kind === "directory") this.makeDirectory(entry);
    else if (entry.kind === "symlink") this.makeLink(entry, this.place(path));
    else if (entry.kind === "hardlink") linkSync(this.place(this.unpackedPath(pack, entry.target)), this.place(path));
    else throw new Error("a package cannot bring devices, fifos or sockets here");
  }

  private unpackedPath(pack: BinaryPackage, path: string): string {
    return this.conffiles === "dpkg-new" && pack.conffiles.has(path) ? `${path}.dpkg-new` : path;
  }

  private writeFile(pack: BinaryPackage, entry: TarEntry, place: Name): void {
    const file = openSync(place, "wx", entry.mode);
    try {
      pack.content.copy(entry.offset, entry.sizeBytes, file);
      const [uid, gid] = this.ownerOf(entry);
      if (uid !== 0 || gid !== 0 || this.directory(posix.dirname(entry.path)).setsGroup) {
        fchownSync(file, uid, gid);
        fchmodSync(file, entry.mode); // a change of owner takes setuid and setgid away
      }
      futimesSync(file, entry.mtimeSeconds, entry.mtimeSeconds);
    } finally {
      closeSync(file);
    }
  }

  private makeDirectory(entry: TarEntry): void {
    if (this.directories.has(entry.path)) return;
    const place = this.place(entry.path);
    if (lookAt(place) === undefined) {
      mkdirSync(place, entry.mode);
      const [uid, gid] = this.ownerOf(entry);
      if (uid !== 0 || gid !== 0 || this.directory(posix.dirname(entry.path)).setsGroup) {
        lchownSync(place, uid, gid);
        chmodPath(place, entry.mode);
      }
      utimesSync(place, entry.mtimeSeconds, entry.mtimeSeconds);
    }
    this.directory(entry.path);
  }

  private makeLink(entry: TarEntry, place: Name): void {
    if (isLinkTo(place, entry.target)) return; // such as /bin, made before the first package
    symlinkSync(name(entry.target), place);
    const [uid, gid] = this.ownerOf(entry);
    if (uid !== 0 || gid !== 0 || this.directory(posix.dirname(entry.path)).setsGroup) lchownSync(place, uid, gid);
    lutimesSync(place, entry.mtimeSeconds, entry.mtimeSeconds);
  }

  private ownerOf(entry: TarEntry): readonly [number, number] {
    return [this.owners.user(entry.userName, entry.uid), this.owners.group(entry.groupName, entry.gid)];
  }

  /** Host path of an image path, its own last component not followed. */
  place(path: string): Name {
    return name(`${this.directory(posix.dirname(path)).host}/${posix.basename(path)}`);
  }

  /** Makes the directory, 0755 and root's, if a package forgot to bring it. */
  private directory(path: string): Place {
    const known = this.directories.get(path);
    if (known !== undefined) return known;
    const parent = this.directory(posix.dirname(path));
    const found = this.enter(path, `${parent.host}/${posix.basename(path)}`);
    this.directories.set(path, found);
    return found;
  }

  private enter(path: string, host: string): Place {
    const stats = lookAt(name(host));
    if (stats === undefined) {
      mkdirSync(name(host), 0o755);
      return { host, setsGroup: false };
    }
    if (stats.isDirectory()) return { host, setsGroup: isSetGroup(stats) };
    if (!stats.isSymbolicLink()) throw new Error(`${path} is no directory`);
    const target = this.followLink(path);
    return { host: target, setsGroup: isSetGroup(statSync(name(target))) };
  }

  private followLink(path: string): string {
    const imagePath = Buffer.from(path, "latin1").toString("utf8");
    if (this.root.stat(imagePath)?.kind !== "directory") throw new Error(`${path} is a link that leads to no directory`);
    return Buffer.from(posix.dirname(this.root.resolve(`${imagePath}/x`)), "utf8").toString("latin1");
  }
}

/** A directory on the host, every link resolved; what is made in one that sets the group belongs to its group at first. */
interface Place {
  /** Byte string. */
  readonly host: string;
  readonly setsGroup: boolean;
}

const isSetGroup = (stats: Stats): boolean => (stats.mode & 0o2000) !== 0;

/** Node takes names that are not UTF-8 as buffers only; strings are faster. */
type Name = string | Buffer;
// eslint-disable-next-line no-control-regex -- the range is what ASCII means
const name = (bytes: string): Name => (/^[\x00-\x7f]*$/.test(bytes) ? bytes : Buffer.from(bytes, "latin1"));

const isLinkTo = (place: Name, target: string): boolean =>
  lookAt(place)?.isSymbolicLink() === true && readlinkSync(place, "buffer").toString("latin1") === target;

const lookAt = (place: Name): Stats | undefined => lstatSync(place, { throwIfNoEntry: false });

function chmodPath(place: Name, mode: number): void {
  const directory = openSync(place, "r");
  try {
    fchmodSync(directory, mode);
  } finally {
    closeSync(directory);
  }
}
