import { parseStatement, speaksOf } from "../../core/papers/read-paper.ts";
import { STATEMENT_PAYLOAD_TYPE } from "../../core/papers/statement.ts";
import type { KeyTrust } from "../../ports/keys.ts";
import type { Paper, ReadPaper } from "../../ports/papers.ts";
import { openEnvelope } from "./envelope.ts";

/** @param text  the envelope; undefined when the blob cannot be read */
export function readPaper<Predicate>(paper: Paper, text: string | undefined, trust: KeyTrust): ReadPaper<Predicate> {
  const { verdict, keyId, payload } = openEnvelope(text ?? "", STATEMENT_PAYLOAD_TYPE, trust);
  const statement = payload === undefined ? undefined : parseStatement<Predicate>(payload);
  if (statement === undefined) return { paper, trust: "bad-signature", keyId };
  const fits = speaksOf(statement, paper.subject) && statement.predicateType === paper.predicateType;
  return { paper, trust: verdict === "signed" && !fits ? "wrong-subject" : verdict, keyId, statement };
}
