import type { ImageDigest, Sha256 } from "../core/digest.ts";
import { ANNOTATIONS, type Annotations, type IndexEntry } from "../core/image/oci.ts";
import type { ParameterValue } from "../core/recipe/model.ts";
import type { CatalogImage } from "../ports/catalog.ts";
import type { Store } from "../ports/store.ts";
import { nameOf } from "./find-image.ts";
import { kindOf } from "./image-content.ts";

/** Everything that the catalog knows about images, read from the store itself. Images whose manifest cannot be read are left out. */
export function imagesFromStore(store: Store): readonly CatalogImage[] {
  return store.images.entries().flatMap((entry) => {
    const sizeBytes = imageSize(store, entry.digest);
    return sizeBytes === undefined ? [] : [catalogImageOf(entry, sizeBytes)];
  });
}

/** Bytes of all layer tars, or of the volume; undefined when the manifest is missing or damaged. */
export function imageSize(store: Store, digest: ImageDigest): number | undefined {
  try {
    return store.images.manifest(digest).layers.reduce((sum, layer) => sum + layer.size, 0);
  } catch {
    return undefined;
  }
}

export function catalogImageOf(entry: IndexEntry, sizeBytes: number): CatalogImage {
  const { annotations } = entry;
  const optional = (key: "parent" | "recipeDigest" | "lockDigest", value: string | undefined): Record<string, Sha256> =>
    value === undefined ? {} : { [key]: value as Sha256 };
  return {
    digest: entry.digest,
    kind: kindOf(entry),
    name: nameOf(entry),
    recipe: annotations[ANNOTATIONS.recipe] ?? "",
    layer: annotations[ANNOTATIONS.layer] ?? "",
    ...optional("parent", annotations[ANNOTATIONS.baseDigest]),
    hermetic: annotations[ANNOTATIONS.hermetic] === "true",
    sizeBytes,
    bakedAt: bakedAtOf(annotations),
    bakedBy: annotations[ANNOTATIONS.bakedBy] ?? "",
    bake: annotations[ANNOTATIONS.bake] ?? "",
    tool: annotations[ANNOTATIONS.tool] ?? "",
    ...optional("recipeDigest", annotations[ANNOTATIONS.recipeDigest]),
    ...optional("lockDigest", annotations[ANNOTATIONS.lockDigest]),
    parameters: parametersOf(annotations[ANNOTATIONS.parameters]),
  };
}

/** As we write it. Parsing and printing a thousand dates again would take as long as reading the index. */
const ISO_TIME = /^\d{4}-[01]\d-[0-3]\dT[0-2]\d:[0-5]\d:[0-5]\d\.\d{3}Z$/;

/** Images of other makers say when they were created, not when they came here. */
function bakedAtOf(annotations: Annotations): string {
  const said = annotations[ANNOTATIONS.bakedAt] ?? annotations[ANNOTATIONS.created] ?? "";
  if (ISO_TIME.test(said)) return said;
  const time = Date.parse(said);
  return new Date(Number.isNaN(time) ? 0 : time).toISOString();
}

function parametersOf(text: string | undefined): Readonly<Record<string, ParameterValue>> {
  if (text === undefined) return {};
  try {
    const value = JSON.parse(text) as unknown;
    return value !== null && typeof value === "object" && !Array.isArray(value) ? (value as Record<string, ParameterValue>) : {};
  } catch {
    return {};
  }
}
