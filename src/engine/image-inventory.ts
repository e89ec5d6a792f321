import { imagePathOf, mergeLayers, type TreeEntry } from "../core/layer/merge-layers.ts";
import { isInventorySource, takeInventory, type Inventory } from "../core/papers/inventory.ts";
import type { DescribedImage } from "../core/papers/spdx.ts";
import type { ImageTrees } from "../ports/image-trees.ts";
import type { ImageContent } from "./image-content.ts";
import { listTree } from "./image-files.ts";

/** Digests of files that are known from somewhere that can be trusted: of all that the merged layers show, by path. */
export interface KnownDigests {
  readonly layers: ReadonlySet<string>;
  readonly files: ReadonlyMap<string, { readonly sha256: string; readonly sha1: string }>;
}

/**
 * What is in an image, from its layers (and volume) alone: every file hashed, packages from dpkg's own files.
 *
 * @param options.known  of the image below: what these layers show there is what they show here, where nothing lies above
 */
export async function imageInventory(
  trees: ImageTrees,
  content: ImageContent,
  options: { readonly known?: KnownDigests; readonly signal?: AbortSignal } = {},
): Promise<Inventory> {
  const { known, signal } = options;
  const listed = async (unhashed: ReadonlySet<string>): Promise<readonly TreeEntry[]> =>
    mergeLayers(
      await listTree(
        trees,
        content.source,
        { hash: true, sha1: true, wantsContent: isInventorySource, ...(signal === undefined ? {} : { signal }) },
        unhashed,
      ),
    );
  const filled = known === undefined ? undefined : filledIn(await listed(known.layers), known);
  return takeInventory(filled ?? (await listed(new Set())));
}

/** Undefined when something is not known after all. */
function filledIn(tree: readonly TreeEntry[], { files }: KnownDigests): readonly TreeEntry[] | undefined {
  const filled: TreeEntry[] = [];
  for (const entry of tree) {
    const digests = entry.kind === "file" && entry.sha256 === undefined ? files.get(imagePathOf(entry)) : {};
    if (digests === undefined) return undefined;
    filled.push({ ...entry, ...digests });
  }
  return filled;
}

/** As bills of materials name it. */
export const describedImage = ({ entry, name, config }: ImageContent, tool: string): DescribedImage => ({
  name,
  digest: entry.digest,
  created: config.created,
  tool,
});
