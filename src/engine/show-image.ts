import type { ImageDigest, Sha256 } from "../core/digest.ts";
import { ANNOTATIONS, type Annotations, type IndexEntry } from "../core/image/oci.ts";
import type { CatalogImage } from "../ports/catalog.ts";
import type { Clock } from "../ports/host.ts";
import type { Store } from "../ports/store.ts";
import { nameOf } from "./find-image.ts";
import { imageMarks, type ImageMarks } from "./image-marks.ts";
import { catalogImageOf } from "./images-from-store.ts";
import { layersOf, readImage, type ImageLayer } from "./image-content.ts";

/** An image on the way from the foundation up. */
export interface LineageLink {
  readonly digest: ImageDigest;
  readonly name: string;
  readonly kind: CatalogImage["kind"];
  readonly bakedAt?: string;
  /** False when the image is not in this store (it was imported without its parents, or removed). */
  readonly here: boolean;
}

export interface ImageDetails extends CatalogImage, ImageMarks {
  readonly current: boolean;
  /** Newest time in the image: that of its packages, not of the bake. */
  readonly created: string;
  readonly architecture: string;
  readonly configDigest: Sha256;
  /** systemd unit that is the app. */
  readonly entry?: string;
  readonly ports: readonly string[];
  readonly users: readonly string[];
  readonly labels: Annotations;
  readonly imported?: string;
  readonly volume?: { readonly path: string; readonly blob: Sha256; readonly root: ImageDigest; readonly rootName: string };
  /** From the foundation to this image, itself last. */
  readonly lineage: readonly LineageLink[];
  /** Images and volumes that were baked onto this one. */
  readonly children: readonly LineageLink[];
  readonly layers: readonly ImageLayer[];
}

/** Everything that is known about one image. @throws IMAGE_NOT_FOUND, REFERENCE_AMBIGUOUS, STORE_DAMAGED */
export function showImage(
  { store, clock }: { readonly store: Store; readonly clock: Pick<Clock, "now"> },
  reference: string,
): ImageDetails {
  const content = readImage(store, reference);
  const { entry, manifest, config, source } = content;
  const entries = store.images.entries();
  const annotations: Annotations = { ...manifest.annotations, ...entry.annotations };
  const appUnit = annotations[ANNOTATIONS.entry];
  const imported = annotations[ANNOTATIONS.imported];
  return {
    ...catalogImageOf(
      { ...entry, annotations },
      manifest.layers.reduce((sum, layer) => sum + layer.size, 0),
    ),
    current: entry.annotations[ANNOTATIONS.name] !== undefined,
    ...imageMarks(store, clock)(entry.digest),
    created: config.created,
    architecture: config.architecture,
    configDigest: manifest.config.digest,
    ...(appUnit === undefined ? {} : { entry: appUnit }),
    ports: Object.keys(config.config.ExposedPorts ?? {}),
    users: (annotations[ANNOTATIONS.users] ?? "").split(",").filter((user) => user !== ""),
    labels: config.config.Labels ?? {},
    ...(imported === undefined ? {} : { imported }),
    ...(source.volume === undefined || content.root === undefined
      ? {}
      : { volume: { ...source.volume, root: content.root, rootName: nameOfDigest(entries, content.root) } }),
    lineage: lineageOf(entries, entry),
    children: entries
      .filter((other) => other.annotations[ANNOTATIONS.baseDigest] === entry.digest)
      .map((other) => linkOf(other.digest, other)),
    layers: layersOf(store, content),
  };
}

/** The images that one was baked onto, the foundation first, itself last. A parent that is not here ends the line. */
export function lineageOf(entries: readonly IndexEntry[], entry: IndexEntry): readonly LineageLink[] {
  const byDigest = new Map(entries.map((each) => [each.digest, each]));
  const line: LineageLink[] = [];
  const seen = new Set<string>();
  let digest: ImageDigest | undefined = entry.digest;
  while (digest !== undefined && !seen.has(digest)) {
    seen.add(digest);
    const at: IndexEntry | undefined = byDigest.get(digest);
    line.unshift(linkOf(digest, at));
    digest = at?.annotations[ANNOTATIONS.baseDigest] as ImageDigest | undefined;
  }
  return line;
}

export function linkOf(digest: ImageDigest, entry: IndexEntry | undefined): LineageLink {
  if (entry === undefined) return { digest, name: "", kind: "image", here: false };
  const { name, kind, bakedAt } = catalogImageOf(entry, 0);
  return { digest, name, kind, bakedAt, here: true };
}

const nameOfDigest = (entries: readonly IndexEntry[], digest: ImageDigest): string => {
  const found = entries.find((entry) => entry.digest === digest);
  return found === undefined ? "" : nameOf(found);
};
