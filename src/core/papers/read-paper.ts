import type { Paper } from "../../ports/papers.ts";
import { hexOf, isSha256, type ImageDigest, type Sha256 } from "../digest.ts";
import { ANNOTATIONS, type Descriptor, type ImageManifest } from "../image/oci.ts";
import { ENVELOPE_MEDIA_TYPE, PREDICATES, type PredicateType, type Statement } from "./statement.ts";

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

/** Reads the payload of an envelope; undefined when it is no statement. */
export function parseStatement<Predicate>(text: string): Statement<Predicate> | undefined {
  try {
    const value = JSON.parse(text) as Partial<Statement<Predicate>> | null;
    const sound =
      typeof value?.predicateType === "string" &&
      Array.isArray(value.subject) &&
      value.subject.every((each: unknown) => typeof each === "object" && each !== null);
    return sound ? (value as Statement<Predicate>) : undefined;
  } catch {
    return undefined;
  }
}

/** Whether one of the subjects is this image. */
export const speaksOf = (statement: Statement, image: ImageDigest): boolean =>
  statement.subject.some(({ digest }) => (digest as { readonly sha256?: unknown } | undefined)?.sha256 === hexOf(image));
