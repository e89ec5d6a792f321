import { hexOf, isSha256, type ImageDigest, type Sha256 } from "../../core/digest.ts";
import { ANNOTATIONS, type Descriptor, type ImageManifest } from "../../core/image/oci.ts";
import {
  ENVELOPE_MEDIA_TYPE,
  PREDICATES,
  STATEMENT_PAYLOAD_TYPE,
  type PredicateType,
  type Statement,
} from "../../core/papers/statement.ts";
import type { KeyTrust } from "../../ports/keys.ts";
import type { Paper, ReadPaper } from "../../ports/papers.ts";
import { openEnvelope } from "./envelope.ts";

const KNOWN: readonly string[] = Object.values(PREDICATES);

const isKnown = (type: string | undefined): type is PredicateType => type !== undefined && KNOWN.includes(type);

/** The paper that a referrer's manifest describes; undefined when it is something else, or damaged. */
export function paperOf(digest: Sha256, value: unknown): Paper | undefined {
  const manifest = value as Partial<ImageManifest> | null;
  const [layer] = (manifest?.layers ?? []) as readonly (Descriptor | undefined)[];
  const annotations = manifest?.annotations ?? {};
  const predicateType = annotations[ANNOTATIONS.predicateType];
  const subject = manifest?.subject?.digest;
  if (layer?.mediaType !== ENVELOPE_MEDIA_TYPE || !isSha256(layer.digest) || !isKnown(predicateType)) return undefined;
  if (subject === undefined || !isSha256(subject)) return undefined;
  return {
    digest,
    subject,
    predicateType,
    blob: layer.digest,
    sizeBytes: layer.size,
    writtenAt: annotations[ANNOTATIONS.created] ?? "",
    annotations,
  };
}

/** @param text  the envelope; undefined when the blob cannot be read */
export function readPaper<Predicate>(paper: Paper, text: string | undefined, trust: KeyTrust): ReadPaper<Predicate> {
  const { verdict, keyId, payload } = openEnvelope(text ?? "", STATEMENT_PAYLOAD_TYPE, trust);
  const statement = payload === undefined ? undefined : parseStatement<Predicate>(payload);
  if (statement === undefined) return { paper, trust: "bad-signature", keyId };
  const fits = speaksOf(statement, paper.subject) && statement.predicateType === paper.predicateType;
  return { paper, trust: verdict === "signed" && !fits ? "wrong-subject" : verdict, keyId, statement };
}

const speaksOf = (statement: Statement, image: ImageDigest): boolean =>
  statement.subject.some(({ digest }) => digest?.sha256 === hexOf(image));

function parseStatement<Predicate>(text: string): Statement<Predicate> | undefined {
  try {
    const value = JSON.parse(text) as Partial<Statement<Predicate>> | null;
    const sound =
      typeof value?.predicateType === "string" && Array.isArray(value.subject) && value.subject.every((each: unknown) => each !== null);
    return sound ? (value as Statement<Predicate>) : undefined;
  } catch {
    return undefined;
  }
}
