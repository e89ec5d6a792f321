import type { ImageRoot } from "../../ports/image-root.ts";
import type { BinaryPackage } from "./binary-package.ts";
import { DATABASE } from "./dpkg-database.ts";
import { relationsOf, type InstalledPackage, type PackageRelations } from "./dpkg-status.ts";
import { describeConflict, findFileConflicts } from "./file-conflicts.ts";
import { ImagePlaces, lookAt } from "./image-places.ts";
import { includesVersion } from "./relations.ts";
import { unpackedPath } from "./write-entries.ts";

/**
 * Why dpkg itself has to unpack packages, judged by their control files alone; undefined if nothing speaks against
 * writing their files and database entries here. Only new packages that nobody objects to are simple enough: upgrades,
 * removals, and packages that were there before have dpkg's rules, of which none is repeated here.
 */
export function whyNotByControl(
  root: ImageRoot,
  packages: readonly Pick<BinaryPackage, "name" | "architecture" | "stanza">[],
  installed: readonly InstalledPackage[],
): string | undefined {
  const option = dpkgOption(root);
  if (option !== undefined) return `dpkg is configured with ${option}`;
  const known = new Map(installed.map((pack) => [pack.name, pack]));
  for (const { name, architecture } of packages) {
    const before = known.get(name);
    if (before !== undefined) return `${name} is known already (${before.state})`;
    if (architecture !== "amd64" && architecture !== "all") return `${name} is of another architecture, ${architecture}`;
  }
  return exclusion(
    packages.map((pack) => relationsOf(pack.stanza)),
    installed.filter((pack) => pack.state !== "config-files" && pack.state !== "not-installed"),
  );
}

/** The same, judged by the files that the packages bring. */
export function whyNotByFiles(root: ImageRoot, packages: readonly BinaryPackage[]): string | undefined {
  const [conflict] = findFileConflicts(packages);
  if (conflict !== undefined) return describeConflict(conflict);
  const touched = new Set([...diverted(root), ...overridden(root)]);
  const places = new ImagePlaces(root);
  for (const pack of packages) {
    for (const entry of pack.entries) {
      if (entry.path === "/.") continue;
      if (VOLATILE.test(entry.path)) return `${pack.name} brings ${entry.path}, which is a folder of the running system`;
      if (entry.kind === "other") return `${pack.name} brings ${entry.path}, which is no file, link or directory`;
      if (touched.has(entry.path)) return `${entry.path} is diverted or has a statoverride`;
      if (!isFree(places, entry.kind, unpackedPath(pack, entry.path, "dpkg-new"), pack.conffiles.has(entry.path)))
        return `something is at ${entry.path} already`;
    }
  }
  return undefined;
}

/** The sandbox has file systems of its own there, where dpkg's files would vanish; these here would not. */
const VOLATILE = /^\/(proc|sys|dev|run|tmp|var\/run|var\/lock)\/./;

/** dpkg compares a conffile with what an administrator has put there; that is its business when it configures. */
function isFree(places: ImagePlaces, kind: BinaryPackage["entries"][number]["kind"], path: string, isConffile: boolean): boolean {
  try {
    const place = places.find(path);
    const stats = place === undefined ? undefined : lookAt(place);
    if (stats === undefined) return true;
    if (kind !== "directory" || isConffile) return false;
    return places.find(`${path}/x`) !== undefined; // throws unless it is a directory or leads to one
  } catch {
    return false;
  }
}

/** An option that changes how dpkg unpacks; the two that Debian ships with do not. */
function dpkgOption(root: ImageRoot): string | undefined {
  const files = ["/etc/dpkg/dpkg.cfg", ...root.list("/etc/dpkg/dpkg.cfg.d").map((name) => `/etc/dpkg/dpkg.cfg.d/${name}`)];
  const lines = files.flatMap((file) => (root.readText(file) ?? "").split("\n")).map((line) => line.trim());
  return lines.find((line) => line !== "" && !line.startsWith("#") && !/^(no-debsig|log[\s=].*|force-unsafe-io)$/.test(line));
}

/** A pair of packages that may not be there together, by names, versions and what they provide. */
function exclusion(added: readonly PackageRelations[], installed: readonly PackageRelations[]): string | undefined {
  const present = [...added, ...installed];
  const byName = new Map<string, PackageRelations[]>();
  const note = (name: string, pack: PackageRelations): void => void (byName.get(name)?.push(pack) ?? byName.set(name, [pack]));
  for (const pack of present) {
    note(pack.name, pack);
    for (const { name } of pack.provides) note(name, pack);
  }
  const isNew = new Set(added);
  for (const pack of present) {
    for (const relation of pack.excludes) {
      for (const other of byName.get(relation.name) ?? []) {
        if (other.name === pack.name || (!isNew.has(pack) && !isNew.has(other))) continue;
        if (other.name === relation.name ? includesVersion(relation, other.version) : relation.operator === undefined)
          return `${pack.name} excludes ${other.name}`;
      }
    }
  }
  return undefined;
}

/** /var/lib/dpkg/diversions: from, to, by whom, a line each. */
const diverted = (root: ImageRoot): readonly string[] =>
  (root.readText(`${DATABASE}/diversions`) ?? "").split("\n").filter((line, index) => index % 3 !== 2 && line !== "");

/** /var/lib/dpkg/statoverride: `user group mode path`. */
const overridden = (root: ImageRoot): readonly string[] =>
  (root.readText(`${DATABASE}/statoverride`) ?? "").split("\n").flatMap((line) => /^\S+ \S+ \S+ (.+)$/.exec(line)?.[1] ?? []);
