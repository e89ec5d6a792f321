import type { TarEntry } from "./model.ts";
import { joinRaw, nameOf, parentOf, type RawPath, textOfRaw } from "./raw-path.ts";
import { whiteoutOf } from "./whiteout.ts";

export interface SafetyRules {
  /** Where the archive goes, as an absolute path of the image: what an absolute symbolic link of the archive is measured against. */
  readonly base: string;
  /** Leading components to drop from every name; entries that have no more are left out. */
  readonly strip: number;
  readonly devices: boolean;
  /** Whether `.wh.` names are whiteouts. */
  readonly whiteouts: boolean;
}

export interface UnsafeEntry {
  /** For people, as the archive has it. */
  readonly path: string;
  readonly reason: string;
}

/** An entry that may be written. Its paths are stripped, and lead through no symbolic link that this archive brought. */
export interface SafeEntry extends TarEntry {
  /** Where an earlier entry of this archive made a symbolic link at `path`: it is to be replaced, never followed. */
  readonly replacesOwnSymlink: boolean;
}

export interface SafetyChecker {
  /** `undefined` if the entry is left out: unsafe (see `problems`) or stripped away. Call it in the archive's order. */
  check(entry: TarEntry): SafeEntry | undefined;
  readonly problems: readonly UnsafeEntry[];
}

/** More than the kernel follows (40), so that nothing it would accept is called a loop. */
const MAX_LINKS = 64;

/**
 * Decides entry by entry, before anything is written, what would leave the folder that an archive is unpacked into:
 * absolute names, `..`, names that lead through one of the archive's own symbolic links to somewhere else, hard links to
 * anything but an earlier entry, devices where there should be none. A symbolic link by itself is harmless and kept.
 */
export function safetyChecker(rules: SafetyRules): SafetyChecker {
  const problems: UnsafeEntry[] = [];
  const symlinks = new Map<RawPath, RawPath>();
  const linkable = new Set<RawPath>();
  let lastParent: { readonly asked: RawPath; readonly real: RawPath } | undefined;

  const refuse = (path: RawPath, reason: string): undefined => {
    problems.push({ path: textOfRaw(path), reason });
  };

  /** The path with the archive's own links of all but the last component followed; `undefined` if one leads out. */
  function settle(path: RawPath): RawPath | undefined {
    const parent = parentOf(path);
    if (symlinks.size === 0 || path === "") return path;
    if (lastParent?.asked !== parent) {
      const real = followLinks(parent, symlinks, rules.base);
      if (real === undefined) return undefined;
      lastParent = { asked: parent, real };
    }
    return joinRaw(lastParent.real, nameOf(path));
  }

  function located(path: RawPath, what: string): { readonly path: RawPath } | string | undefined {
    if (path.startsWith("/")) return `${what} is absolute`;
    if (path.split("/").includes("..")) return `${what} contains ".."`;
    const stripped = stripPath(path, rules.strip);
    if (stripped === undefined) return undefined;
    const real = settle(stripped);
    return real === undefined ? `${what} leads out through a symbolic link of the archive` : { path: real };
  }

  function check(entry: TarEntry): SafeEntry | undefined {
    const place = located(entry.path, "its name");
    if (typeof place === "string") return refuse(entry.path, place);
    if (place === undefined) return undefined;
    if (entry.kind.endsWith("-device") && !rules.devices) return refuse(entry.path, "it is a device");
    const badWhiteout = rules.whiteouts ? whiteoutProblem(place.path) : undefined;
    if (badWhiteout !== undefined) return refuse(entry.path, badWhiteout);
    if (place.path === "" && entry.kind !== "directory") return refuse(entry.path, "it would replace the folder itself");
    const target = entry.kind === "hardlink" ? hardLinkTarget(entry) : undefined;
    if (typeof target === "string") return refuse(entry.path, target);
    const replacesOwnSymlink = symlinks.delete(place.path);
    if (entry.kind === "symlink") symlinks.set(place.path, entry.linkTarget ?? "");
    if (replacesOwnSymlink || entry.kind === "symlink") lastParent = undefined;
    if (entry.kind === "directory") linkable.delete(place.path);
    else linkable.add(place.path);
    return { ...entry, path: place.path, replacesOwnSymlink, ...(target === undefined ? {} : { linkTarget: target.path }) };
  }

  function hardLinkTarget(entry: TarEntry): { readonly path: RawPath } | string {
    const target = located(entry.linkTarget ?? "", `the target ${JSON.stringify(textOfRaw(entry.linkTarget ?? ""))} of its hard link`);
    if (typeof target === "string") return target;
    if (target === undefined || !linkable.has(target.path)) {
      return `its hard link goes to ${JSON.stringify(textOfRaw(entry.linkTarget ?? ""))}, which is no earlier file of the archive`;
    }
    return target;
  }

  return { check, problems };
}

function stripPath(path: RawPath, count: number): RawPath | undefined {
  if (count === 0) return path;
  const parts = path === "" ? [] : path.split("/");
  return parts.length <= count ? undefined : parts.slice(count).join("/");
}

function whiteoutProblem(path: RawPath): string | undefined {
  const whiteout = whiteoutOf(path);
  if (whiteout?.kind !== "removed") return undefined;
  const name = nameOf(path).slice(".wh.".length);
  return name === "" || name === "." || name === ".." ? "it is a whiteout of no name" : undefined;
}

/** Walks a relative path through links as the kernel would, but says `undefined` where it passes above the base. */
function followLinks(path: RawPath, symlinks: ReadonlyMap<RawPath, RawPath>, base: string): RawPath | undefined {
  const done: string[] = [];
  const ahead = path === "" ? [] : path.split("/").reverse();
  let hops = 0;
  for (let part = ahead.pop(); part !== undefined; part = ahead.pop()) {
    if (part === "" || part === ".") continue;
    if (part === "..") {
      if (done.pop() === undefined) return undefined;
      continue;
    }
    done.push(part);
    const target = symlinks.get(done.join("/"));
    if (target === undefined) continue;
    if (++hops > MAX_LINKS) return undefined;
    done.pop();
    const inside = target.startsWith("/") ? belowBase(target, base) : target;
    if (inside === undefined) return undefined;
    if (target.startsWith("/")) done.length = 0;
    ahead.push(...inside.split("/").reverse());
  }
  return done.join("/");
}

/** An absolute link target as a path relative to the base. A target with `..` is followed from there like any other. */
function belowBase(target: RawPath, base: string): RawPath | undefined {
  if (base === "/") return target.slice(1);
  if (target === base) return "";
  return target.startsWith(`${base}/`) ? target.slice(base.length + 1) : undefined;
}
