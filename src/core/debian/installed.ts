import { compareVersions } from "./version.ts";

/** A package as dpkg's status file has it. */
export interface InstalledPackage {
  readonly name: string;
  readonly version: string;
  readonly architecture: string;
  /** Estimate of the package's maker, in bytes; 0 if not given. */
  readonly installedBytes: number;
}

export type PackageChange =
  | {
      readonly change: "added";
      readonly name: string;
      readonly architecture: string;
      readonly after: string;
      readonly installedBytes: number;
    }
  | {
      readonly change: "removed";
      readonly name: string;
      readonly architecture: string;
      readonly before: string;
      readonly installedBytes: number;
    }
  | {
      readonly change: "upgraded" | "downgraded";
      readonly name: string;
      readonly architecture: string;
      readonly before: string;
      readonly after: string;
      readonly installedBytes: number;
    };

/** The packages of a status file (deb-status: stanzas as in `Packages`) that are installed, sorted by name. */
export function installedPackages(status: string): readonly InstalledPackage[] {
  return status
    .split(/\n{2,}/)
    .map(fieldsOf)
    .filter((fields) => / (installed|triggers-awaited|triggers-pending)$/.test(fields.get("Status") ?? ""))
    .map((fields) => ({
      name: fields.get("Package") ?? "",
      version: fields.get("Version") ?? "",
      architecture: fields.get("Architecture") ?? "",
      installedBytes: 1024 * (Number(fields.get("Installed-Size") ?? 0) || 0),
    }))
    .filter(({ name }) => name !== "")
    .sort((a, b) => (keyOf(a) < keyOf(b) ? -1 : 1));
}

/** Continuation lines say nothing that is needed here. */
export const fieldsOf = (stanza: string): ReadonlyMap<string, string> =>
  new Map(
    stanza.split("\n").flatMap((line): readonly (readonly [string, string])[] => {
      const match = /^([A-Za-z][A-Za-z-]*):[ \t]*(.*)$/.exec(line);
      return match === null ? [] : [[match[1] ?? "", (match[2] ?? "").trim()]];
    }),
  );

const keyOf = ({ name, architecture }: InstalledPackage): string => `${name}:${architecture}`;

/** What differs between two systems, by name; `installedBytes` is by how much the system grew or shrank. */
export function comparePackages(before: readonly InstalledPackage[], after: readonly InstalledPackage[]): readonly PackageChange[] {
  const old = new Map(before.map((entry) => [keyOf(entry), entry]));
  const present = new Set(after.map(keyOf));
  const changes: PackageChange[] = [];
  for (const entry of after) {
    const { name, architecture, version, installedBytes } = entry;
    const previous = old.get(keyOf(entry));
    if (previous === undefined) changes.push({ change: "added", name, architecture, after: version, installedBytes });
    else if (previous.version !== version)
      changes.push({
        change: compareVersions(previous.version, version) < 0 ? "upgraded" : "downgraded",
        name,
        architecture,
        before: previous.version,
        after: version,
        installedBytes: installedBytes - previous.installedBytes,
      });
  }
  for (const { name, architecture, version, installedBytes } of before.filter((entry) => !present.has(keyOf(entry))))
    changes.push({ change: "removed", name, architecture, before: version, installedBytes: -installedBytes });
  return changes.sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
}
