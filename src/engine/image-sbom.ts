import { cyclonedxDocument } from "../core/papers/cyclonedx.ts";
import { spdxDocument } from "../core/papers/spdx.ts";
import { readImage } from "./image-content.ts";
import { describedImage, imageInventory } from "./image-inventory.ts";
import type { WritePapersParts } from "./write-papers.ts";

export const SBOM_FORMATS = ["spdx", "cyclonedx"] as const;
export type SbomFormat = (typeof SBOM_FORMATS)[number];

/**
 * The bill of materials of an image as a document by itself, neither signed nor kept; the one that `writePapers` attaches.
 *
 * @throws IMAGE_NOT_FOUND, REFERENCE_AMBIGUOUS, STORE_DAMAGED
 */
export async function imageSbom(
  parts: Pick<WritePapersParts, "store" | "trees" | "tool" | "sha1">,
  reference: string,
  options: { readonly format: SbomFormat; readonly signal?: AbortSignal },
): Promise<Record<string, unknown>> {
  const content = readImage(parts.store, reference);
  const inventory = await imageInventory(parts.trees, content, options.signal === undefined ? {} : { signal: options.signal });
  const described = describedImage(content, parts.tool);
  return options.format === "spdx"
    ? spdxDocument(described, inventory, (text) => parts.sha1(text))
    : cyclonedxDocument(described, inventory);
}
