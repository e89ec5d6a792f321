import type { LockedPackage } from "../core/lock/model.ts";

export interface PackageDownload {
  readonly package: LockedPackage;
  /** Where it may be had; the first that works is taken. */
  readonly urls: readonly string[];
}

export interface PackageDownloadOptions {
  readonly signal: AbortSignal;
  /** Of the packages that were not in the store yet. Called often; `doneBytes` may fall when a server starts again. */
  onProgress?(doneBytes: number, totalBytes: number): void;
}

/** Brings packages into the package store. */
export interface PackageDownloader {
  /**
   * Several at a time; what is in the store already is not fetched. What came in before a failure stays there.
   *
   * @throws BakehouseError MIRROR_UNAVAILABLE (with `details.missing`: names that no URL has any more), DIGEST_MISMATCH, CANCELLED
   */
  fetch(downloads: readonly PackageDownload[], options: PackageDownloadOptions): Promise<void>;
}
