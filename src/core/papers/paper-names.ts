import { PREDICATES, type PredicateType } from "./statement.ts";

const NAMES: Readonly<Record<PredicateType, string>> = {
  [PREDICATES.spdx]: "SBOM (SPDX)",
  [PREDICATES.cyclonedx]: "SBOM (CycloneDX)",
  [PREDICATES.provenance]: "provenance",
  [PREDICATES.checks]: "evidence of checks",
  [PREDICATES.declaredChecks]: "declared checks",
  [PREDICATES.selfTest]: "self-test of checks",
};

/** What a paper is, for people. */
export const paperName = (predicateType: string): string =>
  (NAMES as Readonly<Record<string, string | undefined>>)[predicateType] ?? `paper of type ${predicateType}`;
