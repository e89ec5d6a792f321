import type { ImageDigest } from "../core/digest.ts";
import { ANNOTATIONS } from "../core/image/oci.ts";
import type { Catalog, CatalogImage } from "../ports/catalog.ts";
import type { Clock } from "../ports/host.ts";
import type { Store } from "../ports/store.ts";
import { nameOf } from "./find-image.ts";
import { imageMarks, type ImageMarks } from "./image-marks.ts";
import { catalogImageOf, imageSize } from "./images-from-store.ts";

export interface ListedImage extends CatalogImage, ImageMarks {
  /** Whether the name stands for this image now; false when it has moved on to a newer one. */
  readonly current: boolean;
  /** Where it came from, when it was not baked here. */
  readonly imported?: string;
  /** What is wrong with it; it cannot be used then. */
  readonly problem?: string;
}

export interface ListImagesParts {
  readonly store: Store;
  readonly clock: Pick<Clock, "now">;
  /** What the catalog has, read the fast way; undefined when it cannot be read or is not there. */
  indexed(): ReadonlyMap<ImageDigest, { readonly name: string; readonly sizeBytes: number }> | undefined;
  /** Opened only when it has to be mended. */
  catalog(): Promise<Pick<Catalog, "putImages" | "removeImages">>;
}

/**
 * The images of a store, newest first. The truth is index.json; the catalog spares reading each manifest. Where the two
 * disagree (a bake that died between them, an image that another program put in or took out) the catalog is mended.
 *
 * @param options.all  also images whose name has moved on to a newer one
 */
export async function listImages(parts: ListImagesParts, options: { readonly all: boolean }): Promise<readonly ListedImage[]> {
  const { store } = parts;
  const indexed = parts.indexed();
  const missing: CatalogImage[] = [];
  const stale = new Set(indexed?.keys());
  const marksOf = imageMarks(store, parts.clock);
  const images = store.images.entries().map((entry): ListedImage => {
    const known = indexed?.get(entry.digest);
    stale.delete(entry.digest);
    const current = entry.annotations[ANNOTATIONS.name] !== undefined;
    const imported = entry.annotations[ANNOTATIONS.imported];
    const more = { current, ...marksOf(entry.digest), ...(imported === undefined ? {} : { imported }) };
    if (known !== undefined && known.name === nameOf(entry)) return { ...catalogImageOf(entry, known.sizeBytes), ...more };
    const sizeBytes = imageSize(store, entry.digest);
    if (sizeBytes === undefined) return { ...catalogImageOf(entry, 0), ...more, problem: "its manifest is missing or damaged" };
    const image = catalogImageOf(entry, sizeBytes);
    missing.push(image);
    return { ...image, ...more };
  });
  if (!store.readOnly && (missing.length > 0 || stale.size > 0)) await mend(parts, missing, [...stale]);
  return images.filter((image) => options.all || image.current).sort(newestFirst);
}

async function mend(parts: ListImagesParts, missing: readonly CatalogImage[], stale: readonly ImageDigest[]): Promise<void> {
  const catalog = await parts.catalog();
  await catalog.putImages(missing);
  await catalog.removeImages(stale);
}

function newestFirst(a: ListedImage, b: ListedImage): number {
  if (a.bakedAt !== b.bakedAt) return a.bakedAt < b.bakedAt ? 1 : -1;
  return a.name < b.name ? -1 : a.name > b.name ? 1 : 0;
}
