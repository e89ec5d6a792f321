import { BakehouseError } from "../core/errors.ts";
import { ANNOTATIONS, type IndexEntry } from "../core/image/oci.ts";
import { changeReport, type ReportedImage } from "../core/papers/change-report.ts";
import { PREDICATES } from "../core/papers/statement.ts";
import type { ImageTrees } from "../ports/image-trees.ts";
import type { Papers } from "../ports/papers.ts";
import type { Store } from "../ports/store.ts";
import { compareImages, type ComparedImage } from "./compare-images.ts";
import { findImage, nameOf } from "./find-image.ts";
import { catalogImageOf } from "./images-from-store.ts";

export interface ReportParts {
  readonly store: Store;
  readonly trees: ImageTrees;
  readonly papers: Papers;
}

/**
 * A Markdown report of what changed between two images.
 *
 * @param options.since  default the image that had the same name before
 * @throws IMAGE_NOT_FOUND (also when there is none before), REFERENCE_AMBIGUOUS, STORE_DAMAGED
 */
export async function reportChanges(
  parts: ReportParts,
  reference: string,
  options: { readonly since?: string; readonly signal?: AbortSignal } = {},
): Promise<{ readonly before: string; readonly after: string; readonly markdown: string }> {
  const after = findImage(parts.store, reference);
  const before = options.since === undefined ? predecessor(parts.store, after) : findImage(parts.store, options.since);
  const comparison = await compareImages(
    parts,
    before.digest,
    after.digest,
    options.signal === undefined ? {} : { signal: options.signal },
  );
  const markdown = changeReport({
    ...comparison,
    ...comparison.sbom,
    ...comparison.system,
    before: reported(parts, before, comparison.before),
    after: reported(parts, after, comparison.after),
  });
  return { before: before.digest, after: after.digest, markdown };
}

function predecessor(store: Store, entry: IndexEntry): IndexEntry {
  const bakedAt = (each: IndexEntry): string => catalogImageOf(each, 0).bakedAt;
  const name = nameOf(entry);
  const [found] = store.images
    .entries()
    .filter((each) => nameOf(each) === name && each.digest !== entry.digest && bakedAt(each) <= bakedAt(entry))
    .sort((a, b) => (bakedAt(a) < bakedAt(b) ? 1 : -1));
  if (found !== undefined) return found;
  throw new BakehouseError("IMAGE_NOT_FOUND", `No image was called ${name} before this one`, {
    hint: `bakehouse image report ${name} --since OTHER`,
  });
}

function reported({ papers }: ReportParts, entry: IndexEntry, compared: ComparedImage): ReportedImage {
  const { name, digest, bakedAt, bakedBy, hermetic } = catalogImageOf(entry, 0);
  const trusted = (type: (typeof PREDICATES)[keyof typeof PREDICATES]): unknown =>
    papers
      .of(digest, type)
      .map((paper) => papers.read(paper))
      .find(({ trust }) => trust === "signed")?.statement?.predicate;
  const { verdict } = (trusted(PREDICATES.checks) ?? {}) as { readonly verdict?: string };
  return {
    name,
    digest,
    bakedAt,
    bakedBy: entry.annotations[ANNOTATIONS.bakedBy] === undefined ? "unknown" : bakedBy,
    hermetic,
    sizeBytes: compared.sizeBytes,
    packages: compared.packages,
    signed: trusted(PREDICATES.provenance) !== undefined,
    ...(verdict === undefined ? {} : { checks: verdict }),
  };
}
