import {
  ANNOTATIONS,
  MEDIA_TYPES,
  type Annotations,
  type Descriptor,
  type ImageConfig,
  type ImageManifest,
  type IndexEntry,
} from "../core/image/oci.ts";
import type { DiffId, ImageDigest, Sha256 } from "../core/digest.ts";
import { canonicalJson } from "../core/json.ts";
import type { ParameterValue, Recipe, RecipeLayer } from "../core/recipe/model.ts";
import type { CatalogImage, ImageKind } from "../ports/catalog.ts";
import type { StepRecord } from "../ports/store.ts";
import type { BoundStep } from "./bound-recipe.ts";
import { layerChain } from "./bound-recipe.ts";
import type { EngineParts } from "./parts.ts";
import { isHermetic, type PlannedEnd } from "./plan-bake.ts";

export interface BakedImage {
  readonly kind: ImageKind;
  readonly layer: string;
  /** `<recipe>/<layer>`. */
  readonly name: string;
  readonly digest: ImageDigest;
  /** Everything came from the cache. */
  readonly cached: boolean;
  /** Bytes of all layer tars, or of the volume. */
  readonly sizeBytes: number;
  readonly durationMs: number;
  readonly hermetic: boolean;
}

/** Who baked it and from what. The digests, parameters and tool are the same for everybody; the rest is kept beside the image, never in it. */
export interface Lineage {
  readonly bake: string;
  readonly by: string;
  readonly tool: string;
  readonly recipeDigest: Sha256;
  readonly lockDigest?: Sha256;
  readonly parameters: Readonly<Record<string, ParameterValue>>;
}

interface Outcome {
  readonly cached: boolean;
  readonly startedMs: number;
  readonly hermetic: boolean;
}

export interface LayerContent {
  readonly diffs: readonly DiffId[];
  readonly epochSeconds: number;
  readonly steps: readonly { readonly bound: BoundStep; readonly record: StepRecord }[];
}

/** The images of layers that are all in the cache, if each stands in the index under its name already; undefined if one does not. */
export function standingImages(
  parts: EngineParts,
  recipe: Recipe,
  layers: readonly RecipeLayer[],
  ends: ReadonlyMap<string, PlannedEnd>,
  parameters: Lineage["parameters"],
): readonly BakedImage[] | undefined {
  const named = new Map(parts.store.images.entries().map((entry) => [entry.annotations[ANNOTATIONS.name], entry.digest]));
  const found = new Map<string, BakedImage>();
  for (const layer of layers) {
    const end = ends.get(layer.name);
    const name = `${recipe.name}/${layer.name}`;
    const digest = named.get(name);
    if (end === undefined || digest === undefined || !parts.store.blobs.has(digest)) return undefined;
    const parent = layer.from !== undefined && "layer" in layer.from ? found.get(layer.from.layer)?.digest : end.image;
    const hermetic = isHermetic(recipe, layer);
    const { volume } = end;
    const made =
      volume === undefined
        ? imageManifest(parts, recipe, layer, end, { parent, hermetic, parameters })
        : volumeManifest(
            parts,
            recipe,
            layer,
            { record: volume, root: parent ?? digest, path: volumePath(layer) },
            { hermetic, parameters },
          );
    if (parts.hasher.digestOf(canonicalJson(made.manifest)) !== digest) return undefined;
    found.set(layer.name, {
      kind: volume === undefined ? "image" : "volume",
      layer: layer.name,
      name,
      digest,
      cached: true,
      sizeBytes: sizeOf(made.manifest),
      durationMs: 0,
      hermetic,
    });
  }
  return [...found.values()];
}

const volumePath = (layer: RecipeLayer): string => (layer.release.as === "volume" ? layer.release.path : "");
const sizeOf = (manifest: ImageManifest): number => manifest.layers.reduce((sum, entry) => sum + entry.size, 0);

interface ManifestFacts {
  readonly parent: ImageDigest | undefined;
  readonly hermetic: boolean;
  readonly parameters: Lineage["parameters"];
}

/** What an image is, as bytes to be: the same for everybody who bakes it. */
function imageManifest(
  parts: EngineParts,
  recipe: Recipe,
  layer: RecipeLayer,
  content: LayerContent,
  facts: ManifestFacts,
): { readonly config: string; readonly manifest: ImageManifest } {
  const { blobs, images } = parts.store;
  const created = new Date(content.epochSeconds * 1000).toISOString().replace(".000Z", "Z");
  const config = canonicalJson(imageConfig(recipe, layer, content, created, images, facts.parent));
  const annotations: Annotations = {
    [ANNOTATIONS.created]: created,
    ...commonAnnotations(recipe, layer, facts),
    ...(facts.parent === undefined ? {} : { [ANNOTATIONS.baseDigest]: facts.parent }),
    ...(layer.image.users.length === 0 ? {} : { [ANNOTATIONS.users]: layer.image.users.join(",") }),
  };
  const manifest: ImageManifest = {
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.manifest,
    config: { mediaType: MEDIA_TYPES.config, digest: parts.hasher.digestOf(config), size: new TextEncoder().encode(config).length },
    layers: content.diffs.map((diff): Descriptor => ({ mediaType: MEDIA_TYPES.layer, digest: diff, size: blobs.sizeBytes(diff) })),
    annotations,
  };
  return { config, manifest };
}

