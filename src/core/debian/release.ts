import { fieldOf, formatStanza, parseDeb822 } from "./deb822.ts";

export interface ReleaseEntry {
  readonly sha256: string;
  readonly sizeBytes: number;
}

/** What a repository says about one suite: its `Release` file. Times in seconds since 1970. */
export interface Release {
  readonly origin?: string;
  readonly label?: string;
  /** `oldstable` */
  readonly suite?: string;
  /** `bookworm` */
  readonly codename?: string;
  readonly dateSeconds?: number;
  readonly validUntilSeconds?: number;
  readonly architectures: readonly string[];
  readonly acquireByHash: boolean;
  /** Not chosen unless asked for, as backports: apt gives it priority 100 (`butAutomaticUpgrades`) or 1. */
  readonly notAutomatic: boolean;
  /** Packages of architecture `all` have an index of their own that must be read too. */
  readonly hasIndexForAll: boolean;
  /** By path below the suite's folder, such as `main/binary-amd64/Packages.xz`. */
  readonly files: ReadonlyMap<string, ReleaseEntry>;
}

/** Reads a Release file whose signature was checked before. Lines of the SHA256 list that make no sense are left out. */
export function parseRelease(text: string): Release {
  const stanza = parseDeb822(text).stanzas[0] ?? { line: 1, fields: [] };
  const field = (name: string): string | undefined => fieldOf(stanza, name);
  const architectures = words(field("Architectures"));
  const optional = {
    origin: field("Origin"),
    label: field("Label"),
    suite: field("Suite"),
    codename: field("Codename"),
    dateSeconds: parseDate(field("Date")),
    validUntilSeconds: parseDate(field("Valid-Until")),
  };
  return {
    ...(Object.fromEntries(Object.entries(optional).filter(([, value]) => value !== undefined)) as Partial<Release>),
    architectures,
    acquireByHash: field("Acquire-By-Hash") === "yes",
    notAutomatic: field("NotAutomatic") === "yes",
    hasIndexForAll: architectures.includes("all") && !words(field("No-Support-for-Architecture-all")).includes("Packages"),
    files: parseFiles(field("SHA256") ?? ""),
  };
}

/** The same file with another `Label`, and without what only a downloader needs: its lists of digests. */
export function relabelRelease(text: string, label: string): string {
  const stanza = parseDeb822(text).stanzas[0];
  const kept = (stanza?.fields ?? []).filter(({ name }) => !["label", "md5sum", "sha1", "sha512"].includes(name.toLowerCase()));
  return formatStanza([...kept, { name: "Label", value: label }]);
}

const words = (value: string | undefined): readonly string[] => (value ?? "").split(/\s+/).filter((word) => word !== "");

function parseDate(value: string | undefined): number | undefined {
  const milliseconds = Date.parse(value ?? "");
  return Number.isNaN(milliseconds) ? undefined : Math.floor(milliseconds / 1000);
}

function parseFiles(value: string): ReadonlyMap<string, ReleaseEntry> {
  const files = new Map<string, ReleaseEntry>();
  for (const line of value.split("\n")) {
    const [sha256 = "", size = "", path = ""] = line.trim().split(/\s+/);
    if (/^[0-9a-f]{64}$/.test(sha256) && /^\d+$/.test(size) && path !== "") files.set(path, { sha256, sizeBytes: Number(size) });
  }
  return files;
}
