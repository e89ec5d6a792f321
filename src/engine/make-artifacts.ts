import { isDiskFormat, type RecipeArtifact } from "../core/recipe/artifacts-section.ts";
import type { ImageDigest } from "../core/digest.ts";
import { shortDigest } from "../core/digest.ts";
import type { Recipe } from "../core/recipe/model.ts";
import { endingOf, exportImage, type ExportImageParts } from "./export-image.ts";
import { readImage } from "./image-content.ts";

export interface MakeArtifactsParts extends ExportImageParts {
  /** Bytes of a file; undefined when there is none. */
  sizeOf(file: string): number | undefined;
}

export interface MakeArtifactsOptions {
  /** Absolute path of the folder that they go to; it exists. */
  readonly folder: string;
  /** Only those of these layers; all when empty. */
  readonly layers: readonly string[];
  /** Make them again, even if they are there. */
  readonly replace: boolean;
  /** Make none, only say which there are. */
  readonly list: boolean;
  readonly signal: AbortSignal;
  readonly onProgress: (file: string, doneBytes: number) => void;
}

export interface MadeArtifact {
  readonly layer: string;
  readonly image: ImageDigest;
  readonly format: RecipeArtifact["format"];
  readonly file: string;
  /** `there`: it was made before; an artifact appears whole or not at all, and its name says what it was made from. */
  readonly state: "made" | "there" | "missing";
  readonly sizeBytes?: number;
}

/**
 * Makes what the recipe's layers declare under `artifacts:`, of the newest image of each. What is there already is not made again:
 * a file is called after image, format and options.
 *
 * @throws IMAGE_NOT_FOUND (a layer that was not baked), and what `exportImage` does
 */
export async function makeArtifacts(
  parts: MakeArtifactsParts,
  recipe: Pick<Recipe, "name" | "layers">,
  options: MakeArtifactsOptions,
): Promise<readonly MadeArtifact[]> {
  const made: MadeArtifact[] = [];
  const layers = recipe.layers.filter(({ name }) => options.layers.length === 0 || options.layers.includes(name));
  for (const layer of layers)
    for (const artifact of layer.artifacts)
      made.push(await makeArtifact(parts, `${recipe.name}/${layer.name}`, layer.name, artifact, options));
  return made;
}

async function makeArtifact(
  parts: MakeArtifactsParts,
  reference: string,
  layer: string,
  artifact: RecipeArtifact,
  { folder, replace, list, signal, onProgress }: MakeArtifactsOptions,
): Promise<MadeArtifact> {
  const { entry } = readImage(parts.store, reference);
  const file = `${folder}/${reference.replaceAll("/", "-")}-${shortDigest(entry.digest)}${marksOf(artifact)}${endingOf(artifact.format)}`;
  const about = { layer, image: entry.digest, format: artifact.format, file };
  const there = replace ? undefined : parts.sizeOf(file);
  if (there !== undefined) return { ...about, state: "there", sizeBytes: there };
  if (list) return { ...about, state: "missing" };
  const { sizeBytes } = await exportImage(parts, entry.digest, {
    format: artifact.format,
    output: file,
    folder,
    replace: true,
    volumeOnly: false,
    disk: artifact,
    signal,
    onProgress: (done) => onProgress(file, done),
  });
  return { ...about, state: "made", sizeBytes };
}

/** What sets it apart from another one of the same image and format. */
function marksOf({ format, root, sizeBytes, dataBytes, append }: RecipeArtifact): string {
  if (!isDiskFormat(format)) return "";
  const words = append.map((word) => word.replaceAll(/[^\w.=,-]/g, "_"));
  const gib = (bytes: number): string => `${bytes / 1024 ** 3}GiB`;
  return ["", root, ...(sizeBytes > 0 ? [gib(sizeBytes)] : []), ...(dataBytes > 0 ? [`data-${gib(dataBytes)}`] : []), ...words].join("-");
}
