import type { ImageDigest } from "../core/digest.ts";
import { fixesBetween } from "../core/debian/changelog.ts";
import { comparePackages, installedPackages, type InstalledPackage, type PackageChange } from "../core/debian/installed.ts";
import { canonicalJson, type JsonValue } from "../core/json.ts";
import { ANNOTATIONS } from "../core/image/oci.ts";
import { compareTrees, totalsOf, type ChangedAspect, type ChangeTotals, type TreeChange } from "../core/layer/changes.ts";
import { imagePathOf, mergeLayers, type LayerListing, type ListedEntry, type TreeEntry } from "../core/layer/merge-layers.ts";
import { compareFacts, isFactSource, systemFacts, type FactChange, type Facts } from "../core/image/system-facts.ts";
import { compareInventories, type InventoryComparison } from "../core/papers/compare-inventories.ts";
import { changelogOf, isChangelog, isInventorySource, takeInventory, type Inventory } from "../core/papers/inventory.ts";
import type { ImageTrees } from "../ports/image-trees.ts";
import type { ImageKind } from "../ports/catalog.ts";
import type { Store } from "../ports/store.ts";
import { readImage, type ImageContent } from "./image-content.ts";
import { listTree } from "./image-files.ts";

export interface FileChange {
  readonly change: "added" | "removed" | "changed";
  readonly path: string;
  readonly kind: TreeEntry["kind"];
  readonly aspects?: readonly ChangedAspect[];
  readonly sizeBytes: number;
  /** Of the file before, when it changed. */
  readonly sizeBytesBefore?: number;
}

export interface SettingChange {
  readonly setting: string;
  readonly before: JsonValue;
  readonly after: JsonValue;
}

/** What a newer version of a source package mends, as its changelog in the image says. */
export interface KnownFix {
  readonly source: string;
  readonly before: string;
  readonly after: string;
  /** Packages of the image that were built from it. */
  readonly packages: readonly string[];
  readonly vulnerabilities: readonly string[];
}

/** What a machine made from the image would do otherwise. */
export interface SystemComparison {
  readonly services: readonly FactChange[];
  readonly users: readonly FactChange[];
  readonly groups: readonly FactChange[];
  /** Ports that the image exposes or systemd opens. */
  readonly ports: readonly FactChange[];
  /** setuid, setgid, file capabilities. */
  readonly privileged: readonly FactChange[];
}

export interface ImageComparison {
  readonly before: ComparedImage;
  readonly after: ComparedImage;
  /** Layers that both have, counted from the lowest. */
  readonly sharedLayers: number;
  readonly packages: readonly PackageChange[];
  readonly files: readonly FileChange[];
  readonly totals: ChangeTotals;
  readonly settings: readonly SettingChange[];
  readonly system: SystemComparison;
  readonly sbom: InventoryComparison;
  readonly fixes: readonly KnownFix[];
}

export interface ComparedImage {
  readonly digest: ImageDigest;
  readonly name: string;
  readonly kind: ImageKind;
  readonly sizeBytes: number;
  readonly packages: number;
}

/**
 * What differs between two images (or volumes on their roots): packages, their licences, sizes and known fixes, files, settings,
 * services, users, ports and privileged files. Contents are compared by
 * SHA-256, except for layers that both have.
 *
 * @throws IMAGE_NOT_FOUND, REFERENCE_AMBIGUOUS, STORE_DAMAGED
 */
export async function compareImages(
  parts: { readonly store: Store; readonly trees: ImageTrees },
  before: string,
  after: string,
  options: { readonly times?: boolean; readonly signal?: AbortSignal } = {},
): Promise<ImageComparison> {
  const [a, b] = [readImage(parts.store, before), readImage(parts.store, after)];
  const [treeA, treeB] = await hashedTrees(parts.trees, a, b, options.signal);
  const changes = compareTrees(treeA, treeB, { times: options.times ?? false });
  const [packagesA, packagesB] = [await packagesOf(parts.trees, a), await packagesOf(parts.trees, b)];
  const [inventoryA, inventoryB] = [takeInventory(treeA), takeInventory(treeB)];
  return {
    before: summaryOf(a, packagesA),
    after: summaryOf(b, packagesB),
    sharedLayers: commonStart(a.source.diffs, b.source.diffs),
    packages: comparePackages(packagesA, packagesB),
    files: changes.map(fileChange),
    totals: totalsOf(changes),
    settings: compareSettings(settingsOf(a), settingsOf(b)),
    system: compareSystems([a, treeA], [b, treeB]),
    sbom: compareInventories(inventoryA, inventoryB),
    fixes: await knownFixes(inventoryA, inventoryB, treeB),
  };
}

