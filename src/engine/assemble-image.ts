import { ANNOTATIONS, MEDIA_TYPES, type Annotations, type Descriptor, type ImageConfig, type ImageManifest, type IndexEntry } from "../core/image/oci.ts";
import type { DiffId, ImageDigest, Sha256 } from "../core/digest.ts";
import { canonicalJson } from "../core/json.ts";
import type { ParameterValue, Recipe, RecipeLayer } from "../core/recipe/model.ts";
import type { CatalogImage } from "../ports/catalog.ts";
import type { StepRecord } from "../ports/store.ts";
import type { BoundStep } from "./bound-recipe.ts";
import { layerChain } from "./bound-recipe.ts";
import type { EngineParts } from "./parts.ts";

export interface BakedImage {
  readonly kind: "image" | "volume";
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

/** Writes config and manifest of an image, and its entry in the index and the catalog. */
export async function assembleImage(parts: EngineParts, recipe: Recipe, layer: RecipeLayer, content: LayerContent, lineage: Lineage, outcome: Outcome & { readonly parent: ImageDigest | undefined }): Promise<BakedImage> {
  const { blobs } = parts.store;
  const created = new Date(content.epochSeconds * 1000).toISOString().replace(".000Z", "Z");
  const config = blobs.putJson(imageConfig(recipe, layer, content, created, parts.store.images, outcome.parent));
  const layers = content.diffs.map((diff): Descriptor => ({ mediaType: MEDIA_TYPES.layer, digest: diff, size: blobs.sizeBytes(diff) }));
  const annotations: Annotations = {
    [ANNOTATIONS.created]: created,
    [ANNOTATIONS.title]: `${recipe.name}/${layer.name}`,
    [ANNOTATIONS.recipe]: recipe.name,
    [ANNOTATIONS.layer]: layer.name,
    [ANNOTATIONS.hermetic]: String(outcome.hermetic),
    ...(outcome.parent === undefined ? {} : { [ANNOTATIONS.baseDigest]: outcome.parent }),
    ...(layer.image.entry === undefined ? {} : { [ANNOTATIONS.entry]: layer.image.entry }),
    ...(layer.image.users.length === 0 ? {} : { [ANNOTATIONS.users]: layer.image.users.join(",") }),
    ...(recipe.parameters.length === 0 ? {} : { [ANNOTATIONS.parameters]: canonicalJson(lineage.parameters) }),
  };
  const manifest: ImageManifest = { schemaVersion: 2, mediaType: MEDIA_TYPES.manifest, config: { mediaType: MEDIA_TYPES.config, digest: config.digest, size: config.sizeBytes }, layers, annotations };
  const stored = blobs.putJson(manifest);
  const sizeBytes = layers.reduce((sum, entry) => sum + entry.size, 0);
  const result = { kind: "image", layer: layer.name, name: `${recipe.name}/${layer.name}`, digest: stored.digest, sizeBytes, ...taken(parts, outcome) } as const;
  await publish(parts, result, stored.sizeBytes, annotations, lineage, outcome.parent);
  return result;
}

const taken = (parts: EngineParts, outcome: Outcome): { readonly cached: boolean; readonly hermetic: boolean; readonly durationMs: number } => ({
  cached: outcome.cached,
  hermetic: outcome.hermetic,
  durationMs: Math.round(parts.clock.elapsedMs() - outcome.startedMs),
});

/** Writes the manifest of a release volume: an OCI artifact whose subject is the root image. */
export async function assembleVolume(parts: EngineParts, recipe: Recipe, layer: RecipeLayer, volume: { readonly record: StepRecord; readonly root: ImageDigest; readonly path: string }, lineage: Lineage, outcome: Outcome): Promise<BakedImage> {
  const { blobs } = parts.store;
  const empty = blobs.putJson({});
  const annotations: Annotations = {
    [ANNOTATIONS.title]: `${recipe.name}/${layer.name}`,
    [ANNOTATIONS.recipe]: recipe.name,
    [ANNOTATIONS.layer]: layer.name,
    [ANNOTATIONS.hermetic]: String(outcome.hermetic),
    [ANNOTATIONS.baseDigest]: volume.root,
    [ANNOTATIONS.volumePath]: volume.path,
    ...(layer.image.entry === undefined ? {} : { [ANNOTATIONS.entry]: layer.image.entry }),
    ...(recipe.parameters.length === 0 ? {} : { [ANNOTATIONS.parameters]: canonicalJson(lineage.parameters) }),
  };
  const manifest: ImageManifest = {
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.manifest,
    artifactType: MEDIA_TYPES.volume,
    config: { mediaType: MEDIA_TYPES.empty, digest: empty.digest, size: empty.sizeBytes },
    layers: [{ mediaType: MEDIA_TYPES.erofs, digest: volume.record.diffId, size: volume.record.sizeBytes }],
    subject: { mediaType: MEDIA_TYPES.manifest, digest: volume.root, size: blobs.sizeBytes(volume.root) },
    annotations,
  };
  const stored = blobs.putJson(manifest);
  const result = { kind: "volume", layer: layer.name, name: `${recipe.name}/${layer.name}`, digest: stored.digest, sizeBytes: volume.record.sizeBytes, ...taken(parts, outcome) } as const;
  await publish(parts, result, stored.sizeBytes, annotations, lineage, volume.root);
  return result;
}

/** Nothing is written when the same image stands under this name already: a bake that changes nothing changes nothing. */
async function publish(parts: EngineParts, image: BakedImage, manifestBytes: number, annotations: Annotations, lineage: Lineage, parent: ImageDigest | undefined): Promise<void> {
  const { images } = parts.store;
  if (images.entries().some((entry) => entry.digest === image.digest && entry.annotations[ANNOTATIONS.name] === image.name)) return;
  const bakedAt = parts.clock.now().toISOString();
  const entry: IndexEntry = {
    mediaType: MEDIA_TYPES.manifest,
    digest: image.digest,
    size: manifestBytes,
    ...(image.kind === "volume" ? { artifactType: MEDIA_TYPES.volume } : {}),
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
  await parts.catalog().putImages([catalogImage(image, lineage, parent, bakedAt, annotations)]);
}

const catalogImage = (image: BakedImage, lineage: Lineage, parent: ImageDigest | undefined, bakedAt: string, annotations: Annotations): CatalogImage => ({
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
  parameters: lineage.parameters,
});

function imageConfig(recipe: Recipe, layer: RecipeLayer, content: LayerContent, created: string, images: EngineParts["store"]["images"], parent: ImageDigest | undefined): ImageConfig {
  const labels = Object.assign({}, ...layerChain(recipe, layer).map((below) => below.image.labels)) as Annotations;
  const foreign = content.diffs.length - content.steps.length; // diffs of a parent from outside of the recipe
  return {
    created,
    architecture: "amd64",
    os: "linux",
    config: {
      ...(layer.image.ports.length === 0 ? {} : { ExposedPorts: Object.fromEntries(layer.image.ports.map((port) => [port.includes("/") ? port : `${port}/tcp`, {}])) }),
      ...(Object.keys(labels).length === 0 ? {} : { Labels: labels }),
      ...(layer.image.entry === undefined ? {} : { Entrypoint: ["/sbin/init"], StopSignal: "SIGRTMIN+3" }),
    },
    rootfs: { type: "layers", diff_ids: content.diffs },
    history: [
      ...(foreign > 0 && parent !== undefined ? images.config(parent).history.slice(0, foreign) : []),
      ...content.steps.map(({ bound }) => ({ created, created_by: `bakehouse ${bound.step.address} (${bound.step.id})`, comment: bound.definition.summary })),
    ],
  };
}
