import { lstatSync, mkdirSync, statSync, type Stats } from "node:fs";
import { posix } from "node:path";
import type { ImageRoot } from "../../ports/image-root.ts";

/** A name on the host. Node takes names that are not UTF-8 as buffers only; strings are faster. */
export type HostName = string | Buffer;

/** A directory on the host, every link on the way resolved. */
interface Place {
  /** Byte string. */
  readonly host: string;
  /** What is made in it belongs to its group at first. */
  readonly setsGroup: boolean;
}

/**
 * Finds image paths on the host, for thousands of files: every directory is looked up once, links are followed inside the
 * image only. While one of these is in use nobody else may change the tree's directories.
 *
 * Paths are absolute in the image and byte strings (latin1).
 */
export class ImagePlaces {
  private readonly root: ImageRoot;
  private readonly directories = new Map<string, Place>();

  constructor(root: ImageRoot) {
    this.root = root;
    this.directories.set("/", placeOf(Buffer.from(root.hostPath, "utf8").toString("latin1"), statSync(root.hostPath)));
  }

  /** Where the path is, its last component not followed; undefined if its directory is missing. @throws Error if that is no directory */
  find(path: string): HostName | undefined {
    const directory = this.findDirectory(posix.dirname(path));
    return directory === undefined ? undefined : hostName(`${directory.host}/${posix.basename(path)}`);
  }

  /** The same, making missing directories: 0755, root's, whatever the umask lets through. */
  enter(path: string): HostName {
    return hostName(`${this.enterDirectory(posix.dirname(path)).host}/${posix.basename(path)}`);
  }

  /** Whether what is made at a path gets the group of its directory. */
  setsGroup(path: string): boolean {
    return this.enterDirectory(posix.dirname(path)).setsGroup;
  }

  /** @throws Error if something else is there */
  enterDirectory(path: string): Place {
    const found = this.findDirectory(path);
    if (found !== undefined) return found;
    const host = `${this.enterDirectory(posix.dirname(path)).host}/${posix.basename(path)}`;
    mkdirSync(hostName(host), 0o755);
    return this.remember(path, { host, setsGroup: false });
  }

  private findDirectory(path: string): Place | undefined {
    const known = this.directories.get(path);
    if (known !== undefined) return known;
    const parent = this.findDirectory(posix.dirname(path));
    if (parent === undefined) return undefined;
    const host = `${parent.host}/${posix.basename(path)}`;
    const stats = lookAt(hostName(host));
    if (stats === undefined) return undefined;
    if (stats.isDirectory()) return this.remember(path, placeOf(host, stats));
    if (!stats.isSymbolicLink()) throw new Error(`${path} is no directory`);
    const target = this.followLink(path);
    return this.remember(path, placeOf(target, statSync(hostName(target))));
  }

  private followLink(path: string): string {
    const imagePath = Buffer.from(path, "latin1").toString("utf8");
    if (this.root.stat(imagePath)?.kind !== "directory") throw new Error(`${path} is a link that leads to no directory`);
    return Buffer.from(posix.dirname(this.root.resolve(`${imagePath}/x`)), "utf8").toString("latin1");
  }

  private remember(path: string, place: Place): Place {
    this.directories.set(path, place);
    return place;
  }
}

const placeOf = (host: string, stats: Stats): Place => ({ host, setsGroup: (stats.mode & 0o2000) !== 0 });

// eslint-disable-next-line no-control-regex -- the range is what ASCII means
export const hostName = (bytes: string): HostName => (/^[\x00-\x7f]*$/.test(bytes) ? bytes : Buffer.from(bytes, "latin1"));

export const lookAt = (place: HostName): Stats | undefined => lstatSync(place, { throwIfNoEntry: false });
