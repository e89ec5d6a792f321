import { lstatSync, readFileSync, readdirSync, readlinkSync, realpathSync, statSync } from "node:fs";
import type { Stats } from "node:fs";
import { isAbsolute, join, posix, relative } from "node:path";
import type { Problem } from "../../core/errors.ts";
import { compileGlobs, globProblem } from "../../core/glob.ts";
import type { Globs } from "../../core/glob.ts";
import { didYouMean } from "../../core/text/did-you-mean.ts";
import type { FileRequest } from "../../core/step.ts";

const IGNORE_FILE = ".bakehouseignore";

/** Never an input: they change without the recipe's author, or by the bake itself. `!` in the ignore file takes one back in. */
const ALWAYS_IGNORED: readonly string[] = [".git", ".bakehouse/", "/bakehouse.lock", `/${IGNORE_FILE}`];

/** The kernel's own limit for links on one way (path_resolution(7)). */
const MAX_LINKS = 40;

export interface WalkedEntry {
  /** Below the tree; `""` for a single file. */
  readonly path: string;
  readonly kind: "file" | "directory" | "symlink";
  readonly hostPath: string;
  readonly stats: Stats;
  readonly linkTarget?: string;
}

export interface Walked {
  /** Sorted by path, so parents come first. */
  readonly entries: readonly WalkedEntry[];
  readonly problems: readonly Problem[];
}

/** The recipe's folder with what it leaves out. */
export interface InputFolder {
  /** Without symbolic links. */
  readonly path: string;
  readonly ignored: Globs;
  readonly problems: readonly Problem[];
}

export function openFolder(folder: string): InputFolder {
  const path = realpathSync(folder);
  const lines = readIgnoreFile(join(path, IGNORE_FILE)).map((text, index) => ({ text, line: index + 1 }));
  const rules = lines.filter(({ text }) => text !== "" && !text.startsWith("#"));
  const problems = rules.flatMap(({ text, line }): Problem[] => {
    const message = globProblem(text);
    return message === undefined ? [] : [{ file: IGNORE_FILE, line, column: 1, message }];
  });
  const good = problems.length === 0 ? rules.map(({ text }) => text) : [];
  return { path, ignored: compileGlobs([...ALWAYS_IGNORED, ...good]), problems };
}

function readIgnoreFile(file: string): readonly string[] {
  try {
    return readFileSync(file, "utf8")
      .split("\n")
      .map((line) => line.trim());
  } catch (cause) {
    if (cause instanceof Error && "code" in cause && cause.code === "ENOENT") return [];
    throw cause;
  }
}

/** `app/`, `./app` and `app//` are all `app`; the recipe's folder itself is `""`. */
export const normalisePath = (path: string): string => {
  const normal = posix.normalize(path).replace(/\/+$/, "");
  return normal === "." ? "" : normal;
};

/** Everything that a request stands for, or what is wrong with it. Reads no file's content. */
export function walk(folder: InputFolder, request: FileRequest): Walked {
  const excludes = request.excludes ?? [];
  const problems = excludes.flatMap((glob): Problem[] => {
    const message = globProblem(glob);
    return message === undefined ? [] : [{ file: request.path, message: `excludes: ${message}` }];
  });
  if (problems.length > 0) return { entries: [], problems };
  const start = locate(folder, request.path);
  if ("message" in start) return { entries: [], problems: [start] };
  if (request.kind === "file" && start.stats.isDirectory())
    return {
      entries: [],
      problems: [{ file: request.path, message: "it is a folder, where a file is needed", ...namesAFile(start.hostPath, request.path) }],
    };
  if (!start.stats.isDirectory()) return walkFile(request.path, start);
  return new TreeWalk(folder, start.path, start.hostPath, compileGlobs(excludes)).run();
}

function namesAFile(folder: string, path: string): { readonly hint?: string } {
  const first = readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map(({ name }) => name)
    .sort()[0];
  return first === undefined ? {} : { hint: `name a file in it: ${posix.join(path, first)}` };
}

function walkFile(path: string, start: Located): Walked {
  if (!start.stats.isFile()) return { entries: [], problems: [specialFile(path)] };
  return { entries: [{ path: "", kind: "file", hostPath: start.hostPath, stats: start.stats }], problems: [] };
}

interface Located {
  /** As written in the recipe, normalised. */
  readonly path: string;
  /** Without symbolic links. */
  readonly hostPath: string;
  readonly stats: Stats;
}

/** A link that the recipe names itself is followed, as long as it stays in the folder. */
export function locate(folder: InputFolder, path: string): Located | Problem {
  const normal = normalisePath(path);
  if (path === "" || /[\0\n]/.test(path)) return { file: JSON.stringify(path), message: "is not a path" };
  if (isAbsolute(path)) return outside(path, "an absolute path is not part of the recipe's folder");
  if (normal === ".." || normal.startsWith("../")) return outside(path, "it lies outside of the recipe's folder");
  const onHost = join(folder.path, normal);
  try {
    const hostPath = realpathSync(onHost);
    if (isOutside(relative(folder.path, hostPath))) return outside(path, `it leads to ${hostPath}, outside of the recipe's folder`);
    return { path: normal, hostPath, stats: statSync(hostPath) };
  } catch (cause) {
    return { file: path, ...whyUnreadable(cause, folder, normal) };
  }
}

const isOutside = (relativePath: string): boolean => relativePath === ".." || relativePath.startsWith("../");

const outside = (file: string, message: string): Problem => ({
  file,
  message,
  hint: "copy it into the recipe's folder, beside bakehouse.yaml",
});

