/** Owner and mode of something that is written. Defaults: files 0644, directories 0755, owner 0:0. */
export interface Attributes {
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
}

/** `name`: in the directory that it is copied into, without a slash. */
export interface FileToCopy {
  readonly hostPath: string;
  readonly name: string;
  readonly attributes: Attributes;
}

export type EntryKind = "file" | "directory" | "symlink" | "device" | "fifo" | "socket";

export interface Entry {
  readonly kind: EntryKind;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly sizeBytes: number;
  readonly mtimeSeconds: number;
}

/**
 * The file system that is being baked, as one merged tree. Every path is absolute inside the image; symbolic links are
 * followed inside the image and can never lead out of it. Synchronous on purpose: thousands of small operations.
 *
 * @throws plain Error with the image path and the reason (`ENOENT`, `ENOTDIR`, …)
 */
export interface ImageRoot {
  /** Path of the merged tree on the host, for adapters that hand it to programs. Not stable between runs. */
  readonly hostPath: string;
  /** The host path of an image path with every symbolic link of its parents resolved inside the image. */
  resolve(path: string): string;
  read(path: string): Uint8Array | undefined;
  readText(path: string): string | undefined;
  /** Follows symbolic links. */
  stat(path: string): Entry | undefined;
  lstat(path: string): Entry | undefined;
  readLink(path: string): string | undefined;
  /** Names in a directory, sorted; empty if there is none. */
  list(path: string): readonly string[];
  /** Makes missing parents (0755, 0:0); replaces what is there, not through a symbolic link at the last component. */
  write(path: string, content: string | Uint8Array, attributes?: Attributes): void;
  /** With parents; sets the attributes on the last component only, also if it existed. */
  makeDirectory(path: string, attributes?: Attributes): void;
  /** Replaces a file or link that is there. */
  symlink(path: string, target: string): void;
  /** Recursive; nothing happens if it is absent. Does not follow a link at the last component. */
  remove(path: string): void;
  setAttributes(path: string, attributes: Attributes): void;
  /** Copies one regular file of the host in, by the fastest way the file system has. */
  copyFile(hostPath: string, path: string, attributes?: Attributes): void;
  /** The same for many files of one directory, which is looked at once. */
  copyFiles(directory: string, files: readonly FileToCopy[]): void;
}
