import { compareVersions } from "./version.ts";

/** Vulnerabilities that the entries of a changelog name, newer than one version and up to another, sorted. */
export function fixesBetween(changelog: string, before: string, after: string): readonly string[] {
  const fixes = new Set<string>();
  let counts = false;
  for (const line of changelog.split("\n")) {
    // `nginx (1.22.1-9+deb12u1) bookworm-security; urgency=high` (deb-changelog)
    const version = /^\S+ \(([^)]+)\) [^;]*;/.exec(line)?.[1];
    if (version !== undefined) counts = compareVersions(before, version) < 0 && compareVersions(version, after) <= 0;
    if (counts) for (const [name] of line.matchAll(/CVE-\d{4}-\d{4,}/g)) fixes.add(name);
  }
  return [...fixes].sort();
}
