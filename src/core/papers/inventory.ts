import { fieldsOf } from "../debian/installed.ts";
import { textOfRaw } from "../layer/raw-path.ts";
import type { TreeEntry } from "../layer/merge-layers.ts";
import { licencesOf } from "./copyright.ts";
import { fileOwners, type PackageFiles } from "./file-owners.ts";

/** A package of an image with what it owns. */
export interface InventoryPackage {
  readonly name: string;
  readonly version: string;
  readonly architecture: string;
  /** Of the source package that it was built from. */
  readonly source: string;
  readonly sourceVersion: string;
  readonly summary: string;
  readonly maintainer: string;
  readonly homepage?: string;
  /** SPDX expressions; empty when its copyright file is missing or not machine-readable. */
  readonly licences: readonly string[];
  /** Of the regular files that it owns, as indexes into `files`. */
  readonly files: readonly number[];
}

export interface InventoryFile {
  /** Absolute path in the image. */
  readonly path: string;
  readonly sizeBytes: number;
  /** Hex. */
  readonly sha256: string;
  readonly sha1: string;
}

/** What is in an image: what a software bill of materials is written from. */
export interface Inventory {
  readonly os: { readonly id: string; readonly versionId: string; readonly name: string };
  /** Sorted by name and architecture. */
  readonly packages: readonly InventoryPackage[];
  /** Regular files (hard links included), sorted by path. */
  readonly files: readonly InventoryFile[];
  /** Of the files that no package owns, as indexes into `files`. */
  readonly unowned: readonly number[];
}

const STATUS = "var/lib/dpkg/status";
const DIVERSIONS = "var/lib/dpkg/diversions";
const OS_RELEASE = /^(?:etc|usr\/lib)\/os-release$/;
const LIST = /^var\/lib\/dpkg\/info\/([^/]+)\.list$/;
const COPYRIGHT = /^usr\/share\/doc\/([^/]+)\/copyright$/;

/** Whether the content of a file is needed to take the inventory. */
export const isInventorySource = ({ path }: { readonly path: string }): boolean =>
  path === STATUS || path === DIVERSIONS || OS_RELEASE.test(path) || LIST.test(path) || COPYRIGHT.test(path);

/** @param tree  of the whole image, with digests of files and the contents of inventory sources */
export function takeInventory(tree: readonly TreeEntry[]): Inventory {
  const decoder = new TextDecoder();
  const byPath = new Map(tree.map((entry) => [entry.path, entry]));
  const text = (path: string): string => {
    const content = contentOf(byPath, path);
    return content === undefined ? "" : decoder.decode(content);
  };
  const regular = tree.filter(({ kind }) => kind === "file" || kind === "hardlink");
  const files = regular.map((entry): InventoryFile => ({
    path: `/${textOfRaw(entry.path)}`,
    sizeBytes: entry.sizeBytes,
    sha256: hashOf(byPath, entry, "sha256"),
    sha1: hashOf(byPath, entry, "sha1"),
  }));
  const stanzas = installedStanzas(text(STATUS));
  const lists = new Map(
    tree.flatMap(({ path, content }) => {
      const name = content === undefined ? undefined : LIST.exec(path)?.[1];
      return name === undefined ? [] : [[name, decoder.decode(content)] as const];
    }),
  );
  const owned = fileOwners(
    tree,
    stanzas.map((fields): PackageFiles => {
      const name = fields.get("Package") ?? "";
      const architecture = fields.get("Architecture") ?? "";
      return { name, architecture, list: lists.get(`${name}:${architecture}`) ?? lists.get(name) ?? "" };
    }),
    text(DIVERSIONS),
  );
  const indexes = new Map(regular.map(({ path }, index) => [path, index]));
  const taken = new Set<number>();
  const packages = stanzas.map((fields, at): InventoryPackage => {
    const own = (owned[at] ?? []).flatMap((path) => indexes.get(path) ?? []).sort((a, b) => a - b);
    for (const index of own) taken.add(index);
    return packageOf(fields, own, text(`usr/share/doc/${fields.get("Package") ?? ""}/copyright`));
  });
  return {
    os: osOf(text("etc/os-release") || text("usr/lib/os-release")),
    packages,
    files,
    unowned: files.flatMap((_file, index) => (taken.has(index) ? [] : [index])),
  };
}

