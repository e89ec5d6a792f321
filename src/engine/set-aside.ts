import type { ImageDigest } from "../core/digest.ts";
import { shortDigest } from "../core/digest.ts";
import { BakehouseError } from "../core/errors.ts";
import { ANNOTATIONS, type IndexEntry } from "../core/image/oci.ts";
import { STORE_CONTENT_LOCK } from "../core/store-lock.ts";
import type { Catalog } from "../ports/catalog.ts";
import type { Clock } from "../ports/host.ts";
import type { Store } from "../ports/store.ts";
import { catalogImageOf, imageSize } from "./images-from-store.ts";
import { nameOf } from "./find-image.ts";
import { needsOf } from "./references.ts";

/**
 * An image that gc took out of the index, and that can be brought back: what it stands on is kept meanwhile. All of them are in one
 * note of the store, which is written before the index changes and under the same lock, so that after a crash an image is in the
 * index, set aside, or both, and never in neither.
 */
export interface SetAside {
  /** As it stood in the index. */
  readonly entry: IndexEntry;
  /** ISO 8601, UTC. */
  readonly at: string;
  /** From then on it goes with the next gc. */
  readonly until: string;
  readonly why: string;
}

const NOTE = "set-aside.json";

/** Those that are not in the index: what stands there has not gone yet, or was brought back. */
export function listSetAside(store: Store): readonly SetAside[] {
  const there = new Set(store.images.entries().map(({ digest }) => digest));
  return readNote(store).filter(({ entry }) => !there.has(entry.digest));
}

const readNote = (store: Store): readonly SetAside[] => {
  const note = store.readNote(NOTE) as { readonly images?: readonly SetAside[] } | undefined;
  return note?.images ?? [];
};

/** Replaces what was noted about the same images. Only under the lock of the store's contents. */
export function writeSetAside(store: Store, add: readonly SetAside[], remove: readonly ImageDigest[]): void {
  const changed = new Set([...add.map(({ entry }) => entry.digest), ...remove]);
  store.writeNote(NOTE, { images: [...readNote(store).filter(({ entry }) => !changed.has(entry.digest)), ...add] });
}

export interface RestoreParts {
  readonly store: Store;
  readonly clock: Clock;
  catalog(): Promise<Pick<Catalog, "putImages">>;
}

export interface RestoredImage {
  readonly digest: ImageDigest;
  readonly name: string;
  /** It was there all the time, or somebody else brought it back. */
  readonly already: boolean;
}

/**
 * Brings images back that gc set aside, with their lineage and papers. Their names have moved on and stay where they are.
 *
 * @param references  digests, their beginnings, or names: of a name, the image that was set aside last
 * @throws IMAGE_NOT_FOUND (all of them at once), REFERENCE_AMBIGUOUS, STORE_DAMAGED when something that it stands on is gone
 */
export function restoreImages(parts: RestoreParts, references: readonly string[], signal: AbortSignal): Promise<readonly RestoredImage[]> {
  const { store, clock } = parts;
  return store.withLock(STORE_CONTENT_LOCK, { signal }, async () => {
    const found = references.map((reference) => findSetAside(store, reference));
    const fresh = found.flatMap((one) => ("entry" in one ? [one.entry] : []));
    for (const entry of fresh) requireWhole(store, entry);
    const restored = fresh.map((entry): IndexEntry => {
      const { [ANNOTATIONS.name]: name, ...annotations } = entry.annotations;
      const bakedName = annotations[ANNOTATIONS.bakedName] ?? name;
      return {
        ...entry,
        annotations: {
          ...annotations,
          ...(bakedName === undefined ? {} : { [ANNOTATIONS.bakedName]: bakedName }),
          [ANNOTATIONS.restored]: clock.now().toISOString(),
        },
      };
    });
    if (restored.length > 0) await store.images.put(restored);
    await (await parts.catalog()).putImages(restored.map((entry) => catalogImageOf(entry, imageSize(store, entry.digest) ?? 0)));
    writeSetAside(
      store,
      [],
      restored.map(({ digest }) => digest),
    );
    return found.map((one) => ("entry" in one ? { digest: one.entry.digest, name: nameOf(one.entry), already: false } : one.there));
  });
}

type Found = { readonly entry: IndexEntry } | { readonly there: RestoredImage };

function findSetAside(store: Store, reference: string): Found {
  const aside = listSetAside(store).toSorted((a, b) => (a.at < b.at ? 1 : -1));
  const hex = reference.replace(/^sha256:/, "");
  const isHex = /^[0-9a-f]{4,64}$/.test(hex);
  const named = aside.find(({ entry }) => nameOf(entry) === reference);
  if (named !== undefined) return named;
  const matches = isHex ? aside.filter(({ entry }) => entry.digest.slice("sha256:".length).startsWith(hex)) : [];
  const [match] = matches;
  if (matches.length > 1)
    throw new BakehouseError("REFERENCE_AMBIGUOUS", `${JSON.stringify(reference)} stands for ${matches.length} images that are set aside`, {
      hint: "use more digits",
      details: matches.map(({ entry }) => entry.digest),
    });
  if (match !== undefined) return match;
  const there = isHex ? store.images.entries().find(({ digest }) => digest.slice("sha256:".length).startsWith(hex)) : undefined;
  if (there !== undefined) return { there: { digest: there.digest, name: nameOf(there), already: true } };
  throw new BakehouseError(
    "IMAGE_NOT_FOUND",
    `No image that is set aside is called ${JSON.stringify(reference)} or has a digest that begins so`,
    {
      hint: "bakehouse gc --plan, to see what is set aside, and until when",
    },
  );
}

function requireWhole(store: Store, entry: IndexEntry): void {
  const { blobs, problem } = needsOf(store, entry);
  const missing = blobs.filter((digest) => !store.blobs.has(digest));
  if (missing.length === 0 && problem === undefined) return;
  throw new BakehouseError(
    "STORE_DAMAGED",
    `${nameOf(entry)} (${shortDigest(entry.digest)}) cannot be brought back: ${problem ?? `${missing.length} of its blobs are gone`}`,
    {
      hint: "bake it again with the lock of that time",
      details: [...missing],
    },
  );
}
