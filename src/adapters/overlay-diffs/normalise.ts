import { closeSync, lstatSync, openSync, readdirSync, readlinkSync, readSync, rmdirSync, rmSync, type Stats, truncateSync } from "node:fs";
import { namePattern, NOISE, type NoiseRule, type OnlyIf } from "../../core/layer/noise.ts";
import { joinRaw, nameOf, parentOf, type RawPath, textOfRaw } from "../../core/layer/raw-path.ts";
import { runProgram } from "./run-program.ts";

/**
 * Takes out of a diff what `NOISE` lists. Never follows a symbolic link, so nothing outside of the directory is touched.
 *
 * @returns the image paths that were changed, sorted
 */
export async function normalise(directory: string, options: { readonly lowerHas: (path: string) => boolean }): Promise<readonly string[]> {
  const tree = new Tree(directory);
  const changed: RawPath[] = [];
  const hidden: RawPath[] = [];
  for (const rule of NOISE) {
    for (const path of tree.matches(rule.pattern)) {
      if (!tree.apply(rule, path)) continue;
      changed.push(path);
      if (rule.below === "hide" && options.lowerHas(`/${textOfRaw(path)}`)) hidden.push(path);
      else if (rule.only !== undefined && "timestampBytecode" in rule.only) tree.dropIfEmpty(parentOf(path), options.lowerHas);
    }
  }
  await makeWhiteouts(directory, hidden);
  return [...new Set(changed)].sort().map((path) => `/${textOfRaw(path)}`);
}

class Tree {
  readonly #base: string;

  constructor(directory: string) {
    this.#base = Buffer.from(directory).toString("latin1");
  }

  /** Files (and links) that a pattern of the table stands for. */
  matches(pattern: string): readonly RawPath[] {
    const components = pattern.slice(1).split("/");
    if (components[0] === "**") return this.#below("", components.slice(1));
    let found: RawPath[] = [""];
    for (const component of components) {
      if (component === "**") return found.flatMap((path) => this.#filesBelow(path));
      found = found.flatMap((path) => this.#step(path, component));
    }
    return found;
  }

  /** @returns whether there was something to do */
  apply(rule: NoiseRule, path: RawPath): boolean {
    const stats = this.#stat(path);
    // whiteouts stay: they hide what a layer below has
    if (stats === undefined || stats.isDirectory() || stats.isCharacterDevice()) return false;
    if (rule.only !== undefined && !this.#holds(rule.only, path, stats)) return false;
    if (rule.action === "truncate") {
      if (!stats.isFile() || stats.size === 0) return false;
      truncateSync(this.#host(path), 0);
      return true;
    }
    if (stats.isSymbolicLink() && rule.only === undefined) return false;
    rmSync(this.#host(path));
    return true;
  }

  /** A `__pycache__` that held nothing else was made by the same import. */
  dropIfEmpty(path: RawPath, lowerHas: (path: string) => boolean): void {
    if (nameOf(path) === "__pycache__" && this.#names(path).length === 0 && !lowerHas(`/${textOfRaw(path)}`)) rmdirSync(this.#host(path));
  }

  /** Never through a link: it may lead to the host. */
  #step(path: RawPath, component: string): readonly RawPath[] {
    if (path !== "" && this.#stat(path)?.isDirectory() !== true) return [];
    if (!/[*[]/.test(component)) {
      const next = joinRaw(path, component);
      return this.#stat(next) === undefined ? [] : [next];
    }
    const accepts = namePattern(component);
    return this.#names(path)
      .filter(accepts)
      .map((name) => joinRaw(path, name));
  }

  #filesBelow(path: RawPath): readonly RawPath[] {
    return this.#names(path).flatMap((name) => {
      const next = joinRaw(path, name);
      return this.#stat(next)?.isDirectory() === true ? this.#filesBelow(next) : [next];
    });
  }

  /** Everywhere below `path`: directories called like the first component, and in them what matches the rest. */
  #below(path: RawPath, components: readonly string[]): readonly RawPath[] {
    const [first = "", ...rest] = components;
    return this.#directories(path).flatMap((name) => {
      const next = joinRaw(path, name);
      if (name !== first) return this.#below(next, components);
      return rest.reduce<readonly RawPath[]>((found, component) => found.flatMap((at) => this.#step(at, component)), [next]);
    });
  }

  #holds(only: OnlyIf, path: RawPath, stats: Stats): boolean {
    if ("linkTo" in only) return stats.isSymbolicLink() && readlinkSync(this.#host(path)).toString() === only.linkTo;
    return stats.isFile() && this.#isTimestampBytecode(path);
  }

  /** PEP 552: 4 bytes magic (the last two are CR LF), then 4 bytes of flags, 0 when source time and size follow. */
  #isTimestampBytecode(path: RawPath): boolean {
    const head = Buffer.alloc(8);
    const descriptor = openSync(this.#host(path), "r");
    try {
      return readSync(descriptor, head, 0, 8, 0) === 8 && head.readUInt16LE(2) === 0x0a0d && head.readUInt32LE(4) === 0;
    } finally {
      closeSync(descriptor);
    }
  }

  /** Sorted; empty for anything but a real directory, so that no link is followed. */
  #names(path: RawPath): readonly string[] {
    return this.#stat(path)?.isDirectory() === true ? readdirSync(this.#host(path), { encoding: "latin1" }).sort() : [];
  }

  #directories(path: RawPath): readonly string[] {
    const entries = readdirSync(this.#host(path), { encoding: "latin1", withFileTypes: true });
    return entries
      .filter((entry) => entry.isDirectory())
      .map((entry) => entry.name)
      .sort();
  }

  #stat(path: RawPath): Stats | undefined {
    return lstatSync(this.#host(path), { throwIfNoEntry: false });
  }

  #host(path: RawPath): Buffer {
    return Buffer.from(path === "" ? this.#base : `${this.#base}/${path}`, "latin1");
  }
}

/** overlayfs' whiteout is a character device 0:0, which Node cannot make. */
async function makeWhiteouts(directory: string, paths: readonly RawPath[]): Promise<void> {
  if (paths.length === 0) return;
  const input = Buffer.from(paths.map((path) => `./${path}\0`).join(""), "latin1");
  await runProgram(["xargs", "-0", "-I", "{}", "mknod", "-m", "0600", "{}", "c", "0", "0"], { cwd: directory, input });
}