function whyUnreadable(cause: unknown, folder: InputFolder, path: string): { message: string; hint?: string } {
  const code = cause instanceof Error && "code" in cause ? String(cause.code) : String(cause);
  if (code === "ENOENT" || code === "ENOTDIR") {
    const near = similarName(folder, path);
    return { message: "there is no such file in the recipe's folder", ...(near === undefined ? {} : { hint: `did you mean ${near}?` }) };
  }
  if (code === "ELOOP") return { message: "its symbolic links lead in a circle" };
  if (code === "EACCES") return { message: "it may not be read by you", hint: `chmod u+r ${path}` };
  return { message: `it cannot be read (${code})` };
}

/** A neighbour with nearly the same name, or the same but for its extension. */
function similarName(folder: InputFolder, path: string): string | undefined {
  const parent = posix.dirname(path);
  const wanted = posix.basename(path);
  const stem = (name: string): string => name.replace(/\.[^.]*$/, "");
  const names = namesIn(join(folder.path, parent));
  const near = didYouMean(wanted, names) ?? names.find((name) => stem(name) === stem(wanted));
  return near === undefined ? undefined : posix.join(parent, near);
}

function namesIn(directory: string): readonly string[] {
  try {
    return readdirSync(directory).sort();
  } catch {
    return []; // the parent is missing as well: no neighbours
  }
}

const specialFile = (file: string): Problem => ({
  file,
  message: "it is a device, fifo or socket; only files, folders and symbolic links can be put into an image",
  hint: "leave it out with excludes",
});

/** One tree. A class for the sake of what all levels share. */
class TreeWalk {
  readonly #folder: InputFolder;
  readonly #tree: string;
  readonly #top: string;
  readonly #excludes: Globs;
  readonly #entries: WalkedEntry[] = [];
  readonly #problems: Problem[] = [];

  constructor(folder: InputFolder, tree: string, top: string, excludes: Globs) {
    this.#folder = folder;
    this.#tree = tree;
    this.#top = top;
    this.#excludes = excludes;
  }

  run(): Walked {
    this.#directory("", this.#top);
    this.#entries.sort((a, b) => (a.path < b.path ? -1 : 1));
    return { entries: this.#entries, problems: this.#problems };
  }

  #directory(path: string, hostPath: string): void {
    try {
      for (const found of readdirSync(hostPath, { withFileTypes: true })) {
        const below = path === "" ? found.name : `${path}/${found.name}`;
        if (!this.#isLeftOut(below, found.isDirectory())) this.#entry(below, `${hostPath}/${found.name}`);
      }
    } catch (cause) {
      this.#problems.push({ file: this.#inFolder(path), ...whyUnreadable(cause, this.#folder, this.#inFolder(path)) });
    }
  }

  #isLeftOut(path: string, isDirectory: boolean): boolean {
    return this.#excludes.matches(path, isDirectory) || this.#folder.ignored.matches(this.#inFolder(path), isDirectory);
  }

  #entry(path: string, hostPath: string): void {
    if (path.includes("\uFFFD")) {
      this.#problems.push({ file: this.#inFolder(path), message: "its name is not UTF-8", hint: "rename it, or pack it into a tarball" });
      return;
    }
    const stats = lstatSync(hostPath, { throwIfNoEntry: false });
    if (stats === undefined) return; // gone between the two calls
    if (stats.isDirectory()) {
      this.#entries.push({ path, kind: "directory", hostPath, stats });
      this.#directory(path, hostPath);
    } else if (stats.isFile()) this.#entries.push({ path, kind: "file", hostPath, stats });
    else if (stats.isSymbolicLink()) this.#link(path, hostPath, stats);
    else this.#problems.push(specialFile(this.#inFolder(path)));
  }

  #link(path: string, hostPath: string, stats: Stats): void {
    const linkTarget = readlinkSync(hostPath);
    const wayOut = this.#wayOut(path, linkTarget);
    if (wayOut === undefined) this.#entries.push({ path, kind: "symlink", hostPath, stats, linkTarget });
    else
      this.#problems.push({
        file: this.#inFolder(path),
        message: `it is a symbolic link to ${linkTarget}, ${wayOut}`,
        hint: "leave it out with excludes and make the link in the image with the `file` step (link: …)",
      });
  }

  /** Follows a link as the kernel would, component after component: `a/../x` may lead out where its text does not. */
  #wayOut(path: string, target: string): string | undefined {
    const pending = target.split("/").reverse();
    const done = path.split("/").slice(0, -1);
    let links = 0;
    if (posix.isAbsolute(target)) return "an absolute path, which means something else here than in the image";
    for (let part = pending.pop(); part !== undefined; part = pending.pop()) {
      if (part === "" || part === ".") continue;
      if (part === "..") {
        if (done.pop() === undefined) return `outside of ${this.#tree === "" ? "the recipe's folder" : this.#tree}`;
        continue;
      }
      done.push(part);
      const stats = lstatSync(join(this.#top, ...done), { throwIfNoEntry: false });
      if (stats?.isSymbolicLink() !== true) continue;
      if (++links > MAX_LINKS) return "in a circle";
      const next = readlinkSync(join(this.#top, ...done));
      if (posix.isAbsolute(next)) return "by way of an absolute link";
      done.pop();
      pending.push(...next.split("/").reverse());
    }
    return undefined;
  }

  #inFolder(path: string): string {
    if (this.#tree === "") return path === "" ? "." : path;
    return path === "" ? this.#tree : `${this.#tree}/${path}`;
  }
}
