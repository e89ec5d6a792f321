import type { DiffId, ImageDigest, Sha256 } from "../digest.ts";

/** Shapes of the OCI image specification 1.1, as far as Bakehouse writes and reads them. */
export const MEDIA_TYPES = {
  index: "application/vnd.oci.image.index.v1+json",
  manifest: "application/vnd.oci.image.manifest.v1+json",
  config: "application/vnd.oci.image.config.v1+json",
  layer: "application/vnd.oci.image.layer.v1.tar",
  empty: "application/vnd.oci.empty.v1+json",
  /** Artifact type of a release volume, and the media type of its one blob. */
  volume: "application/vnd.bakehouse.volume.v1",
  erofs: "application/vnd.bakehouse.volume.v1+erofs",
  /** Artifact type of what a machine needs at launch, and the media type of its payload. */
  launch: "application/vnd.bakehouse.launch.v1",
  payload: "application/vnd.bakehouse.launch.v1+tar",
} as const;

export type Annotations = Readonly<Record<string, string>>;

export interface Descriptor {
  readonly mediaType: string;
  readonly digest: Sha256;
  readonly size: number;
  readonly annotations?: Annotations;
  readonly artifactType?: string;
}

export interface ImageManifest {
  readonly schemaVersion: 2;
  readonly mediaType: string;
  readonly artifactType?: string;
  readonly config: Descriptor;
  readonly layers: readonly Descriptor[];
  /** For a volume: the root image that it belongs to. For a paper: the image that it is about. */
  readonly subject?: Descriptor;
  readonly annotations?: Annotations;
}

export interface HistoryEntry {
  readonly created: string;
  readonly created_by: string;
  readonly comment?: string;
}

export interface ImageConfig {
  readonly created: string;
  readonly architecture: "amd64";
  readonly os: "linux";
  readonly config: {
    readonly Entrypoint?: readonly string[];
    readonly ExposedPorts?: Readonly<Record<string, Record<string, never>>>;
    readonly Labels?: Annotations;
    readonly StopSignal?: string;
  };
  readonly rootfs: { readonly type: "layers"; readonly diff_ids: readonly DiffId[] };
  readonly history: readonly HistoryEntry[];
}

/** One image or volume in index.json, with its lineage in annotations. */
export interface IndexEntry extends Descriptor {
  readonly digest: ImageDigest;
  readonly annotations: Annotations;
}

/** Annotation keys. Those in a manifest are part of the image and the same for every baker; those in the index say who and when. */
export const ANNOTATIONS = {
  name: "org.opencontainers.image.ref.name",
  created: "org.opencontainers.image.created",
  baseDigest: "org.opencontainers.image.base.digest",
  /** Beside the image, never in it: what the recipe wrote for the parent when that was an image, such as `shop-base@stable`. */
  baseReference: "dev.bakehouse.base.reference",
  title: "org.opencontainers.image.title",
  recipe: "dev.bakehouse.recipe",
  layer: "dev.bakehouse.layer",
  hermetic: "dev.bakehouse.hermetic",
  parameters: "dev.bakehouse.parameters",
  entry: "dev.bakehouse.entry",
  users: "dev.bakehouse.users",
  volumePath: "dev.bakehouse.volume.path",
  contentDigest: "dev.bakehouse.volume.content",
  /** In layouts that are exported: the digest of the content that every format of the image has. */
  artifactContent: "dev.bakehouse.content",
  recipeDigest: "dev.bakehouse.recipe.digest",
  lockDigest: "dev.bakehouse.lock.digest",
  bakedBy: "dev.bakehouse.baked.by",
  bakedAt: "dev.bakehouse.baked.at",
  bake: "dev.bakehouse.bake",
  tool: "dev.bakehouse.tool",
  /** The name that an image had when it was baked, kept when the name has moved on to a newer one. */
  bakedName: "dev.bakehouse.name",
  imported: "dev.bakehouse.imported",
  /** When it was brought back after gc had set it aside. */
  restored: "dev.bakehouse.restored",
  /** Of a paper: what kind of statement its envelope holds (as in-toto's other carriers call it). */
  predicateType: "in-toto.io/predicate-type",
} as const;
