import type { RawPath } from "./raw-path.ts";

export type TarEntryKind = "file" | "directory" | "symlink" | "hardlink" | "character-device" | "block-device" | "fifo";

/** One entry of a layer: what a tar header (with its pax records) says, without the content. */
export interface TarEntry {
  /** As the archive has it, but without `./` and slashes at the end; `""` is the root. */
  readonly path: RawPath;
  readonly kind: TarEntryKind;
  /** Permission bits with setuid, setgid and sticky: 0 to 0o7777. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Bytes of content that follow; 0 for everything but files. */
  readonly sizeBytes: number;
  /** Whole seconds since 1970, rounded down. */
  readonly mtimeSeconds: number;
  /** Symbolic link: the text of the link. Hard link: the path of an earlier entry, written like `path`. */
  readonly linkTarget?: RawPath;
  readonly device?: { readonly major: number; readonly minor: number };
  /** Extended attributes by full name (`security.capability`); values are raw bytes. */
  readonly xattrs?: Xattrs;
}

export type Xattrs = ReadonlyMap<string, Uint8Array>;
