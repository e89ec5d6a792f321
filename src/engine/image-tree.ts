import type { ImageDigest } from "../core/digest.ts";
import { ANNOTATIONS, type IndexEntry } from "../core/image/oci.ts";
import type { ImageKind } from "../ports/catalog.ts";
import type { Clock } from "../ports/host.ts";
import type { Store } from "../ports/store.ts";
import { imageMarks, type ImageMarks } from "./image-marks.ts";
import { catalogImageOf } from "./images-from-store.ts";

export interface ImageBranch extends ImageMarks {
  readonly digest: ImageDigest;
  readonly name: string;
  readonly kind: ImageKind;
  readonly bakedAt: string;
  readonly hermetic: boolean;
  /** Whether the name stands for this image now. */
  readonly current: boolean;
  /** A parent that is not in this store. */
  readonly missingParent?: ImageDigest;
  /** By name, then the newest first. */
  readonly children: readonly ImageBranch[];
}

/**
 * All images by what they were baked onto.
 *
 * @param options.all  also images whose name has moved on; those that something current stands on, or that are in a channel, are always there
 */
export function imageTree(
  { store, clock }: { readonly store: Store; readonly clock: Pick<Clock, "now"> },
  options: { readonly all: boolean },
): readonly ImageBranch[] {
  const marksOf = imageMarks(store, clock);
  const entries = store.images.entries();
  const here = new Set(entries.map(({ digest }) => digest));
  const childrenOf = new Map<string | undefined, IndexEntry[]>();
  for (const entry of entries) {
    const parent = entry.annotations[ANNOTATIONS.baseDigest];
    const under = parent !== undefined && here.has(parent as ImageDigest) && parent !== entry.digest ? parent : undefined;
    childrenOf.set(under, [...(childrenOf.get(under) ?? []), entry]);
  }
  const branches = (parent: string | undefined): readonly ImageBranch[] =>
    (childrenOf.get(parent) ?? [])
      .map((entry): ImageBranch => ({ ...branchOf(entry, here, branches(entry.digest)), ...marksOf(entry.digest) }))
      .filter((branch) => options.all || branch.current || branch.channels !== undefined || branch.children.length > 0)
      .sort(byName);
  return branches(undefined);
}

function branchOf(entry: IndexEntry, here: ReadonlySet<ImageDigest>, children: readonly ImageBranch[]): ImageBranch {
  const { digest, name, kind, bakedAt, hermetic, parent } = catalogImageOf(entry, 0);
  return {
    digest,
    name,
    kind,
    bakedAt,
    hermetic,
    current: entry.annotations[ANNOTATIONS.name] !== undefined,
    ...(parent === undefined || here.has(parent) ? {} : { missingParent: parent }),
    children,
  };
}

function byName(a: ImageBranch, b: ImageBranch): number {
  if (a.name !== b.name) return a.name < b.name ? -1 : 1;
  return a.bakedAt < b.bakedAt ? 1 : -1;
}
