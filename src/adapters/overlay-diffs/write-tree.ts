import { closeSync, lstatSync, lutimesSync, openSync, readdirSync, readlinkSync, readSync, rmSync, type Stats, unlinkSync } from "node:fs";
import { performance } from "node:perf_hooks";
import { setImmediate as nextTurn } from "node:timers/promises";
import { BakehouseError } from "../../core/errors.ts";
import type { TarEntry, TarEntryKind, Xattrs } from "../../core/layer/model.ts";
import { isUtf8, joinRaw, type RawPath, textOfRaw } from "../../core/layer/raw-path.ts";
import { encodeHeader, encodeRemark } from "../../core/layer/tar-header.ts";
import { BLOCK, paddingOf } from "../../core/layer/tar-numbers.ts";
import { OPAQUE_NAME, WHITEOUT_PREFIX, whiteoutPath } from "../../core/layer/whiteout.ts";
import { belongsToContent, FORBIDDEN_MARKS, isOverlayMark, OPAQUE_MARK } from "../../core/layer/xattrs.ts";
import type { DiffSummary } from "../../ports/diffs.ts";
import { readAttributes, removeAttributes } from "./extended-attributes.ts";
import { diskError, throwIfCancelled } from "./run-program.ts";
import { type TarOutput, tarOutput } from "./tar-output.ts";

export interface WriteTreeRequest {
  readonly directory: string;
  /** A path (must not exist), an open descriptor, or nothing to learn the digest only. */
  readonly target?: string | number;
  /** mtimes above are clamped to it; without, they stay (in whole seconds). */
  readonly epochSeconds?: number;
  /**
   * `diff`: an overlay upper directory, with whiteouts and opaque marks, whose mtimes and marks are made to agree with the
   * tar. `tree`: a directory as it stands, left alone.
   */
  readonly form: { readonly kind: "diff"; lowerHasDirectory(path: string): boolean } | { readonly kind: "tree" };
  /** Stands in front of the entries; see `encodeRemark`. */
  readonly remark?: string;
  readonly signal?: AbortSignal;
}

/** How long the event loop may wait for us. A guess: two frames of a terminal's spinner. */
const TURN_MS = 40;

/**
 * Writes a directory as a tar that depends on nothing but its content: entries parents first and bytewise by name, numeric
 * owners, whole seconds, no access times, one form per entry (see core/layer/tar-header.ts). Of a file with several names
 * the first carries the content, the others are hard links to it. Sockets are left out.
 *
 * @throws BakehouseError CANCELLED, STORE_FULL, SETUP_INCOMPLETE (no getfattr), STEP_FAILED for a file called `.wh.…`
 */
export async function writeTree(request: WriteTreeRequest): Promise<DiffSummary> {
  const { target } = request;
  throwIfCancelled(request.signal);
  const attributes = await readAttributes(request.directory, request.signal);
  const descriptor = typeof target === "string" ? openSync(target, "wx", 0o644) : target;
  let whole = false;
  try {
    const writer = new TreeWriter(request, attributes, tarOutput(descriptor));
    const summary = await writer.run();
    whole = true;
    return summary;
  } catch (error) {
    throw diskError(error, typeof target === "string" ? target : "the tar");
  } finally {
    if (typeof target === "string" && descriptor !== undefined) {
      closeSync(descriptor);
      if (!whole) rmSync(target, { force: true });
    }
  }
}

/** What is known about a directory on the way down. */
interface Surroundings {
  /** Nothing of the layers below is seen here: a mark further down would say nothing. */
  readonly covered: boolean;
}

class TreeWriter {
  readonly #request: WriteTreeRequest;
  readonly #attributes: ReadonlyMap<RawPath, Xattrs>;
  readonly #output: TarOutput;
  readonly #isDiff: boolean;
  readonly #base: string;
  /** device:inode → the path that carries the content. */
  readonly #firstNames = new Map<string, RawPath>();
  readonly #superfluous = new Map<string, RawPath[]>();
  #entries = 0;
  #turnStarted = performance.now();

