import type { Channel } from "../channel/model.ts";
import { compareVersions } from "../debian/version.ts";
import type { InstalledPackage, PromotionFacts } from "./facts.ts";
import type { Gate } from "./gate.ts";
import { fewOf, shownMoment, shownTime } from "./words.ts";

/** What must not be in the image, and what must. Without a signed SBOM nothing of it is known. */
export function sbomGates({ sbom }: Channel, facts: PromotionFacts, now: Date): readonly Gate[] {
  const { packages } = facts;
  const gates: Gate[] = [];
  const unknown = {
    verdict: "inconclusive",
    why: "no SBOM of this image is signed by a key that is trusted here",
    command: `bakehouse attest ${facts.image.reference}`,
  } as const;
  if (sbom.packages.length > 0)
    gates.push({ gate: "packages", ...(packages === undefined ? unknown : forbiddenPackages(sbom.packages, packages)) });
  if (sbom.licences.length > 0)
    gates.push({ gate: "licences", ...(packages === undefined ? unknown : forbiddenLicences(sbom.licences, packages)) });
  if (sbom.securityOlderThanMs !== undefined)
    gates.push({
      gate: "security-updates",
      ...(packages === undefined ? unknown : missingUpdates(sbom.securityOlderThanMs, packages, facts, now)),
    });
  return gates;
}

type Judgement = Omit<Gate, "gate">;

function forbiddenPackages(patterns: readonly string[], packages: readonly InstalledPackage[]): Judgement {
  const found = packages.filter(({ name }) => patterns.some((pattern) => fits(pattern, name))).map(({ name }) => name);
  if (found.length > 0) return { verdict: "failed", why: `holds ${fewOf(found)}, which the channel forbids` };
  return { verdict: "passed", why: `none of ${packages.length} packages is forbidden` };
}

function forbiddenLicences(patterns: readonly string[], packages: readonly InstalledPackage[]): Judgement {
  const found = packages.flatMap(({ name, licence = "" }) =>
    licencesIn(licence)
      .filter((id) => patterns.some((pattern) => fits(pattern, id)))
      .map((id) => `${name} (${id})`),
  );
  if (found.length > 0) return { verdict: "failed", why: `holds ${fewOf(found)}, which the channel forbids` };
  const silent = packages.filter(({ licence = "" }) => licencesIn(licence).length === 0).map(({ name }) => name);
  if (silent.length > 0) return { verdict: "inconclusive", why: `the licence of ${fewOf(silent, 3)} is not known` };
  return { verdict: "passed", why: `no licence of ${packages.length} packages is forbidden` };
}

/** The ids of an SPDX expression; a choice between two counts as both. */
const licencesIn = (expression: string): readonly string[] =>
  expression.split(/[\s()]+/).filter((word) => word !== "" && !["AND", "OR", "WITH", "NOASSERTION", "NONE"].includes(word));

/**
 * Lists of packages do not say when a version came out. It was not there when the image's packages were locked, and it was
 * there when the lists were made: what lies between decides, and where that does not, nothing does.
 */
function missingUpdates(
  olderThanMs: number,
  packages: readonly InstalledPackage[],
  { security, image }: PromotionFacts,
  now: Date,
): Judgement {
  const command = "bakehouse lock --update";
  if (security === undefined) return { verdict: "inconclusive", why: "the store has no list of security updates", command };
  const missing = packages.filter(({ name, version }) => {
    const newest = security.versions.get(name);
    return newest !== undefined && compareVersions(version, newest) < 0;
  });
  const sinceListsMs = now.getTime() - Date.parse(security.date);
  if (missing.length === 0) {
    if (sinceListsMs >= 0 && sinceListsMs <= olderThanMs)
      return { verdict: "passed", why: `no security update of ${shownMoment(security.date)} is missing` };
    return { verdict: "inconclusive", why: `the list of security updates is of ${shownMoment(security.date)}`, command };
  }
  const names = fewOf(
    missing.map(({ name, version }) => `${name} ${version} (${security.versions.get(name) ?? ""})`),
    3,
  );
  if (sinceListsMs > olderThanMs)
    return { verdict: "failed", why: `security updates are missing for ${shownTime(sinceListsMs)} or more: ${names}`, command };
  const sinceLockMs = now.getTime() - Date.parse(image.contentFrom);
  if (sinceLockMs >= 0 && sinceListsMs >= 0 && sinceLockMs <= olderThanMs)
    return { verdict: "passed", why: `missing security updates are younger than ${shownTime(olderThanMs)}: ${names}` };
  return {
    verdict: "inconclusive",
    why: `security updates are missing, perhaps for longer than ${shownTime(olderThanMs)}: ${names}`,
    command,
  };
}

/** `*` stands for anything. */
function fits(pattern: string, text: string): boolean {
  const source = pattern.split("*").map((part) => part.replaceAll(/[.+?^${}()|[\]\\]/g, "\\$&"));
  return new RegExp(`^${source.join(".*")}$`).test(text);
}
