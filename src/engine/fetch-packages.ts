import type { EventBody } from "../core/events.ts";
import type { LockedPackage } from "../core/lock/model.ts";
import type { PackageDownload, PackageDownloader } from "../ports/package-downloader.ts";
import type { PackageResolver, PackageSources } from "../ports/package-resolver.ts";
import type { PackageStore } from "../ports/package-store.ts";

export interface FetchPackages {
  /** What each group of packages was resolved from. */
  readonly groups: readonly { readonly sources: PackageSources; readonly packages: readonly LockedPackage[] }[];
  readonly resolver: Pick<PackageResolver, "locate">;
  readonly packageStore: PackageStore;
  readonly downloader: PackageDownloader;
  readonly signal: AbortSignal;
  readonly report: (event: EventBody) => void;
}

/** Progress is told when it moved by this part of the whole, and at the end. */
const PROGRESS_STEP = 1 / 200;

/**
 * Makes sure that the bytes of locked packages are in the store.
 *
 * @returns how many had to be fetched
 * @throws BakehouseError MIRROR_UNAVAILABLE, DIGEST_MISMATCH, SETUP_INCOMPLETE (no mirror known), CANCELLED
 */
export async function fetchPackages({
  groups,
  resolver,
  packageStore,
  downloader,
  signal,
  report,
}: FetchPackages): Promise<{ readonly count: number; readonly totalBytes: number }> {
  const downloads = new Map<string, PackageDownload>();
  for (const { sources, packages } of groups) {
    const missing = packages.filter(({ sha256 }) => packageStore.find(sha256) === undefined);
    if (missing.length === 0) continue;
    resolver.locate(sources, missing).forEach((urls, index) => {
      const item = missing[index];
      if (item !== undefined) downloads.set(item.sha256, { package: item, urls });
    });
  }
  const wanted = [...downloads.values()];
  const totalBytes = wanted.reduce((sum, download) => sum + download.package.sizeBytes, 0);
  if (wanted.length === 0) return { count: 0, totalBytes: 0 };
  report({ type: "packages-fetching", count: wanted.length, totalBytes });
  let told = 0;
  await downloader.fetch(wanted, {
    signal,
    onProgress: (doneBytes, total) => {
      if (Math.abs(doneBytes - told) < total * PROGRESS_STEP && doneBytes !== total) return;
      told = doneBytes;
      report({ type: "packages-progress", doneBytes, totalBytes: total });
    },
  });
  return { count: wanted.length, totalBytes };
}
