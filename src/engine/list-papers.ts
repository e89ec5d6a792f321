import type { ImageDigest, Sha256 } from "../core/digest.ts";
import type { KeyInfo, Keys } from "../ports/keys.ts";
import type { Papers, Trust } from "../ports/papers.ts";
import type { Store } from "../ports/store.ts";
import { readImage } from "./image-content.ts";

export interface ListedPaper {
  readonly digest: Sha256;
  readonly predicateType: string;
  readonly sizeBytes: number;
  readonly writtenAt: string;
  readonly trust: Trust;
  readonly keyId: string;
  /** Name of the key, when it is known here. */
  readonly key?: string;
  /** The statement's predicate, when it was asked for. */
  readonly predicate?: unknown;
}

export interface ImagePapers {
  readonly image: ImageDigest;
  readonly name: string;
  /** The newest first. */
  readonly papers: readonly ListedPaper[];
}

/**
 * What is said about an image, and whether it can be trusted.
 *
 * @param options.predicates  also what each says
 * @throws IMAGE_NOT_FOUND, REFERENCE_AMBIGUOUS, STORE_DAMAGED
 */
export function listPapers(
  parts: { readonly store: Store; readonly papers: Papers; readonly keys: Keys },
  reference: string,
  options: { readonly predicates?: boolean } = {},
): ImagePapers {
  const { entry, name } = readImage(parts.store, reference);
  const known = new Map<string, KeyInfo>(parts.keys.list().map((key) => [key.id, key]));
  return {
    image: entry.digest,
    name,
    papers: parts.papers.of(entry.digest).map((paper): ListedPaper => {
      const { trust, keyId, statement } = parts.papers.read(paper);
      const { digest, predicateType, sizeBytes, writtenAt } = paper;
      const key = known.get(keyId)?.name;
      return {
        digest,
        predicateType,
        sizeBytes,
        writtenAt,
        trust,
        keyId,
        ...(key === undefined ? {} : { key }),
        ...(options.predicates === true && statement !== undefined ? { predicate: statement.predicate } : {}),
      };
    }),
  };
}
