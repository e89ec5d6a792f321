import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parseRelease, type Release } from "../../core/debian/release.ts";
import { compareVersions } from "../../core/debian/version.ts";
import type { SecurityIndex } from "../../core/promotion/facts.ts";
import { openIndex, type PackageIndex } from "./package-index.ts";

export interface SecurityRequest {
  /** `VERSION_ID` of the image's os-release: `12`. */
  readonly release: string;
  readonly packages: readonly string[];
}

/**
 * The newest security updates of some packages, from the lists that `lock` last fetched and verified. Nothing is fetched here.
 *
 * @param folder  `<store>/apt`
 * @returns undefined when there are no such lists
 */
export function knownSecurityUpdates(folder: string, request: SecurityRequest): SecurityIndex | undefined {
  const releases = securityReleases(join(folder, "releases"), request.release);
  const newest = releases.reduce<Release | undefined>(
    (a, b) => (a === undefined || (b.dateSeconds ?? 0) > (a.dateSeconds ?? 0) ? b : a),
    undefined,
  );
  if (newest?.dateSeconds === undefined) return undefined;
  const indexes = listsOf(newest, join(folder, "lists"));
  if (indexes.length === 0) return undefined;
  const versions = new Map<string, string>();
  for (const index of indexes)
    for (const name of request.packages)
      for (const { version } of index.find(name)) {
        const known = versions.get(name);
        if (known === undefined || compareVersions(known, version) < 0) versions.set(name, version);
      }
  return { date: new Date(newest.dateSeconds * 1000).toISOString(), versions };
}

function securityReleases(folder: string, version: string): readonly Release[] {
  return namesIn(folder).flatMap((name) => {
    const text = readFileSync(join(folder, name), "utf8");
    const release = parseRelease(text);
    const isSecurity = release.label === "Debian-Security" && new RegExp(`^Version: ${version}$`, "m").test(text);
    return isSecurity ? [release] : [];
  });
}

/** One of the forms that a list comes in; all lists of the components that were fetched. */
function listsOf({ files }: Release, folder: string): readonly PackageIndex[] {
  const here = new Set(namesIn(folder));
  const digests = [...files].flatMap(([path, { sha256 }]) =>
    /\/binary-(?:amd64|all)\/Packages(?:\.[a-z]+)?$/.test(path) && here.has(sha256) ? [sha256] : [],
  );
  return [...new Set(digests)].flatMap((digest) => openIndex(join(folder, digest)) ?? []);
}

function namesIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder).filter((name) => !name.startsWith("."));
  } catch {
    return [];
  }
}
