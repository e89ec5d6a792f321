import { fieldOf, parseDeb822, type Stanza } from "../../core/debian/deb822.ts";
import type { ImageRoot } from "../../ports/image-root.ts";
import { DATABASE } from "./dpkg-database.ts";
import { parseRelations, type Relation } from "./relations.ts";

/** What matters about a package to others: installed, or about to be. */
export interface PackageRelations {
  readonly name: string;
  readonly version: string;
  readonly provides: readonly Relation[];
  /** Of Conflicts and Breaks. */
  readonly excludes: readonly Relation[];
}

export interface InstalledPackage extends PackageRelations {
  /** The last word of dpkg's Status: `installed`, `config-files`, `unpacked`, … */
  readonly state: string;
}

export function relationsOf(stanza: Stanza): PackageRelations {
  const list = (name: string): readonly Relation[] => parseRelations(fieldOf(stanza, name)).flat();
  return {
    name: fieldOf(stanza, "Package") ?? "",
    version: fieldOf(stanza, "Version") ?? "",
    provides: list("Provides"),
    excludes: [...list("Conflicts"), ...list("Breaks")],
  };
}

/** Every package that dpkg knows of, also those removed whose conffiles stayed. */
export function readStatus(root: ImageRoot): readonly InstalledPackage[] {
  const { stanzas } = parseDeb822(root.readText(`${DATABASE}/status`) ?? "");
  return stanzas.map((stanza) => ({ ...relationsOf(stanza), state: fieldOf(stanza, "Status")?.split(" ").at(-1) ?? "" }));
}
