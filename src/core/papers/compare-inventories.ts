import type { FactChange } from "../image/system-facts.ts";
import { compareFacts } from "../image/system-facts.ts";
import type { Inventory } from "./inventory.ts";

export interface SizeChange {
  /** Package, or `(no package)`. */
  readonly name: string;
  /** Bytes of the files that it owns. */
  readonly beforeBytes: number;
  readonly afterBytes: number;
}

export interface InventoryComparison {
  /** Licences of packages, where they differ; a package that came or went counts. */
  readonly licences: readonly FactChange[];
  /** Licences that no package had before, and that none has any more. */
  readonly newLicences: readonly string[];
  readonly goneLicences: readonly string[];
  /** The largest change first. */
  readonly sizes: readonly SizeChange[];
}

export function compareInventories(before: Inventory, after: Inventory): InventoryComparison {
  const [licencesBefore, licencesAfter] = [allLicences(before), allLicences(after)];
  return {
    licences: compareFacts(licenceFacts(before), licenceFacts(after)),
    newLicences: [...licencesAfter].filter((name) => !licencesBefore.has(name)).sort(),
    goneLicences: [...licencesBefore].filter((name) => !licencesAfter.has(name)).sort(),
    sizes: compareSizes(sizesOf(before), sizesOf(after)),
  };
}

const licenceFacts = ({ packages }: Inventory): ReadonlyMap<string, string> =>
  new Map(packages.flatMap(({ name, licences }) => (licences.length === 0 ? [] : [[name, licences.join("; ")]])));

const allLicences = ({ packages }: Inventory): ReadonlySet<string> =>
  new Set(
    packages.flatMap(({ licences }) => licences.flatMap((text) => text.split(/ (?:AND|OR) /).map((name) => name.replaceAll(/[()]/g, "")))),
  );

function sizesOf({ packages, files, unowned }: Inventory): ReadonlyMap<string, number> {
  const sum = (indexes: readonly number[]): number => indexes.reduce((total, index) => total + (files[index]?.sizeBytes ?? 0), 0);
  const sizes = new Map<string, number>([["(no package)", sum(unowned)]]);
  for (const { name, files: own } of packages) sizes.set(name, (sizes.get(name) ?? 0) + sum(own));
  return sizes;
}

const compareSizes = (before: ReadonlyMap<string, number>, after: ReadonlyMap<string, number>): readonly SizeChange[] =>
  [...new Set([...before.keys(), ...after.keys()])]
    .map((name) => ({ name, beforeBytes: before.get(name) ?? 0, afterBytes: after.get(name) ?? 0 }))
    .filter(({ beforeBytes, afterBytes }) => beforeBytes !== afterBytes)
    .sort((a, b) => Math.abs(b.afterBytes - b.beforeBytes) - Math.abs(a.afterBytes - a.beforeBytes) || (a.name < b.name ? -1 : 1));