/** What is said about the image besides its files: small files whose contents are looked into. */
const isLookedInto = (entry: { readonly path: string }): boolean => isInventorySource(entry) || isFactSource(entry) || isChangelog(entry);

type Looked = readonly [ImageContent, readonly TreeEntry[]];

function compareSystems([a, treeA]: Looked, [b, treeB]: Looked): SystemComparison {
  const [before, after] = [systemFacts(treeA), systemFacts(treeB)];
  return {
    services: compareFacts(before.services, after.services),
    users: compareFacts(before.users, after.users),
    groups: compareFacts(before.groups, after.groups),
    ports: compareFacts(withExposed(before.ports, a), withExposed(after.ports, b)),
    privileged: compareFacts(before.privileged, after.privileged),
  };
}

const withExposed = (ports: Facts, { config }: ImageContent): Facts =>
  new Map([...ports, ...Object.keys(config.config.ExposedPorts ?? {}).map((port) => [port, "exposed"] as const)]);

/** By source package: its binaries share one changelog. */
async function knownFixes(before: Inventory, after: Inventory, tree: readonly TreeEntry[]): Promise<readonly KnownFix[]> {
  const old = new Map(before.packages.map((pkg) => [pkg.name, pkg]));
  const byPath = new Map(tree.map((entry) => [entry.path, entry]));
  const fixes = new Map<string, KnownFix>();
  for (const { name, source, sourceVersion } of after.packages) {
    const previous = old.get(name);
    if (previous === undefined || previous.sourceVersion === sourceVersion || previous.source !== source) continue;
    const key = `${source} ${previous.sourceVersion} ${sourceVersion}`;
    const known = fixes.get(key);
    const changelog = known === undefined || known.vulnerabilities.length === 0 ? changelogOf(byPath, name) : undefined;
    const found = changelog === undefined ? [] : fixesBetween(await gunzipped(changelog), previous.sourceVersion, sourceVersion);
    fixes.set(key, {
      source,
      before: previous.sourceVersion,
      after: sourceVersion,
      packages: [...(known?.packages ?? []), name],
      vulnerabilities: known !== undefined && known.vulnerabilities.length > 0 ? known.vulnerabilities : found,
    });
  }
  return [...fixes.values()].filter(({ vulnerabilities }) => vulnerabilities.length > 0);
}

/** A damaged changelog says nothing. */
async function gunzipped(bytes: Uint8Array): Promise<string> {
  try {
    const stream = new Blob([Uint8Array.from(bytes)]).stream().pipeThrough(new DecompressionStream("gzip"));
    return await new Response(stream).text();
  } catch {
    return "";
  }
}

/** Layers that both have are hashed only where a file of theirs stands against one of the same size from another layer. */
async function hashedTrees(
  trees: ImageTrees,
  a: ImageContent,
  b: ImageContent,
  signal: AbortSignal | undefined,
): Promise<readonly [readonly TreeEntry[], readonly TreeEntry[]]> {
  const known = new Map<string, Promise<readonly ListedEntry[]>>();
  const listing = (content: ImageContent, unhashed: ReadonlySet<string>): Promise<readonly LayerListing[]> =>
    listTree(
      remembering(trees, known),
      content.source,
      { hash: true, wantsContent: isLookedInto, ...(signal === undefined ? {} : { signal }) },
      unhashed,
    );
  const shared = sharedLayers(a, b);
  const first = [mergeLayers(await listing(a, shared)), mergeLayers(await listing(b, shared))] as const;
  const doubtful = doubtfulLayers(first[0], first[1]);
  if (doubtful.size === 0) return first;
  for (const id of doubtful) known.delete(id);
  const rest = new Set([...shared].filter((id) => !doubtful.has(id)));
  return [mergeLayers(await listing(a, rest)), mergeLayers(await listing(b, rest))];
}

