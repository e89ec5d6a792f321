import {
  chmodSync,
  chownSync,
  closeSync,
  fchmodSync,
  fchownSync,
  futimesSync,
  lchownSync,
  linkSync,
  lstatSync,
  lutimesSync,
  mkdirSync,
  openSync,
  readdirSync,
  readlinkSync,
  rmSync,
  type Stats,
  symlinkSync,
  unlinkSync,
  writeSync,
} from "node:fs";
import { BakehouseError } from "../../core/errors.ts";
import type { Xattrs } from "../../core/layer/model.ts";
import { joinRaw, nameOf, parentOf, type RawPath, rawFromText, textOfRaw } from "../../core/layer/raw-path.ts";
import type { SafeEntry } from "../../core/layer/unsafe-entries.ts";
import { whiteoutOf } from "../../core/layer/whiteout.ts";
import { belongsToContent, OPAQUE_MARK } from "../../core/layer/xattrs.ts";
import type { Attributes } from "../../ports/image-root.ts";
import { writeAttributes } from "./extended-attributes.ts";
import { runProgram } from "./run-program.ts";

export interface TreeBuilderOptions {
  /** Host path. Nothing is ever written outside of it: symbolic links are followed as if it were `/`. */
  readonly root: string;
  /** Where below the root the entries go, an absolute path in it. */
  readonly into: string;
  /**
   * `lower`: whiteouts become overlayfs' own form, in a fresh directory. `merged`: they were carried out already (see
   * `clearWhiteouts`); entries replace whatever is there. `literal`: `.wh.` names are names, and directories are not replaced by files.
   */
  readonly whiteouts: "lower" | "merged" | "literal";
  /** Instead of the archive's owners; `mode` is for regular files. */
  readonly owner?: Attributes;
}

/** As many names as one whiteout inode gets; ext4 allows 65,000 links. */
const LINKS_PER_WHITEOUT = 30_000;
const MAX_LINKS = 64;
const OPAQUE_YES: Xattrs = new Map([[OPAQUE_MARK, Uint8Array.of(0x79)]]);

/** Makes files and directories out of entries that were found safe, in the archive's order; `finish` does what has to come last. */
export class TreeBuilder {
  readonly #options: TreeBuilderOptions;
  readonly #root: string;
  readonly #into: RawPath;
  readonly #directories = new Map<RawPath, RawPath>();
  readonly #directoryTimes = new Map<RawPath, number>();
  readonly #xattrs = new Map<RawPath, Xattrs>();
  /** Device nodes and fifos that are still to be made, by real path. */
  readonly #nodes = new Map<RawPath, SafeEntry>();
  /** Further names of those: path → path of the node. */
  readonly #nodeLinks = new Map<RawPath, RawPath>();
  readonly #whiteouts = new Set<RawPath>();
  readonly #opaque = new Set<RawPath>();
  #open: { readonly descriptor: number; readonly entry: SafeEntry } | undefined;

  constructor(options: TreeBuilderOptions) {
    this.#options = options;
    this.#root = Buffer.from(options.root).toString("latin1");
    this.#into = rawFromText(options.into)
      .split("/")
      .filter((part) => part !== "")
      .join("/");
  }

