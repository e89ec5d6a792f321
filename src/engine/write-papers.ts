import { hexOf, type ImageDigest } from "../core/digest.ts";
import { BakehouseError } from "../core/errors.ts";
import { ANNOTATIONS } from "../core/image/oci.ts";
import { cyclonedxDocument } from "../core/papers/cyclonedx.ts";
import { provenanceOf, type Provenance, type ProvenanceStep } from "../core/papers/provenance.ts";
import { spdxDocument } from "../core/papers/spdx.ts";
import { PREDICATES, type PredicateType } from "../core/papers/statement.ts";
import type { ImageTrees } from "../ports/image-trees.ts";
import type { Paper, Papers } from "../ports/papers.ts";
import type { StepRecord, Store } from "../ports/store.ts";
import { nameOf } from "./find-image.ts";
import { layersOf, readImage, type ImageContent } from "./image-content.ts";
import { describedImage, imageInventory, type KnownDigests } from "./image-inventory.ts";
import { catalogImageOf } from "./images-from-store.ts";
import { parentsOf } from "./references.ts";

export interface WritePapersParts {
  readonly store: Store;
  readonly papers: Papers;
  readonly trees: ImageTrees;
  /** `bakehouse 0.1.0` */
  readonly tool: string;
  /** Hex SHA-1 of a text, which SPDX wants. */
  sha1(text: string): string;
}

export interface WrittenPapers {
  readonly image: ImageDigest;
  readonly name: string;
  /** SPDX, CycloneDX, and for an image that was baked here its provenance. */
  readonly papers: readonly Paper[];
  /** All of them were there before, word for word. */
  readonly unchanged: boolean;
  /** What was counted; absent when the papers were there already. */
  readonly counted?: { readonly packages: number; readonly files: number; readonly unownedFiles: number };
  /** It came from elsewhere: who baked it has to say how. */
  readonly imported: boolean;
}

/**
 * Writes and signs what an image is made of (SPDX and CycloneDX) and how it was baked (SLSA provenance), attached to the image.
 * All of it follows from image and index: where this version of Bakehouse wrote them and they are soundly signed, nothing is done.
 *
 * @throws IMAGE_NOT_FOUND, REFERENCE_AMBIGUOUS, STORE_DAMAGED, STORE_READ_ONLY, KEY_INVALID
 */
export async function writePapers(
  parts: WritePapersParts,
  reference: string,
  options: { readonly signal?: AbortSignal } = {},
): Promise<WrittenPapers> {
  const { store, papers, tool } = parts;
  if (store.readOnly)
    throw new BakehouseError("STORE_READ_ONLY", `The store ${store.root} cannot be written to`, {
      hint: "run as a user who may write to it",
    });
  const content = readImage(store, reference);
  const subject = { name: content.name, digest: content.entry.digest };
  const imported = content.entry.annotations[ANNOTATIONS.imported] !== undefined;
  const standing = standingPapers(parts, subject.digest, imported);
  if (standing !== undefined) return { image: subject.digest, name: subject.name, papers: standing, unchanged: true, imported };
  const known = knownFromBelow(parts, content);
  const inventory = await imageInventory(parts.trees, content, { ...options, ...(known === undefined ? {} : { known }) });
  const described = describedImage(content, tool);
  const predicates: readonly (readonly [PredicateType, unknown])[] = [
    [PREDICATES.spdx, spdxDocument(described, inventory, (text) => parts.sha1(text))],
    [PREDICATES.cyclonedx, cyclonedxDocument(described, inventory)],
    ...(imported ? [] : [[PREDICATES.provenance, imageProvenance(store, content)] as const]),
  ];
  const before = new Set(papers.of(subject.digest).map(({ digest }) => digest));
  const written: Paper[] = [];
  for (const [type, predicate] of predicates) written.push(await papers.attach(subject, type, predicate, { [ANNOTATIONS.tool]: tool }));
  return {
    image: subject.digest,
    name: subject.name,
    papers: written,
    unchanged: written.every(({ digest }) => before.has(digest)),
    counted: { packages: inventory.packages.length, files: inventory.files.length, unownedFiles: inventory.unowned.length },
    imported,
  };
}

/** From the SBOM of the image below, if a trusted key signed it: its layers need not be hashed again. */
function knownFromBelow({ store, papers, tool }: WritePapersParts, { entry, source }: ImageContent): KnownDigests | undefined {
  for (const parent of parentsOf(store, entry)) {
    const paper = papers.of(parent, PREDICATES.spdx).find(({ annotations }) => annotations[ANNOTATIONS.tool] === tool);
    const read = paper === undefined ? undefined : papers.read<SpdxFiles>(paper);
    if (read?.trust !== "signed" || read.statement === undefined || !store.blobs.has(parent)) continue;
    const layers = store.images.config(parent).rootfs.diff_ids;
    // a volume of the parent's would lie over its layers; and what is not below here is known by nothing
    if (store.images.manifest(parent).artifactType !== undefined || layers.some((diff, at) => source.diffs[at] !== diff)) continue;
    return { layers: new Set(layers), files: digestsOf(read.statement.predicate) };
  }
  return undefined;
}

