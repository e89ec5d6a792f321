import { readFileSync } from "node:fs";
import type { ImageDigest } from "../../core/digest.ts";
import { shortDigest } from "../../core/digest.ts";
import { BakehouseError } from "../../core/errors.ts";
import { ANNOTATIONS, MEDIA_TYPES, type Annotations, type Descriptor, type ImageManifest } from "../../core/image/oci.ts";
import { canonicalJson } from "../../core/json.ts";
import { ENVELOPE_MEDIA_TYPE, STATEMENT_PAYLOAD_TYPE, statementOf, type PredicateType } from "../../core/papers/statement.ts";
import { paperOf } from "../../core/papers/read-paper.ts";
import type { Clock } from "../../ports/host.ts";
import type { Keys } from "../../ports/keys.ts";
import type { Paper, Papers } from "../../ports/papers.ts";
import { STORE_CONTENT_LOCK } from "../../core/store-lock.ts";
import type { Store } from "../../ports/store.ts";
import { sealEnvelope } from "./envelope.ts";
import { readPaper } from "./read-paper.ts";

export interface LocalPapersOptions {
  readonly store: Store;
  readonly keys: Keys;
  readonly clock: Clock;
}

/**
 * Papers as OCI referrers in the store's layout:
 *
 *     index.json ─ sha256-<image> ─→ image index ─→ manifest { artifactType, subject: the image, annotations }
 *                                                      ├─ config   the empty one
 *                                                      └─ layer    the DSSE envelope with the statement
 *
 * Blobs come first, the entry of index.json last. Whoever attaches holds the lock that keeps `gc` from blobs which nothing names yet.
 */
export function localPapers({ store, keys, clock }: LocalPapersOptions): Papers {
  const of = (image: ImageDigest, predicateType?: PredicateType): readonly Paper[] =>
    store.referrers
      .of(image)
      .flatMap(({ digest }) => paperAt(store, digest) ?? [])
      .filter((paper) => paper.subject === image && (predicateType === undefined || paper.predicateType === predicateType))
      .sort((a, b) => (a.writtenAt < b.writtenAt ? 1 : a.writtenAt > b.writtenAt ? -1 : 0));
  return {
    of,
    read: (paper) => readPaper(paper, envelopeText(store, paper), keys),
    attach: async (image, predicateType, predicate, annotations = {}) => {
      const statement = canonicalJson(statementOf(image, predicateType, predicate));
      const envelope = await sealEnvelope(STATEMENT_PAYLOAD_TYPE, statement, (message) => keys.sign(message));
      return store.withLock(STORE_CONTENT_LOCK, {}, async () => {
        requireImage(store, image.digest);
        const blob = store.blobs.putText(envelope);
        const same = of(image.digest, predicateType).find((paper) => paper.blob === blob.digest);
        if (same !== undefined) return same;
        const manifest = manifestOf(store, image.digest, blob, {
          ...annotations,
          [ANNOTATIONS.created]: clock.now().toISOString(),
          [ANNOTATIONS.predicateType]: predicateType,
        });
        const stored = store.blobs.putJson(manifest);
        await store.referrers.add(image.digest, [descriptorOf(manifest, stored)]);
        const paper = paperOf(stored.digest, manifest);
        if (paper === undefined) throw new Error(`A paper that was just written is none: ${stored.digest}`);
        return paper;
      });
    },
  };
}

function requireImage(store: Store, image: ImageDigest): void {
  if (store.images.entries().some(({ digest }) => digest === image)) return;
  throw new BakehouseError("IMAGE_NOT_FOUND", `The image ${shortDigest(image)} is not in this store, so nothing can be attached to it`, {
    hint: "bakehouse images",
  });
}

function manifestOf(
  store: Store,
  image: ImageDigest,
  envelope: { readonly digest: Descriptor["digest"]; readonly sizeBytes: number },
  annotations: Annotations,
): ImageManifest {
  const empty = store.blobs.putJson({});
  return {
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.manifest,
    artifactType: STATEMENT_PAYLOAD_TYPE,
    config: { mediaType: MEDIA_TYPES.empty, digest: empty.digest, size: empty.sizeBytes },
    layers: [{ mediaType: ENVELOPE_MEDIA_TYPE, digest: envelope.digest, size: envelope.sizeBytes }],
    subject: { mediaType: MEDIA_TYPES.manifest, digest: image, size: store.blobs.sizeBytes(image) },
    annotations,
  };
}

/** As the referrers API would list it: type and annotations of the manifest beside its digest. */
const descriptorOf = (
  { artifactType = "", annotations = {} }: ImageManifest,
  stored: { readonly digest: Descriptor["digest"]; readonly sizeBytes: number },
): Descriptor => ({ mediaType: MEDIA_TYPES.manifest, artifactType, digest: stored.digest, size: stored.sizeBytes, annotations });

function paperAt(store: Store, digest: Paper["digest"]): Paper | undefined {
  try {
    return paperOf(digest, store.blobs.readJson(digest));
  } catch {
    return undefined; // missing or damaged: a paper that cannot be read is none
  }
}

function envelopeText(store: Store, paper: Paper): string | undefined {
  try {
    return readFileSync(store.blobs.path(paper.blob), "utf8");
  } catch {
    return undefined;
  }
}
