import { join } from "node:path";
import { aptResolver } from "../../src/adapters/apt-resolver/index.ts";
import { createTransfer, localPackageStore, packageDownloader, packageSet } from "../../src/adapters/local-package-store/index.ts";
import type { LockedPackage } from "../../src/core/lock/model.ts";
import type { PackageSet } from "../../src/ports/package-store.ts";

export type Suite = "bookworm" | "trixie";

/** Real packages and lists, kept between runs beside the examples' store: they are named by digest and verified. */
const FOLDER = join(import.meta.dirname, "../../.bakehouse/tests");

export interface ResolvedPackages {
  readonly locked: readonly LockedPackage[];
  readonly set: PackageSet;
}

/**
 * Resolves and fetches packages as `bakehouse lock` does: a foundation, or what its layers need on top.
 *
 * @param workFolder for the set's folder, if a test asks for it
 */
export async function debianPackages(
  suite: Suite,
  names: readonly string[],
  options: { readonly over?: readonly LockedPackage[]; readonly workFolder: string },
): Promise<ResolvedPackages> {
  const { signal } = new AbortController();
  const packageStore = localPackageStore(join(FOLDER, "packages"));
  const transfer = createTransfer();
  const resolver = aptResolver({ folder: join(FOLDER, "apt"), packageStore, transfer });
  const foundation = { suite, variant: "minbase", components: ["main"], security: true, updates: true } as const;
  const sources = { foundation, repositories: [], folder: FOLDER };
  const { packages } = await resolver.resolve({
    sources,
    request: { names, recommends: false, ...(options.over === undefined ? { foundation } : {}) },
    installed: options.over ?? [],
    keep: [],
    refresh: false,
    signal,
  });
  const urls = resolver.locate(sources, packages);
  await packageDownloader(packageStore, transfer).fetch(
    packages.map((item, index) => ({ package: item, urls: urls[index] ?? [] })),
    { signal },
  );
  return { locked: packages, set: packageSet(packageStore, packages, options.workFolder) };
}
