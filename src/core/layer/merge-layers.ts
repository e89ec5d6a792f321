import type { TarEntry } from "./model.ts";
import { nameOf, parentOf, type RawPath, textOfRaw } from "./raw-path.ts";
import { whiteoutOf } from "./whiteout.ts";

/** An entry as listed from a layer; `sha256`, `sha1` (hex) and `content` where whoever listed it asked for them. */
export interface ListedEntry extends TarEntry {
  readonly sha256?: string;
  readonly sha1?: string;
  readonly content?: Uint8Array;
}

export interface LayerListing {
  /** Name of the layer (its diffID): two trees that share a layer share its contents. */
  readonly id: string;
  /** In the archive's order. */
  readonly entries: Iterable<ListedEntry>;
}

/** An entry of a merged tree. */
export interface TreeEntry extends ListedEntry {
  /** Which layer it comes from. */
  readonly layer: string;
}

interface Node {
  entry?: TreeEntry;
  readonly children: Map<string, Node>;
}

/**
 * What one sees when the layers lie upon each other, lowest first, by the rules of the OCI image-spec: whiteouts hide what
 * is below their own layer, a file in place of a directory hides the directory's content, a directory in place of a
 * directory keeps it. Hard links come out as `hardlink` with the size of what they link to.
 *
 * @returns sorted by path, parents before children; the root's own entry, if a layer has one, is first
 */
export function mergeLayers(layers: Iterable<LayerListing>): readonly TreeEntry[] {
  const root: Node = { children: new Map() };
  for (const layer of layers) addLayer(root, layer);
  const merged: TreeEntry[] = [];
  flatten(root, merged);
  return merged;
}

function addLayer(root: Node, layer: LayerListing): void {
  const additions: TreeEntry[] = [];
  for (const entry of layer.entries) {
    const whiteout = whiteoutOf(entry.path);
    if (whiteout === undefined) additions.push({ ...entry, layer: layer.id });
    else if (whiteout.kind === "removed") nodeAt(root, parentOf(whiteout.path))?.children.delete(nameOf(whiteout.path));
    else if (whiteout.kind === "opaque") nodeAt(root, whiteout.path)?.children.clear();
  }
  for (const entry of additions) place(root, entry);
}

function place(root: Node, entry: TreeEntry): void {
  const node = makeNode(root, entry.path);
  if (entry.kind !== "directory") node.children.clear();
  node.entry = entry.kind === "hardlink" ? linkedEntry(root, entry) : entry;
}

/** A hard link has the content, owner and mode of its target, which came earlier in the same layer. */
function linkedEntry(root: Node, link: TreeEntry): TreeEntry {
  const target = nodeAt(root, link.linkTarget ?? "")?.entry;
  return target === undefined ? link : { ...target, path: link.path, kind: "hardlink", linkTarget: link.linkTarget ?? "" };
}

function nodeAt(root: Node, path: RawPath): Node | undefined {
  let node: Node | undefined = root;
  for (const part of partsOf(path)) node = node?.children.get(part);
  return node;
}

function makeNode(root: Node, path: RawPath): Node {
  let node = root;
  for (const part of partsOf(path)) {
    let child = node.children.get(part);
    if (child === undefined) {
      child = { children: new Map() };
      node.children.set(part, child);
    }
    node = child;
  }
  return node;
}

const partsOf = (path: RawPath): readonly string[] => (path === "" ? [] : path.split("/"));

function flatten(node: Node, into: TreeEntry[]): void {
  if (node.entry !== undefined) into.push(node.entry);
  for (const name of [...node.children.keys()].sort()) {
    const child = node.children.get(name);
    if (child !== undefined) flatten(child, into);
  }
}

/** The path of an entry as people write it: absolute, from the image's root. */
export const imagePathOf = (entry: { readonly path: RawPath }): string => `/${textOfRaw(entry.path)}`;