/** The changelog of a package: Debian's, or the only one of a package that is Debian's own. */
export const isChangelog = ({ path }: { readonly path: string }): boolean =>
  /^usr\/share\/doc\/[^/]+\/changelog(?:\.Debian)?(?:\.amd64)?\.gz$/.test(path);

/** Gzipped; undefined when it is not in the image. */
export function changelogOf(tree: ReadonlyMap<string, TreeEntry>, name: string): Uint8Array | undefined {
  const folder = `usr/share/doc/${name}`;
  return contentOf(tree, `${folder}/changelog.Debian.gz`) ?? contentOf(tree, `${folder}/changelog.gz`);
}

/** A link in place of the file (`/etc/os-release`, the documents of a package that shares another's) is followed, within its folder's reach. */
function contentOf(tree: ReadonlyMap<string, TreeEntry>, path: string, depth = 0): Uint8Array | undefined {
  const entry = tree.get(path);
  if (entry?.kind === "symlink" && depth < 4) return contentOf(tree, linkedPath(path, entry.linkTarget ?? ""), depth + 1);
  if (entry !== undefined) return entry.content;
  const folder = path.slice(0, path.lastIndexOf("/"));
  const above = tree.get(folder);
  if (above?.kind !== "symlink" || depth >= 4) return undefined;
  return contentOf(tree, `${linkedPath(folder, above.linkTarget ?? "")}${path.slice(folder.length)}`, depth + 1);
}

function linkedPath(from: string, target: string): string {
  const parts = target.startsWith("/") ? [] : from.split("/").slice(0, -1);
  for (const part of target.split("/"))
    if (part === "..") parts.pop();
    else if (part !== "" && part !== ".") parts.push(part);
  return parts.join("/");
}

/** A hard link has the content of what it links to. */
const hashOf = (tree: ReadonlyMap<string, TreeEntry>, entry: TreeEntry, kind: "sha256" | "sha1"): string =>
  entry[kind] ?? tree.get(entry.linkTarget ?? "")?.[kind] ?? "";

const installedStanzas = (status: string): readonly ReadonlyMap<string, string>[] =>
  status
    .split(/\n{2,}/)
    .map(fieldsOf)
    .filter((fields) => / (installed|triggers-awaited|triggers-pending)$/.test(fields.get("Status") ?? "") && fields.has("Package"))
    .sort((a, b) => (keyOf(a) < keyOf(b) ? -1 : 1));

const keyOf = (fields: ReadonlyMap<string, string>): string => `${fields.get("Package") ?? ""} ${fields.get("Architecture") ?? ""}`;

function packageOf(fields: ReadonlyMap<string, string>, files: readonly number[], copyright: string): InventoryPackage {
  const get = (name: string): string => fields.get(name) ?? "";
  // `Source: name` or `name (version)`; without the field it is called as the package
  const [, source = get("Package"), sourceVersion = get("Version")] = /^(\S+)(?:\s+\((.+)\))?$/.exec(get("Source")) ?? [];
  const homepage = fields.get("Homepage");
  return {
    name: get("Package"),
    version: get("Version"),
    architecture: get("Architecture"),
    source,
    sourceVersion,
    summary: get("Description"),
    maintainer: get("Maintainer"),
    ...(homepage === undefined ? {} : { homepage }),
    licences: licencesOf(copyright),
    files,
  };
}

function osOf(text: string): Inventory["os"] {
  const value = (name: string): string => new RegExp(`^${name}=["']?(.*?)["']?$`, "m").exec(text)?.[1] ?? "";
  return { id: value("ID"), versionId: value("VERSION_ID"), name: value("PRETTY_NAME") };
}
