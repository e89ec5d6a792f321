import { checksOf, secretsOf, type Declaration, type DeclaredCheck, type LayerCheck } from "../core/checks/declared-check.ts";
import type { ImageDigest } from "../core/digest.ts";
import { BakehouseError } from "../core/errors.ts";
import { ANNOTATIONS } from "../core/image/oci.ts";
import { canonicalJson } from "../core/json.ts";
import { PREDICATES } from "../core/papers/statement.ts";
import type { Recipe, RecipeLayer } from "../core/recipe/model.ts";
import type { InputHasher } from "../ports/host.ts";
import type { Papers } from "../ports/papers.ts";
import type { BakedImage } from "./assemble-image.ts";
import { layerChain } from "./bound-recipe.ts";
import type { EngineParts } from "./parts.ts";

/** Says of a declaration what it holds, so that nobody need read it to see that it is the same. */
const CONTENT = "dev.bakehouse.checks.content";
/** What a script that travels with an image may hold. */
const MOST_FILE_BYTES = 64 * 1024;

/** What an image promises to pass; undefined when its bake declared nothing, or nobody here can read it. */
export function declarationOf(papers: Papers, image: ImageDigest): Declaration | undefined {
  for (const paper of papers.of(image, PREDICATES.declaredChecks)) {
    const { trust, statement } = papers.read<Declaration>(paper);
    if (trust === "signed" && statement !== undefined) return statement.predicate;
  }
  return undefined;
}

/** The same, for who must not take "nobody here can read it" for "nothing". @throws PAPERS_INVALID */
export function requireDeclaration(papers: Papers, image: ImageDigest, name: string): Declaration | undefined {
  const declaration = declarationOf(papers, image);
  if (declaration !== undefined || papers.of(image, PREDICATES.declaredChecks).length === 0) return declaration;
  throw new BakehouseError("PAPERS_INVALID", `What ${name} has to pass is declared, but signed by no key that is trusted here`, {
    hint: "bakehouse key list shows who is trusted; bakehouse bake --no-cache declares it again",
  });
}

type Parts = Pick<EngineParts, "papers" | "hasher" | "clock" | "store">;
type FileHasher = Pick<InputHasher, "hash">;

/**
 * Attaches to each image what it promises, unless that is what it promises already. Checks change no image, so a bake with
 * nothing to do still says so when they are other ones.
 *
 * @param hasher  told of every file that was read, so that the next bake sees when one of them is another
 */
export async function declareChecks(parts: Parts, recipe: Recipe, images: readonly BakedImage[], hasher: FileHasher): Promise<void> {
  for (const image of images) {
    const layer = recipe.layers.find(({ name }) => name === image.layer);
    if (layer === undefined) continue;
    const chain = layerChain(recipe, layer);
    const declaration: Declaration = {
      recipe: recipe.name,
      layer: layer.name,
      checks: checksOf(chain, inheritedFrom(parts, chain, images)).map((check) => withFiles(parts, recipe, check, hasher)),
      secrets: secretsOf(recipe, chain),
    };
    const content = parts.hasher.digestOf(canonicalJson(declaration));
    const [newest] = parts.papers.of(image.digest, PREDICATES.declaredChecks);
    const isSaid =
      newest === undefined
        ? declaration.checks.length === 0
        : newest.annotations[CONTENT] === content && parts.papers.read(newest).trust === "signed";
    if (isSaid) continue;
    // With the time, so that going back to an earlier declaration is a newer paper.
    const predicate = { ...declaration, declaredAt: parts.clock.now().toISOString() };
    await parts.papers.attach(image, PREDICATES.declaredChecks, predicate, { [CONTENT]: content });
  }
}

/** What the image below the lowest layer promises, when it comes from outside of the recipe. */
function inheritedFrom(parts: Parts, chain: readonly RecipeLayer[], images: readonly BakedImage[]): readonly DeclaredCheck[] {
  const [lowest] = chain;
  if (lowest?.from === undefined || "layer" in lowest.from) return [];
  const image = images.find(({ layer }) => layer === lowest.name);
  const parent = image && parts.store.images.manifest(image.digest).annotations?.[ANNOTATIONS.baseDigest];
  const declared = parent === undefined ? undefined : declarationOf(parts.papers, parent as ImageDigest);
  return (declared?.checks ?? []).map((check) => ({
    ...check,
    layer: check.layer.includes("/") ? check.layer : `${declared?.recipe ?? ""}/${check.layer}`,
  }));
}

/** With the content of the files that it takes along. */
function withFiles(parts: Parts, recipe: Recipe, { replaces: _, paths, ...check }: LayerCheck, hasher: FileHasher): DeclaredCheck {
  if (paths.length === 0) return check;
  const requests = paths.map((path) => ({ path }));
  hasher.hash(recipe.folder, requests);
  const inputs = parts.hasher.inputs(recipe.folder, requests);
  return { ...check, files: Object.fromEntries(paths.map((path) => [path, scriptText(inputs.readText(path), path, check)])) };
}

function scriptText(text: string, path: string, check: DeclaredCheck): string {
  if (new TextEncoder().encode(text).length <= MOST_FILE_BYTES) return text;
  throw new BakehouseError("INPUT_INVALID", `${path} of check ${check.layer}/${check.name} is larger than 64 KiB`, {
    hint: "a check takes a script along, not what it works with: put that into the image",
  });
}
