import {
  closeSync,
  fchmodSync,
  fchownSync,
  futimesSync,
  lchownSync,
  linkSync,
  lutimesSync,
  mkdirSync,
  openSync,
  readlinkSync,
  symlinkSync,
  utimesSync,
  writeSync,
} from "node:fs";
import type { ImageRoot } from "../../ports/image-root.ts";
import type { BinaryPackage } from "./binary-package.ts";
import { hostName, ImagePlaces, lookAt, type HostName } from "./image-places.ts";
import type { TarEntry } from "./tar-headers.ts";

/** Owner names of the image, as dpkg prefers them over the numbers in a package. */
export interface Owners {
  user(name: string, id: number): number;
  group(name: string, id: number): number;
}

/** Where conffiles go: beside their place as dpkg unpacks them, or where they will be in the end, as in an empty root. */
export type ConffilePlace = "dpkg-new" | "final";

/** The path that an entry is unpacked to. */
export const unpackedPath = (pack: BinaryPackage, path: string, place: ConffilePlace): string =>
  place === "dpkg-new" && pack.conffiles.has(path) ? `${path}.dpkg-new` : path;

/**
 * Writes packages' entries as `dpkg --unpack` does: directories that exist are kept as they are, symbolic links to
 * directories followed inside the image. Nothing else may be there yet.
 */
export class EntryWriter {
  private readonly places: ImagePlaces;
  private readonly owners: Owners;
  private readonly conffiles: ConffilePlace;

  constructor(root: ImageRoot, owners: Owners, conffiles: ConffilePlace) {
    this.places = new ImagePlaces(root);
    this.owners = owners;
    this.conffiles = conffiles;
  }

  /** @throws Error with the image path and the reason */
  write(pack: BinaryPackage): void {
    withoutUmask(() => {
      for (const entry of pack.entries) {
        try {
          this.writeEntry(pack, entry);
        } catch (cause) {
          throw atPath(entry.path, cause);
        }
      }
    });
  }

  /** Writes something that no package's tar holds; replaces what is there. */
  addFile(path: string, content: Uint8Array, attributes: { readonly mode: number; readonly mtimeSeconds?: number }): void {
    withoutUmask(() => {
      const file = openSync(this.places.enter(path), "w", attributes.mode);
      try {
        for (let done = 0; done < content.length;) done += writeSync(file, content, done);
        fchmodSync(file, attributes.mode);
        if (attributes.mtimeSeconds !== undefined) futimesSync(file, attributes.mtimeSeconds, attributes.mtimeSeconds);
      } finally {
        closeSync(file);
      }
    });
  }

  private writeEntry(pack: BinaryPackage, entry: TarEntry): void {
    if (entry.path === "/.") return;
    const place = this.places.enter(this.unpacked(pack, entry.path));
    if (entry.kind === "file") this.writeFile(pack, entry, place);
    else if (entry.kind === "directory") this.makeDirectory(entry, place);
    else if (entry.kind === "symlink") this.makeLink(entry, place);
    else if (entry.kind === "hardlink") linkSync(this.places.enter(this.unpacked(pack, entry.target)), place);
    else throw new Error("a package cannot bring devices, fifos or sockets here");
  }

  private unpacked(pack: BinaryPackage, path: string): string {
    return unpackedPath(pack, path, this.conffiles);
  }

  private writeFile(pack: BinaryPackage, entry: TarEntry, place: HostName): void {
    const file = openSync(place, "wx", entry.mode);
    try {
      pack.content.copy(entry.offset, entry.sizeBytes, file);
      const owner = this.ownerToSet(entry);
      if (owner !== undefined) {
        fchownSync(file, ...owner);
        fchmodSync(file, entry.mode); // a change of owner takes setuid and setgid away
      }
      futimesSync(file, entry.mtimeSeconds, entry.mtimeSeconds);
    } finally {
      closeSync(file);
    }
  }

  private makeDirectory(entry: TarEntry, place: HostName): void {
    if (lookAt(place) === undefined) {
      mkdirSync(place, entry.mode);
      const owner = this.ownerToSet(entry);
      if (owner !== undefined) {
        lchownSync(place, ...owner);
        changeMode(place, entry.mode);
      }
      utimesSync(place, entry.mtimeSeconds, entry.mtimeSeconds);
    }
    this.places.enterDirectory(entry.path);
  }

  private makeLink(entry: TarEntry, place: HostName): void {
    if (isLinkTo(place, entry.target)) return; // such as /bin, made before the first package
    symlinkSync(hostName(entry.target), place);
    const owner = this.ownerToSet(entry);
    if (owner !== undefined) lchownSync(place, ...owner);
    lutimesSync(place, entry.mtimeSeconds, entry.mtimeSeconds);
  }

  /** Undefined where the kernel has given it to root already, as nearly always. */
  private ownerToSet(entry: TarEntry): readonly [uid: number, gid: number] | undefined {
    const uid = this.owners.user(entry.userName, entry.uid);
    const gid = this.owners.group(entry.groupName, entry.gid);
    return uid === 0 && gid === 0 && !this.places.setsGroup(entry.path) ? undefined : [uid, gid];
  }
}

/** Tells where it happened; the code (`ENOSPC`, …) stays, since a full disk is told in another way. */
function atPath(path: string, cause: unknown): Error {
  const error = new Error(`${path}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  return cause instanceof Error && "code" in cause ? Object.assign(error, { code: cause.code }) : error;
}

/** Modes are given to open and mkdir as they shall be, which spares a call for each entry. */
function withoutUmask(work: () => void): void {
  const umask = process.umask(0);
  try {
    work();
  } finally {
    process.umask(umask);
  }
}

const isLinkTo = (place: HostName, target: string): boolean =>
  lookAt(place)?.isSymbolicLink() === true && readlinkSync(place, "buffer").toString("latin1") === target;

function changeMode(place: HostName, mode: number): void {
  const directory = openSync(place, "r");
  try {
    fchmodSync(directory, mode);
  } finally {
    closeSync(directory);
  }
}