  entry(entry: SafeEntry): void {
    if (this.#options.whiteouts !== "literal" && this.#takeWhiteout(entry)) return;
    if (entry.path === "") return this.#rootEntry(entry);
    const parent = this.#directoryAt(parentOf(joinRaw(this.#into, entry.path)), entry);
    const path = joinRaw(parent, nameOf(entry.path));
    if (entry.kind === "directory") return this.#directory(path, entry);
    this.#clear(path);
    this.#keepXattrs(path, entry);
    switch (entry.kind) {
      case "file":
        return this.#openFile(path, entry);
      case "symlink":
        return this.#symlink(path, entry);
      case "hardlink":
        return this.#hardlink(path, entry);
      default:
        this.#nodes.set(path, entry);
    }
  }

  content(bytes: Uint8Array): void {
    if (this.#open === undefined) return;
    for (let at = 0; at < bytes.length;) at += writeSync(this.#open.descriptor, bytes, at, bytes.length - at);
  }

  entryEnd(): void {
    if (this.#open === undefined) return;
    const { descriptor, entry } = this.#open;
    this.#open = undefined;
    try {
      fchownSync(descriptor, this.#uid(entry), this.#gid(entry));
      fchmodSync(descriptor, this.#options.owner?.mode ?? entry.mode);
      futimesSync(descriptor, entry.mtimeSeconds, entry.mtimeSeconds);
    } finally {
      closeSync(descriptor);
    }
  }

  async finish(): Promise<void> {
    await this.#makeNodes();
    await this.#makeWhiteouts();
    for (const path of this.#opaque) this.#xattrs.set(path, new Map([...(this.#xattrs.get(path) ?? []), ...OPAQUE_YES]));
    await writeAttributes(this.#options.root, this.#xattrs);
    for (const [path, seconds] of this.#directoryTimes) lutimesSync(this.#host(path), seconds, seconds);
  }

  /** Closes what a failure left open. */
  abandon(): void {
    if (this.#open !== undefined) closeSync(this.#open.descriptor);
    this.#open = undefined;
  }

  /** Carries out whiteouts on what is there before any entry of the archive is written. */
  clearWhiteouts(removed: readonly RawPath[], opaque: readonly RawPath[]): void {
    for (const path of removed) {
      const at = this.#existing(path);
      if (at !== undefined) rmSync(this.#host(at), { recursive: true, force: true });
    }
    for (const path of opaque) {
      const at = this.#existing(path);
      if (at === undefined || this.#stat(at)?.isDirectory() !== true) continue;
      for (const name of readdirSync(this.#host(at), { encoding: "latin1" }))
        rmSync(this.#host(joinRaw(at, name)), { recursive: true, force: true });
    }
  }

  #takeWhiteout(entry: SafeEntry): boolean {
    const whiteout = whiteoutOf(entry.path);
    if (whiteout === undefined) return false;
    if (this.#options.whiteouts !== "lower") return true;
    if (whiteout.kind === "removed") {
      const parent = this.#directoryAt(parentOf(joinRaw(this.#into, whiteout.path)), entry);
      this.#whiteouts.add(joinRaw(parent, nameOf(whiteout.path)));
    } else if (whiteout.kind === "opaque") this.#opaque.add(this.#directoryAt(joinRaw(this.#into, whiteout.path), entry));
    return true;
  }

  /** The folder itself. In an image it has its owner and mode already; an archive's `./` often is somebody's 0700. */
  #rootEntry(entry: SafeEntry): void {
    const path = this.#directoryAt(this.#into, entry);
    if (this.#options.whiteouts === "literal") return;
    this.#attributes(path, entry);
  }

  #directory(path: RawPath, entry: SafeEntry): void {
    const there = this.#stat(path);
    if (there?.isSymbolicLink() === true && !entry.replacesOwnSymlink && this.#options.whiteouts !== "lower") {
      // /lib of a merged-usr image: what the archive has below lib/ goes where the link leads
      if (this.#walk(path) !== undefined) return;
    }
    if (there?.isDirectory() !== true) {
      this.#clear(path);
      mkdirSync(this.#host(path), 0o755);
    }
    this.#keepXattrs(path, entry);
    this.#attributes(path, entry);
  }

  #attributes(path: RawPath, entry: SafeEntry): void {
    chownSync(this.#host(path), this.#uid(entry), this.#gid(entry));
    chmodSync(this.#host(path), entry.mode);
    this.#directoryTimes.set(path, entry.mtimeSeconds);
  }

  #openFile(path: RawPath, entry: SafeEntry): void {
    this.#open = { descriptor: openSync(this.#host(path), "wx", 0o600), entry };
  }

  #symlink(path: RawPath, entry: SafeEntry): void {
    symlinkSync(Buffer.from(entry.linkTarget ?? "", "latin1"), this.#host(path));
    lchownSync(this.#host(path), this.#uid(entry), this.#gid(entry));
    lutimesSync(this.#host(path), entry.mtimeSeconds, entry.mtimeSeconds);
    this.#directories.clear();
  }

  #hardlink(path: RawPath, entry: SafeEntry): void {
    const target = entry.linkTarget ?? "";
    const real = joinRaw(this.#directoryAt(parentOf(joinRaw(this.#into, target)), entry), nameOf(target));
    if (this.#nodes.has(real)) this.#nodeLinks.set(path, real);
    else linkSync(this.#host(real), this.#host(path));
  }

  /** Takes away what stands where an entry goes. */
  #clear(path: RawPath): void {
    this.#forgetNode(path);
    const there = this.#stat(path);
    if (there === undefined) return;
    if (!there.isDirectory()) unlinkSync(this.#host(path));
    else if (this.#options.whiteouts === "literal" && readdirSync(this.#host(path)).length > 0) {
      throw new BakehouseError(
        "INPUT_INVALID",
        `The archive has a file where the image has a directory that is not empty: /${textOfRaw(path)}`,
      );
    } else rmSync(this.#host(path), { recursive: true });
    this.#directories.clear();
    this.#directoryTimes.delete(path);
    this.#xattrs.delete(path);
    this.#opaque.delete(path);
  }

  /** A node that is replaced before it was made lives on under its next name. */
  #forgetNode(path: RawPath): void {
    this.#nodeLinks.delete(path);
    const node = this.#nodes.get(path);
    if (node === undefined) return;
    this.#nodes.delete(path);
    const [heir, ...others] = [...this.#nodeLinks].filter(([, target]) => target === path).map(([link]) => link);
    if (heir === undefined) return;
    this.#nodeLinks.delete(heir);
    this.#nodes.set(heir, node);
    for (const other of others) this.#nodeLinks.set(other, heir);
  }

  #keepXattrs(path: RawPath, entry: SafeEntry): void {
    const kept = [...(entry.xattrs ?? [])].filter(([name]) => belongsToContent(name));
    if (kept.length > 0) this.#xattrs.set(path, new Map(kept));
    else this.#xattrs.delete(path);
  }

  /** The real path of a directory, made with its parents where it is missing (0755, the time of the entry that needs it). */
  #directoryAt(path: RawPath, entry: SafeEntry): RawPath {
    const known = this.#directories.get(path);
    if (known !== undefined) return known;
    const real = this.#walk(path, (missing) => this.#makeParent(missing, entry)) ?? "";
    this.#directories.set(path, real);
    return real;
  }

  #makeParent(path: RawPath, entry: SafeEntry): void {
    mkdirSync(this.#host(path), 0o755);
    chownSync(this.#host(path), this.#options.owner?.uid ?? 0, this.#options.owner?.gid ?? 0);
    chmodSync(this.#host(path), 0o755);
    this.#directoryTimes.set(path, entry.mtimeSeconds);
  }

  /** The real path of something that exists, the last component not followed; `undefined` if there is nothing. */
  #existing(path: RawPath): RawPath | undefined {
    const parent = this.#walk(parentOf(joinRaw(this.#into, path)));
    if (parent === undefined) return undefined;
    const real = path === "" ? this.#walk(this.#into) : joinRaw(parent, nameOf(path));
    return real === undefined || this.#stat(real) === undefined ? undefined : real;
  }

  /**
   * Follows a path through symbolic links as a process would whose root is ours: `..` stops at the root, absolute links start there.
   *
   * @param make  what to do about a missing component; without, the walk ends with `undefined`
   */
  #walk(path: RawPath, make?: (missing: RawPath) => void): RawPath | undefined {
    const done: string[] = [];
    const ahead = path === "" ? [] : path.split("/").reverse();
    let hops = 0;
    for (let part = ahead.pop(); part !== undefined; part = ahead.pop()) {
      if (part === "" || part === ".") continue;
      if (part === "..") {
        done.pop();
        continue;
      }
      const here = [...done, part].join("/");
      const stats = this.#stat(here);
      if (stats?.isSymbolicLink() === true) {
        if (++hops > MAX_LINKS) throw new BakehouseError("ARCHIVE_INVALID", `Too many symbolic links on the way to /${textOfRaw(path)}`);
        const target = readlinkSync(this.#host(here), { encoding: "latin1" });
        if (target.startsWith("/")) done.length = 0;
        ahead.push(...target.split("/").reverse());
        continue;
      }
      if (stats === undefined && make === undefined) return undefined;
      if (stats === undefined) make?.(here);
      else if (!stats.isDirectory()) {
        if (make === undefined) return undefined;
        throw new BakehouseError("ARCHIVE_INVALID", `/${textOfRaw(path)} is needed as a directory, but /${textOfRaw(here)} is none`);
      }
      done.push(part);
    }
    return done.join("/");
  }

  /** One shell makes them all: Node cannot. */
  async #makeNodes(): Promise<void> {
    if (this.#nodes.size === 0) return;
    const nodes = [...this.#nodes];
    const script = ["set -e", ...nodes.map(([path, entry]) => `mknod ${shellQuote(`./${path}`)} ${nodeType(entry)}`)].join("\n");
    await runProgram(["sh", "-s"], { cwd: this.#options.root, input: Buffer.from(`${script}\n`, "latin1") });
    for (const [path, entry] of nodes) {
      lchownSync(this.#host(path), this.#uid(entry), this.#gid(entry));
      chmodSync(this.#host(path), entry.mode);
      lutimesSync(this.#host(path), entry.mtimeSeconds, entry.mtimeSeconds);
    }
    for (const [path, target] of this.#nodeLinks) linkSync(this.#host(target), this.#host(path));
  }

  /** overlayfs itself makes its whiteouts as links to one inode, and so do we: one process for all of them. */
  async #makeWhiteouts(): Promise<void> {
    const missing: RawPath[] = [];
    for (const path of this.#whiteouts) {
      const there = this.#stat(path);
      // something new under the old name: a directory must not be merged with the old one, anything else hides it anyway
      if (there?.isDirectory() === true) this.#opaque.add(path);
      else if (there === undefined) missing.push(path);
    }
    for (let start = 0; start < missing.length; start += LINKS_PER_WHITEOUT) {
      const [first = "", ...others] = missing.slice(start, start + LINKS_PER_WHITEOUT);
      await runProgram(["sh", "-s"], {
        cwd: this.#options.root,
        input: Buffer.from(`mknod -m 0600 ${shellQuote(`./${first}`)} c 0 0\n`, "latin1"),
      });
      for (const other of others) linkSync(this.#host(first), this.#host(other));
    }
  }

  #uid(entry: SafeEntry): number {
    return this.#options.owner?.uid ?? entry.uid;
  }

  #gid(entry: SafeEntry): number {
    return this.#options.owner?.gid ?? entry.gid;
  }

  #stat(path: RawPath): Stats | undefined {
    return lstatSync(this.#host(path), { throwIfNoEntry: false });
  }

  #host(path: RawPath): Buffer {
    return Buffer.from(path === "" ? this.#root : `${this.#root}/${path}`, "latin1");
  }
}

const shellQuote = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`;

const nodeType = (entry: SafeEntry): string => {
  if (entry.kind === "fifo") return "p";
  return `${entry.kind === "block-device" ? "b" : "c"} ${entry.device?.major ?? 0} ${entry.device?.minor ?? 0}`;
};