  constructor(request: WriteTreeRequest, attributes: ReadonlyMap<RawPath, Xattrs>, output: TarOutput) {
    this.#request = request;
    this.#attributes = attributes;
    this.#output = output;
    this.#isDiff = request.form.kind === "diff";
    this.#base = Buffer.from(request.directory).toString("latin1");
  }

  async run(): Promise<DiffSummary> {
    const stats = lstatSync(this.#request.directory);
    if (!stats.isDirectory()) throw new Error(`${this.#request.directory} is not a directory`);
    if (this.#request.remark !== undefined) this.#output.write(encodeRemark(this.#request.remark));
    await this.#directory("", stats, { covered: false });
    this.#output.zeros(2 * BLOCK);
    const { digest, sizeBytes } = this.#output.end();
    if (this.#isDiff) await removeAttributes(this.#request.directory, this.#superfluous);
    return { diffId: digest, sizeBytes, entries: this.#entries };
  }

  async #directory(path: RawPath, stats: Stats, around: Surroundings): Promise<void> {
    this.#header({ ...this.#common(path, stats), kind: "directory" });
    const covered = this.#coverage(path, stats, around);
    for (const name of readdirSync(this.#host(path), { encoding: "latin1" }).sort()) {
      await this.#child(joinRaw(path, name), name, { covered });
    }
    this.#agree(path, stats);
  }

  /** Writes the opaque mark if the layers below have something that it hides; says whether they are out of sight now. */
  #coverage(path: RawPath, stats: Stats, around: Surroundings): boolean {
    const { form } = this.#request;
    if (form.kind === "tree") return false;
    const mark = this.#attributes.get(path)?.get(OPAQUE_MARK);
    if (mark === undefined || mark[0] !== 0x79 /* y */) return around.covered;
    // a name that is no text cannot be asked for; a mark too many does no harm
    if (!around.covered && (!isUtf8(path) || form.lowerHasDirectory(`/${textOfRaw(path)}`))) {
      this.#header({ ...this.#plainFile(joinRaw(path, OPAQUE_NAME)), mtimeSeconds: this.#time(stats) });
    } else this.#removeLater(OPAQUE_MARK, path);
    return true;
  }

  async #child(path: RawPath, name: string, around: Surroundings): Promise<void> {
    if (performance.now() - this.#turnStarted > TURN_MS) await this.#giveWay();
    const stats = lstatSync(this.#host(path));
    if (this.#isDiff && name.startsWith(WHITEOUT_PREFIX)) throw reservedName(path);
    if (stats.isDirectory()) return this.#directory(path, stats, around);
    if (this.#isDiff && stats.isCharacterDevice() && stats.rdev === 0) {
      // its own time is that of the first whiteout which this overlay ever made, and means nothing
      return this.#header(this.#plainFile(whiteoutPath(path)));
    }
    if (stats.isSocket()) return this.#isDiff ? unlinkSync(this.#host(path)) : undefined;
    await this.#leaf(path, stats);
    this.#agree(path, stats);
  }

  async #leaf(path: RawPath, stats: Stats): Promise<void> {
    const common = this.#common(path, stats);
    if (stats.nlink > 1) {
      const inode = `${stats.dev}:${stats.ino}`;
      const first = this.#firstNames.get(inode);
      // attributes stand at the first name, which has the inode
      if (first !== undefined) return this.#header({ ...common, xattrs: new Map(), kind: "hardlink", linkTarget: first });
      this.#firstNames.set(inode, path);
    }
    if (stats.isFile()) return this.#file({ ...common, kind: "file", sizeBytes: stats.size });
    if (stats.isSymbolicLink()) {
      return this.#header({ ...common, mode: 0o777, kind: "symlink", linkTarget: readlinkSync(this.#host(path), { encoding: "latin1" }) });
    }
    const kind = specialKind(stats);
    this.#header({ ...common, kind, ...(kind === "fifo" ? {} : { device: deviceNumber(stats.rdev) }) });
  }

  async #file(entry: TarEntry): Promise<void> {
    this.#header(entry);
    if (entry.sizeBytes === 0) return;
    const descriptor = openSync(this.#host(entry.path), "r");
    try {
      for (let left = entry.sizeBytes; left > 0;) {
        const room = this.#output.room();
        const count = readSync(descriptor, room, 0, Math.min(room.length, left), null);
        if (count === 0) throw changedWhileRead(entry, left);
        this.#output.filled(count);
        left -= count;
        if (left > 0 && performance.now() - this.#turnStarted > TURN_MS) await this.#giveWay();
      }
    } finally {
      closeSync(descriptor);
    }
    this.#output.zeros(paddingOf(entry.sizeBytes));
  }

  #header(entry: TarEntry): void {
    this.#entries += 1;
    this.#output.write(encodeHeader(entry));
  }

  #common(path: RawPath, stats: Stats): Omit<TarEntry, "kind"> {
    const xattrs = this.#xattrs(path);
    return {
      path,
      mode: stats.mode & 0o7777,
      uid: stats.uid,
      gid: stats.gid,
      sizeBytes: 0,
      mtimeSeconds: this.#time(stats),
      ...(xattrs === undefined ? {} : { xattrs }),
    };
  }

  #plainFile(path: RawPath): TarEntry {
    return { path, kind: "file", mode: 0, uid: 0, gid: 0, sizeBytes: 0, mtimeSeconds: this.#request.epochSeconds ?? 0 };
  }

  #xattrs(path: RawPath): Xattrs | undefined {
    const all = this.#attributes.get(path);
    if (all === undefined) return undefined;
    const kept = new Map<string, Uint8Array>();
    for (const [name, value] of all) {
      if (belongsToContent(name)) kept.set(name, value);
      else if (this.#isDiff && FORBIDDEN_MARKS.includes(name)) {
        throw new Error(`${textOfRaw(path)} carries ${name}: mount the overlay with redirect_dir=off,metacopy=off`);
      } else if (this.#isDiff && isOverlayMark(name) && name !== OPAQUE_MARK) this.#removeLater(name, path);
    }
    return kept.size > 0 ? kept : undefined;
  }

  #removeLater(name: string, path: RawPath): void {
    const paths = this.#superfluous.get(name);
    if (paths === undefined) this.#superfluous.set(name, [path]);
    else paths.push(path);
  }

  /** Before 1970 is a clock that was not set. */
  #time(stats: Stats): number {
    return Math.max(0, Math.min(Math.floor(stats.mtimeMs / 1000), this.#request.epochSeconds ?? Infinity));
  }

  #agree(path: RawPath, stats: Stats): void {
    if (!this.#isDiff) return;
    const seconds = this.#time(stats);
    // a directory that a socket was taken from has a new time that `stats` does not know
    if (stats.mtimeMs !== seconds * 1000 || stats.isDirectory()) lutimesSync(this.#host(path), seconds, seconds);
  }

  #host(path: RawPath): Buffer {
    return Buffer.from(path === "" ? this.#base : `${this.#base}/${path}`, "latin1");
  }

  async #giveWay(): Promise<void> {
    await nextTurn();
    throwIfCancelled(this.#request.signal);
    this.#turnStarted = performance.now();
  }
}

function specialKind(stats: Stats): TarEntryKind {
  if (stats.isFIFO()) return "fifo";
  return stats.isCharacterDevice() ? "character-device" : "block-device";
}

/** Linux' encoding of a device number (glibc, gnu_dev_major and gnu_dev_minor); 44 bits, so no bit operators on all of it. */
export function deviceNumber(rdev: number): { readonly major: number; readonly minor: number } {
  const low = rdev % 2 ** 32;
  const high = Math.floor(rdev / 2 ** 32);
  return {
    major: ((low >>> 8) & 0xfff) + (high & ~0xfff),
    minor: (low & 0xff) + ((low >>> 12) & 0xfff00),
  };
}

const changedWhileRead = (entry: TarEntry, left: number): Error =>
  new Error(`${textOfRaw(entry.path)} lost ${left} bytes while it was read: something still writes to it`);

const reservedName = (path: RawPath): BakehouseError =>
  new BakehouseError(
    "STEP_FAILED",
    `An image cannot hold "/${textOfRaw(path)}": in an OCI layer, names that start with ".wh." mean that a file is gone`,
    {
      hint: "give the file another name",
    },
  );