/** Lists each layer once, although both images have it. */
function remembering(trees: ImageTrees, known: Map<string, Promise<readonly ListedEntry[]>>): ImageTrees {
  const once = (id: string, list: () => Promise<readonly ListedEntry[]>): Promise<readonly ListedEntry[]> => {
    const listed = known.get(id) ?? list();
    known.set(id, listed);
    return listed;
  };
  return {
    ...trees,
    layer: (diff, options) => once(diff, () => trees.layer(diff, options)),
    volume: (blob, options) => once(blob, () => trees.volume(blob, options)),
  };
}

function doubtfulLayers(before: readonly TreeEntry[], after: readonly TreeEntry[]): ReadonlySet<string> {
  const old = new Map(before.map((entry) => [entry.path, entry]));
  const doubtful = new Set<string>();
  for (const entry of after) {
    const previous = old.get(entry.path);
    if (previous === undefined || previous.layer === entry.layer || previous.sizeBytes !== entry.sizeBytes) continue;
    for (const { kind, sha256, layer } of [previous, entry])
      if (kind !== "directory" && kind !== "symlink" && sha256 === undefined) doubtful.add(layer);
  }
  return doubtful;
}

function commonStart(a: readonly string[], b: readonly string[]): number {
  const first = a.findIndex((id, index) => id !== b[index]);
  return first === -1 ? a.length : first;
}

/** A layer that both have, whatever lies below, has the same contents in both. */
function sharedLayers(a: ImageContent, b: ImageContent): ReadonlySet<string> {
  const other = new Set<string>([...b.source.diffs, ...(b.source.volume === undefined ? [] : [b.source.volume.blob])]);
  return new Set([...a.source.diffs, ...(a.source.volume === undefined ? [] : [a.source.volume.blob])].filter((id) => other.has(id)));
}

export const DPKG_STATUS = "/var/lib/dpkg/status";

export const packagesOf = async (trees: ImageTrees, content: ImageContent): Promise<readonly InstalledPackage[]> =>
  installedPackages((await trees.readFile(content.source.diffs, DPKG_STATUS)) ?? "");

const summaryOf = ({ entry, name, kind, manifest }: ImageContent, packages: readonly InstalledPackage[]): ComparedImage => ({
  digest: entry.digest,
  name,
  kind,
  sizeBytes: manifest.layers.reduce((sum, layer) => sum + layer.size, 0),
  packages: packages.length,
});

function fileChange(change: TreeChange): FileChange {
  const entry = change.change === "removed" ? change.before : change.after;
  return {
    change: change.change,
    path: imagePathOf(entry),
    kind: entry.kind,
    ...(change.change === "changed" ? { aspects: change.aspects } : {}),
    sizeBytes: entry.sizeBytes,
    ...(change.change === "changed" && change.before.sizeBytes !== entry.sizeBytes ? { sizeBytesBefore: change.before.sizeBytes } : {}),
  };
}

/** What an image says besides its files, by name. */
function settingsOf({ manifest, config, source, kind }: ImageContent): Readonly<Record<string, JsonValue>> {
  const annotations = manifest.annotations ?? {};
  const parameters = annotations[ANNOTATIONS.parameters];
  return {
    kind,
    entry: annotations[ANNOTATIONS.entry] ?? null,
    ports: Object.keys(config.config.ExposedPorts ?? {}).sort(),
    users: annotations[ANNOTATIONS.users]?.split(",") ?? [],
    hermetic: annotations[ANNOTATIONS.hermetic] ?? null,
    parent: annotations[ANNOTATIONS.baseDigest] ?? null,
    created: config.created,
    volume: source.volume?.path ?? null,
    ...prefixed("label", config.config.Labels ?? {}),
    ...prefixed("parameter", parameters === undefined ? {} : (JSON.parse(parameters) as Record<string, JsonValue>)),
  };
}

const prefixed = (prefix: string, values: Readonly<Record<string, JsonValue>>): Readonly<Record<string, JsonValue>> =>
  Object.fromEntries(Object.entries(values).map(([name, value]) => [`${prefix} ${name}`, value]));

const compareSettings = (
  before: Readonly<Record<string, JsonValue>>,
  after: Readonly<Record<string, JsonValue>>,
): readonly SettingChange[] =>
  [...new Set([...Object.keys(before), ...Object.keys(after)])]
    .map((setting) => ({ setting, before: before[setting] ?? null, after: after[setting] ?? null }))
    .filter((change) => canonicalJson(change.before) !== canonicalJson(change.after));
