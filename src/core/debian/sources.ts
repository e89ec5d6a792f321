import { fieldOf, parseDeb822 } from "./deb822.ts";

/** One source of binary packages, as the host's apt is set up. */
export interface SourceEntry {
  readonly uris: readonly string[];
  readonly suites: readonly string[];
  readonly components: readonly string[];
}

/** Reads a `*.sources` file. Entries that are switched off or only give source packages are left out. */
export function parseSourcesFile(text: string): readonly SourceEntry[] {
  return parseDeb822(text).stanzas.flatMap((stanza) => {
    const list = (name: string): readonly string[] => words(fieldOf(stanza, name) ?? "");
    const isOff = /^(no|false|0|off|without|disable)$/i.test(fieldOf(stanza, "Enabled")?.trim() ?? "yes");
    if (isOff || !list("Types").includes("deb")) return [];
    return [{ uris: list("URIs"), suites: list("Suites"), components: list("Components") }];
  });
}

/** Reads a one-line-style `*.list` file. */
export function parseSourcesList(text: string): readonly SourceEntry[] {
  return text.split("\n").flatMap((line) => {
    const [, rest = ""] = /^\s*deb\s+(?:\[[^\]]*\]\s*)?([^#]*)/.exec(line) ?? [];
    const [uri, suite, ...components] = words(rest);
    return uri === undefined || suite === undefined ? [] : [{ uris: [uri], suites: [suite], components }];
  });
}

const words = (text: string): readonly string[] => text.split(/\s+/).filter((word) => word !== "");

/** A URL that may be shown: without user and password. */
export const withoutLogin = (url: string): string => url.replace(/^([a-z][a-z0-9+.-]*:\/\/)[^/?#]*@/i, "$1");

const CODENAMES = "buster|bullseye|bookworm|trixie|forky|duke|sid|oldoldstable|oldstable|stable|testing|unstable";
const MAIN_SUITE = new RegExp(`^(?:${CODENAMES})(?:-updates|-proposed-updates|-backports|-backports-sloppy)?$`);
const SECURITY_SUITE = new RegExp(`^(?:${CODENAMES})-security$`);

/** The two archives that Debian itself publishes from. */
export type DebianArchive = "debian" | "debian-security";

export const archiveOfSuite = (suite: string): DebianArchive => (suite.endsWith("-security") ? "debian-security" : "debian");

/** Whether Debian itself has suites of such a name; third parties name theirs `bookworm-pgdg`, or have other components. */
export const isDebianSuite = (suite: string): boolean => MAIN_SUITE.test(suite) || SECURITY_SUITE.test(suite);

/**
 * The mirrors of a Debian archive that a host's apt is set up with, best first: one that serves the very suite, then any of
 * the same archive, since an archive's mirror serves all its suites.
 */
export function mirrorsFor(suite: string, entries: readonly SourceEntry[]): readonly string[] {
  const archive = archiveOfSuite(suite);
  const candidates = entries.filter(
    (entry) => entry.components.includes("main") && entry.suites.some((name) => isDebianSuite(name) && archiveOfSuite(name) === archive),
  );
  const exact = candidates.filter((entry) => entry.suites.includes(suite));
  const uris = [...exact, ...candidates].flatMap((entry) => entry.uris).filter((uri) => /^(?:https?|file):/.test(uri));
  return [...new Set(uris.map((uri) => uri.replace(/\/+$/, "")))];
}
