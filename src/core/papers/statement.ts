import { hexOf, type ImageDigest } from "../digest.ts";

/**
 * What is said about an image is an in-toto statement (in-toto Attestation Framework, Statement v1): who is spoken of, by digest,
 * and a predicate. Signed, it travels in a DSSE envelope; the envelope is the one blob of an OCI referrer whose `subject` is the image.
 */
export interface Statement<Predicate = unknown> {
  readonly _type: "https://in-toto.io/Statement/v1";
  readonly subject: readonly { readonly name: string; readonly digest: { readonly sha256: string } }[];
  readonly predicateType: string;
  readonly predicate: Predicate;
}

/** Types of predicates. Those of others are fixed by their specifications; ours are named after the annotations' prefix. */
export const PREDICATES = {
  provenance: "https://slsa.dev/provenance/v1",
  spdx: "https://spdx.dev/Document/v2.3",
  cyclonedx: "https://cyclonedx.org/bom/v1.6",
  /** A run of checks: a `CheckRun`. */
  checks: "https://bakehouse.dev/predicate/checks/v1",
  /** What an image promises to pass: a `Declaration`. The newest holds. */
  declaredChecks: "https://bakehouse.dev/predicate/declared-checks/v1",
  /** Which types of checks found the fault that was put into the image: a `SelfTest`. */
  selfTest: "https://bakehouse.dev/predicate/self-test/v1",
} as const;

export type PredicateType = (typeof PREDICATES)[keyof typeof PREDICATES];

/** Media type of a DSSE envelope, and the payload type of an in-toto statement in it. */
export const ENVELOPE_MEDIA_TYPE = "application/vnd.dsse.envelope.v1+json";
export const STATEMENT_PAYLOAD_TYPE = "application/vnd.in-toto+json";

export const statementOf = <Predicate>(
  image: { readonly name: string; readonly digest: ImageDigest },
  predicateType: PredicateType,
  predicate: Predicate,
): Statement<Predicate> => ({
  _type: "https://in-toto.io/Statement/v1",
  subject: [{ name: image.name, digest: { sha256: hexOf(image.digest) } }],
  predicateType,
  predicate,
});
