import { compareVersions } from "../../core/debian/version.ts";

/** One package that cannot be installed, and what stands in the way. */
export interface Conflict {
  readonly package: string;
  /** Sentences for people. */
  readonly reasons: readonly string[];
  /** Other packages that the reasons name. */
  readonly others: readonly string[];
}

const RELATIONS = "Depends|PreDepends|Pre-Depends|Conflicts|Breaks|Recommends|Obsoletes|Replaces";

/**
 * Reads apt's block of unmet dependencies:
 *
 *      exim4-config : Conflicts: postfix but 3.7 is to be installed
 *      nginx : Depends: libc6 (>= 2.40) but 2.36 is to be installed
 *              Depends: gone but it is not installable
 *
 * @param newestOf  newest version that the lists have of a name: apt says only that something "is not going to be installed"
 */
export function readUnmet(output: string, newestOf: (name: string) => string | undefined): readonly Conflict[] {
  const conflicts: { package: string; reasons: string[]; others: string[] }[] = [];
  const block = output.slice(Math.max(0, output.indexOf("unmet dependencies:")));
  for (const line of block.split("\n")) {
    const found = new RegExp(`^ +(?:(\\S+) : +)?(?:(${RELATIONS}): )?(\\S.*)$`).exec(line);
    if (found === null) continue;
    const [, name, relation, text = ""] = found;
    if (name !== undefined) conflicts.push({ package: name.replace(/:amd64$/, ""), reasons: [], others: [] });
    const last = conflicts.at(-1);
    if (last === undefined) continue;
    const reason = reasonOf(relation ?? "Depends", text, newestOf);
    const before = last.reasons.pop();
    // A line without a relation is another choice of the line before, which ended in "or".
    if (before !== undefined && relation === undefined) last.reasons.push(`${before}; or ${reason.replace(/^\w+ /, "")}`);
    else last.reasons.push(...(before === undefined ? [] : [before]), reason);
    last.others.push(text.split(/[\s:]/)[0] ?? "");
  }
  return conflicts;
}

function reasonOf(relation: string, text: string, newestOf: (name: string) => string | undefined): string {
  const [, wanted = text, outcome = ""] = /^(.*?)(?: but (.*?))?(?: or)?$/.exec(text) ?? [];
  const version = /^(\S+) is (?:to be )?installed$/.exec(outcome)?.[1];
  if (relation === "Conflicts" || relation === "Breaks")
    return `${relation === "Breaks" ? "breaks" : "conflicts with"} ${wanted}${version === undefined ? "" : `, which is there as ${version}`}`;
  const verb = relation === "Recommends" ? "recommends" : "needs";
  if (version !== undefined) return `${verb} ${wanted}, but ${version} is what can be had`;
  if (outcome === "it is not installable") return `${verb} ${wanted}, which no repository has`;
  const [, name = "", operator = "", bound = ""] = /^(\S+) \((<<|<=|=|>=|>>) (\S+)\)$/.exec(wanted) ?? [];
  const newest = newestOf(name.replace(/:\w+$/, ""));
  const isTooOld =
    newest !== undefined && [">=", ">>", "="].includes(operator) && compareVersions(newest, bound) < (operator === ">>" ? 1 : 0);
  return isTooOld
    ? `${verb} ${wanted}, but ${newest} is the newest there is`
    : `${verb} ${wanted}, which cannot be installed with the rest`;
}

/** Packages of the layers below that apt would have to take out. */
export function readRemovals(output: string): readonly string[] {
  const [, block = ""] = /packages will be REMOVED:\n((?: +.*\n)+)/.exec(output) ?? [];
  return block
    .split(/\s+/)
    .filter((word) => word !== "")
    .map((word) => word.replace(/[*+]$/, ""));
}

/** Lines that apt marks as errors, without the mark. */
export const readErrors = (output: string): readonly string[] =>
  output.split("\n").flatMap((line) => (line.startsWith("E: ") ? [line.slice(3)] : []));

export interface PrintedUri {
  readonly host: string;
  readonly name: string;
  readonly version: string;
  readonly architecture: string;
  readonly sizeBytes: number;
  /** Hex digits; absent when the repository gives none. */
  readonly sha256?: string;
}

/** Reads the lines of `apt-get --print-uris`: `'http://r0.bakehouse/pool/…' name_version_arch.deb 123 SHA256:…`. */
export function readPrintedUris(output: string): readonly PrintedUri[] {
  return [...output.matchAll(/^'([^']+)' ([^\s_]+)_([^\s_]+)_([^\s_]+)\.deb (\d+) (?:SHA256:([0-9a-f]{64}))?/gm)].map(
    ([, url = "", name = "", version = "", architecture = "", size = "", sha256]) => ({
      host: /^[a-z]+:\/\/([^/]*)/.exec(url)?.[1] ?? "",
      name,
      version: decodeURIComponent(version),
      architecture,
      sizeBytes: Number(size),
      ...(sha256 === undefined ? {} : { sha256 }),
    }),
  );
}