interface SpdxFiles {
  readonly files: readonly {
    readonly fileName: string;
    readonly checksums: readonly { readonly algorithm: string; readonly checksumValue: string }[];
  }[];
}

const digestsOf = ({ files }: SpdxFiles): KnownDigests["files"] =>
  new Map(
    files.map(({ fileName, checksums }) => {
      const sum = (wanted: string): string => checksums.find(({ algorithm }) => algorithm === wanted)?.checksumValue ?? "";
      return [fileName.slice(1), { sha256: sum("SHA256"), sha1: sum("SHA1") }];
    }),
  );

/** Those that this version wrote, if none is missing and each can be trusted. */
function standingPapers({ papers, tool }: WritePapersParts, image: ImageDigest, imported: boolean): readonly Paper[] | undefined {
  const wanted = [PREDICATES.spdx, PREDICATES.cyclonedx, ...(imported ? [] : [PREDICATES.provenance])];
  const found = wanted.flatMap((type) => {
    const newest = papers.of(image, type).find(({ annotations }) => annotations[ANNOTATIONS.tool] === tool);
    return newest !== undefined && papers.read(newest).trust === "signed" ? [newest] : [];
  });
  return found.length === wanted.length ? found : undefined;
}

/** The same for an image and those that it was baked onto, the foundation first. */
export async function writePapersOfLineage(
  parts: WritePapersParts,
  reference: string,
  options: { readonly only?: boolean; readonly signal?: AbortSignal } = {},
): Promise<readonly WrittenPapers[]> {
  const { entry } = readImage(parts.store, reference);
  const images = options.only === true ? [entry.digest] : lineageUp(parts.store, entry.digest);
  const written: WrittenPapers[] = [];
  const once = { ...parts, trees: listedOnce(parts.trees) };
  for (const digest of images) written.push(await writePapers(once, digest, options));
  return written;
}

/** Images of one lineage share layers. */
function listedOnce(trees: ImageTrees): ImageTrees {
  const known = new Map<string, ReturnType<ImageTrees["layer"]>>();
  return {
    ...trees,
    layer: (diff, options) => {
      const key = `${diff} ${String(options?.hash)}`;
      const listed = known.get(key) ?? trees.layer(diff, options);
      known.set(key, listed);
      return listed;
    },
  };
}

/** With itself, the foundation first; only what is in this store. */
function lineageUp(store: Store, image: ImageDigest): readonly ImageDigest[] {
  const entries = new Map(store.images.entries().map((entry) => [entry.digest, entry]));
  const found = new Set<ImageDigest>();
  const visit = (digest: ImageDigest): void => {
    const entry = entries.get(digest);
    if (entry === undefined || found.has(digest)) return;
    for (const parent of parentsOf(store, entry)) if (parent !== digest) visit(parent);
    found.add(digest);
  };
  visit(image);
  return [...found];
}

/** How an image was baked, as far as index and step records of this store say. */
export function imageProvenance(store: Store, content: ImageContent): Provenance {
  const { entry } = content;
  const image = catalogImageOf(entry, 0);
  const names = new Map(store.images.entries().map((each) => [each.digest, nameOf(each)]));
  return provenanceOf({
    recipe: image.recipe,
    layer: image.layer,
    parameters: image.parameters,
    hermetic: image.hermetic,
    ...(image.recipeDigest === undefined ? {} : { recipeDigest: image.recipeDigest }),
    ...(image.lockDigest === undefined ? {} : { lockDigest: image.lockDigest }),
    parents: parentsOf(store, entry).map((digest) => ({ name: names.get(digest) ?? hexOf(digest), digest })),
    steps: stepsOf(store, content),
    bake: image.bake,
    bakedBy: image.bakedBy,
    bakedAt: image.bakedAt,
    tool: image.tool,
  });
}

function stepsOf(store: Store, content: ImageContent): readonly ProvenanceStep[] {
  const volume = content.source.volume?.blob;
  const layers = layersOf(store, content).map(({ diffId, step = "", stepType = "" }) => ({ address: step, type: stepType, diffId }));
  const all = volume === undefined ? layers : [...layers, { address: "", type: "volume", diffId: volume }];
  const records = recordsByDiff(store, new Set(all.map(({ diffId }) => diffId)));
  return all.map(({ address, type, diffId }) => {
    const found = records.get(diffId) ?? [];
    const record = found.find((each) => each.address === address) ?? (address === "" ? found[0] : undefined);
    return {
      address: address === "" ? (record?.address ?? type) : address,
      type,
      diffId,
      ...(record === undefined ? {} : { record: { key: record.key, inputs: record.inputs } }),
    };
  });
}

/** The newest first; different inputs may have given the same diff. */
function recordsByDiff(store: Store, wanted: ReadonlySet<string>): ReadonlyMap<string, readonly StepRecord[]> {
  const found = new Map<string, StepRecord[]>();
  for (const record of store.steps.all())
    if (wanted.has(record.diffId)) found.set(record.diffId, [...(found.get(record.diffId) ?? []), record]);
  for (const records of found.values())
    records.sort((a, b) => (a.bakedAt < b.bakedAt || (a.bakedAt === b.bakedAt && a.key < b.key) ? 1 : -1));
  return found;
}