export const commonAnnotations = (
  recipe: Recipe,
  layer: RecipeLayer,
  { hermetic, parameters }: Pick<ManifestFacts, "hermetic" | "parameters">,
): Annotations => ({
  [ANNOTATIONS.title]: `${recipe.name}/${layer.name}`,
  [ANNOTATIONS.recipe]: recipe.name,
  [ANNOTATIONS.layer]: layer.name,
  [ANNOTATIONS.hermetic]: String(hermetic),
  ...(layer.image.entry === undefined ? {} : { [ANNOTATIONS.entry]: layer.image.entry }),
  ...parameterAnnotation(recipe, layer, parameters),
});

/** Only those that it depends on: a release with another version must not give the layers below it another name. */
function parameterAnnotation(recipe: Recipe, layer: RecipeLayer, parameters: Lineage["parameters"]): Annotations {
  const used = new Set(layerChain(recipe, layer).flatMap((below) => below.parameters));
  const values = Object.entries(parameters).filter(([name]) => used.has(name));
  return values.length === 0 ? {} : { [ANNOTATIONS.parameters]: canonicalJson(Object.fromEntries(values)) };
}

/** Writes config and manifest of an image, and its entry in the index and the catalog. */
export async function assembleImage(
  parts: EngineParts,
  recipe: Recipe,
  layer: RecipeLayer,
  content: LayerContent,
  lineage: Lineage,
  outcome: Outcome & { readonly parent: ImageDigest | undefined },
): Promise<BakedImage> {
  const { config, manifest } = imageManifest(parts, recipe, layer, content, {
    parent: outcome.parent,
    hermetic: outcome.hermetic,
    parameters: lineage.parameters,
  });
  const stored = putManifest(parts, layer, config, manifest);
  const result = {
    kind: "image",
    layer: layer.name,
    name: `${recipe.name}/${layer.name}`,
    digest: stored.digest,
    sizeBytes: sizeOf(manifest),
    ...taken(parts, outcome),
  } as const;
  await publish(parts, result, stored.sizeBytes, { ...manifest.annotations, ...baseReference(layer) }, lineage, outcome.parent);
  return result;
}

const baseReference = ({ from }: RecipeLayer): Annotations =>
  from !== undefined && "image" in from ? { [ANNOTATIONS.baseReference]: from.image } : {};

function putManifest(
  parts: EngineParts,
  layer: RecipeLayer,
  config: string,
  manifest: ImageManifest,
): { readonly digest: ImageDigest; readonly sizeBytes: number } {
  parts.store.blobs.putText(config);
  parts.reach("config-written", layer.name);
  const stored = parts.store.blobs.putText(canonicalJson(manifest));
  parts.reach("manifest-written", layer.name);
  return stored;
}

const taken = (
  parts: EngineParts,
  outcome: Outcome,
): { readonly cached: boolean; readonly hermetic: boolean; readonly durationMs: number } => ({
  cached: outcome.cached,
  hermetic: outcome.hermetic,
  durationMs: Math.round(parts.clock.elapsedMs() - outcome.startedMs),
});

interface VolumeContent {
  readonly record: StepRecord;
  readonly root: ImageDigest;
  readonly path: string;
}

const EMPTY_CONFIG = "{}";

/** A release volume is an OCI artifact whose subject is the root image. */
function volumeManifest(
  parts: EngineParts,
  recipe: Recipe,
  layer: RecipeLayer,
  volume: VolumeContent,
  facts: Pick<ManifestFacts, "hermetic" | "parameters">,
): { readonly config: string; readonly manifest: ImageManifest } {
  const manifest: ImageManifest = {
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.manifest,
    artifactType: MEDIA_TYPES.volume,
    config: { mediaType: MEDIA_TYPES.empty, digest: parts.hasher.digestOf(EMPTY_CONFIG), size: EMPTY_CONFIG.length },
    layers: [{ mediaType: MEDIA_TYPES.erofs, digest: volume.record.diffId, size: volume.record.sizeBytes }],
    subject: { mediaType: MEDIA_TYPES.manifest, digest: volume.root, size: parts.store.blobs.sizeBytes(volume.root) },
    annotations: {
      ...commonAnnotations(recipe, layer, facts),
      [ANNOTATIONS.baseDigest]: volume.root,
      [ANNOTATIONS.volumePath]: volume.path,
    },
  };
  return { config: EMPTY_CONFIG, manifest };
}

