import { mergeLayers, type TreeEntry } from "../core/layer/merge-layers.ts";
import { isInventorySource, takeInventory, type Inventory } from "../core/papers/inventory.ts";
import type { DescribedImage } from "../core/papers/spdx.ts";
import type { ImageTrees } from "../ports/image-trees.ts";
import type { ImageContent } from "./image-content.ts";
import { listTree } from "./image-files.ts";

/** What is in an image, from its layers (and volume) alone: every file hashed, packages from dpkg's own files. */
export async function imageInventory(trees: ImageTrees, content: ImageContent, signal?: AbortSignal): Promise<Inventory> {
  return takeInventory(await inventoryTree(trees, content, signal));
}

const inventoryTree = async (trees: ImageTrees, content: ImageContent, signal?: AbortSignal): Promise<readonly TreeEntry[]> =>
  mergeLayers(
    await listTree(trees, content.source, {
      hash: true,
      sha1: true,
      wantsContent: isInventorySource,
      ...(signal === undefined ? {} : { signal }),
    }),
  );

/** As bills of materials name it. */
export const describedImage = ({ entry, name, config }: ImageContent, tool: string): DescribedImage => ({
  name,
  digest: entry.digest,
  created: config.created,
  tool,
});
