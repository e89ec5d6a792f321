import type { ImageDigest, Sha256 } from "../core/digest.ts";
import type { PredicateType, Statement } from "../core/papers/statement.ts";
import type { SignatureVerdict } from "./keys.ts";

/**
 * Something that is said about an image: an OCI referrer whose subject is the image. What stands here comes from its manifest and is
 * signed by nobody; what must not be forged (when, by whom, the verdict) stands in the statement.
 */
export interface Paper {
  /** Of the referrer's manifest. */
  readonly digest: Sha256;
  readonly subject: ImageDigest;
  readonly predicateType: PredicateType;
  /** Of the one blob: the DSSE envelope. */
  readonly blob: Sha256;
  readonly sizeBytes: number;
  /** ISO 8601, UTC. */
  readonly writtenAt: string;
  readonly annotations: Readonly<Record<string, string>>;
}

/**
 * `signed`: by a key that is trusted here, and it speaks of the image that it is attached to. `unknown-key`: by another key.
 * `bad-signature`: the bytes are not those that were signed, or cannot be read. `wrong-subject`: soundly signed, and about another
 * image or of another type than its manifest says.
 */
export type Trust = SignatureVerdict | "wrong-subject";

/** A paper as it was read back. */
export interface ReadPaper<Predicate = unknown> {
  readonly paper: Paper;
  readonly trust: Trust;
  /** Of the key that signed it, as the envelope names it; empty when that cannot be read. */
  readonly keyId: string;
  /** Absent when the envelope or the statement in it cannot be read. */
  readonly statement?: Statement<Predicate>;
}

/** Papers of images: SBOM, provenance, evidence of checks. Each is signed when it is written, and verified when it is read. */
export interface Papers {
  /**
   * Signs and attaches. Makes a first key when there is none. The same statement again gives the same paper. Waits for `gc` and
   * `verify`, so it must not be called by who holds the store's content lock.
   *
   * @throws IMAGE_NOT_FOUND (the image is not in the index), STORE_READ_ONLY, STORE_FULL, KEY_INVALID
   */
  attach(
    image: { readonly name: string; readonly digest: ImageDigest },
    predicateType: PredicateType,
    predicate: unknown,
    annotations?: Readonly<Record<string, string>>,
  ): Promise<Paper>;
  /** Newest first. Papers whose manifest is missing or damaged are left out: `image verify` names those. */
  of(image: ImageDigest, predicateType?: PredicateType): readonly Paper[];
  read<Predicate = unknown>(paper: Paper): ReadPaper<Predicate>;
}