/** Writes the manifest of a release volume, and its entry in the index and the catalog. */
export async function assembleVolume(
  parts: EngineParts,
  recipe: Recipe,
  layer: RecipeLayer,
  volume: VolumeContent,
  lineage: Lineage,
  outcome: Outcome,
): Promise<BakedImage> {
  const { config, manifest } = volumeManifest(parts, recipe, layer, volume, { hermetic: outcome.hermetic, parameters: lineage.parameters });
  const stored = putManifest(parts, layer, config, manifest);
  const result = {
    kind: "volume",
    layer: layer.name,
    name: `${recipe.name}/${layer.name}`,
    digest: stored.digest,
    sizeBytes: volume.record.sizeBytes,
    ...taken(parts, outcome),
  } as const;
  await publish(parts, result, stored.sizeBytes, { ...manifest.annotations, ...baseReference(layer) }, lineage, volume.root);
  return result;
}

/** Nothing is written when the same image stands under this name already: a bake that changes nothing changes nothing. */
export async function publish(
  parts: EngineParts,
  image: BakedImage,
  manifestBytes: number,
  annotations: Annotations,
  lineage: Lineage,
  parent: ImageDigest | undefined,
): Promise<void> {
  const { images } = parts.store;
  if (images.entries().some((entry) => entry.digest === image.digest && entry.annotations[ANNOTATIONS.name] === image.name)) return;
  const bakedAt = parts.clock.now().toISOString();
  const entry: IndexEntry = {
    mediaType: MEDIA_TYPES.manifest,
    digest: image.digest,
    size: manifestBytes,
    ...(image.kind === "image" ? {} : { artifactType: MEDIA_TYPES[image.kind] }),
    annotations: {
      ...annotations,
      [ANNOTATIONS.name]: image.name,
      [ANNOTATIONS.bakedBy]: lineage.by,
      [ANNOTATIONS.bakedAt]: bakedAt,
      [ANNOTATIONS.bake]: lineage.bake,
      [ANNOTATIONS.tool]: lineage.tool,
      [ANNOTATIONS.recipeDigest]: lineage.recipeDigest,
      ...(lineage.lockDigest === undefined ? {} : { [ANNOTATIONS.lockDigest]: lineage.lockDigest }),
    },
  };
  await images.put([entry]);
  parts.reach("index-written", image.layer);
  await parts.catalog().putImages([catalogImage(image, lineage, parent, bakedAt, annotations)]);
  parts.reach("catalog-written", image.layer);
}

const catalogImage = (
  image: BakedImage,
  lineage: Lineage,
  parent: ImageDigest | undefined,
  bakedAt: string,
  annotations: Annotations,
): CatalogImage => ({
  digest: image.digest,
  kind: image.kind,
  name: image.name,
  recipe: annotations[ANNOTATIONS.recipe] ?? "",
  layer: image.layer,
  ...(parent === undefined ? {} : { parent }),
  hermetic: image.hermetic,
  sizeBytes: image.sizeBytes,
  bakedAt,
  bakedBy: lineage.by,
  bake: lineage.bake,
  tool: lineage.tool,
  recipeDigest: lineage.recipeDigest,
  ...(lineage.lockDigest === undefined ? {} : { lockDigest: lineage.lockDigest }),
  parameters: JSON.parse(annotations[ANNOTATIONS.parameters] ?? "{}") as Lineage["parameters"],
});

function imageConfig(
  recipe: Recipe,
  layer: RecipeLayer,
  content: LayerContent,
  created: string,
  images: EngineParts["store"]["images"],
  parent: ImageDigest | undefined,
): ImageConfig {
  const labels = Object.assign({}, ...layerChain(recipe, layer).map((below) => below.image.labels)) as Annotations;
  const foreign = content.diffs.length - content.steps.length; // diffs of a parent from outside of the recipe
  return {
    created,
    architecture: "amd64",
    os: "linux",
    config: {
      ...(layer.image.ports.length === 0
        ? {}
        : { ExposedPorts: Object.fromEntries(layer.image.ports.map((port) => [port.includes("/") ? port : `${port}/tcp`, {}])) }),
      ...(Object.keys(labels).length === 0 ? {} : { Labels: labels }),
      ...(layer.image.entry === undefined ? {} : { Entrypoint: ["/sbin/init"], StopSignal: "SIGRTMIN+3" }),
    },
    rootfs: { type: "layers", diff_ids: content.diffs },
    history: [
      ...(foreign > 0 && parent !== undefined ? images.config(parent).history.slice(0, foreign) : []),
      ...content.steps.map(({ bound }) => ({
        created,
        created_by: `bakehouse ${bound.step.address} (${bound.step.id})`,
        comment: bound.definition.summary,
      })),
    ],
  };
}
