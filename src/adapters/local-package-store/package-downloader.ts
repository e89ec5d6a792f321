import { rmSync } from "node:fs";
import { BakehouseError } from "../../core/errors.ts";
import type { PackageDownload, PackageDownloader, PackageDownloadOptions } from "../../ports/package-downloader.ts";
import type { Transfer } from "../../ports/transfer.ts";
import type { LocalPackageStore } from "./package-store.ts";

/** Enough to hide the latency of small packages; more only adds load on the mirror. A guess. */
const AT_ONCE = 6;

/** Downloads into a local package store. */
export function packageDownloader(store: LocalPackageStore, transfer: Transfer): PackageDownloader {
  return {
    async fetch(downloads, options) {
      store.tidy();
      const wanted = missingOf(downloads, store);
      if (wanted.length === 0) return;
      const work = new Work(wanted, store, transfer, options);
      await Promise.all(Array.from({ length: AT_ONCE }, () => work.takeTurns()));
      if (work.failures.length > 0 || work.gone.length > 0) throw failureOf(work, downloads, store);
    },
  };
}

function missingOf(downloads: readonly PackageDownload[], store: LocalPackageStore): readonly PackageDownload[] {
  const byDigest = new Map(downloads.map((download) => [download.package.sha256, download]));
  return [...byDigest.values()].filter((download) => store.find(download.package.sha256) === undefined);
}

/** One call's queue. After a failure what has begun is finished (and kept), but nothing new begins. */
class Work {
  readonly failures: unknown[] = [];
  /** Names that no mirror has any more. */
  readonly gone: string[] = [];
  readonly #queue: PackageDownload[];
  readonly #store: LocalPackageStore;
  readonly #transfer: Transfer;
  readonly #options: PackageDownloadOptions;
  readonly #totalBytes: number;
  readonly #doneBytes = new Map<string, number>();

  constructor(wanted: readonly PackageDownload[], store: LocalPackageStore, transfer: Transfer, options: PackageDownloadOptions) {
    this.#queue = [...wanted].sort((a, b) => b.package.sizeBytes - a.package.sizeBytes); // the longest first, so that none is left over at the end
    this.#store = store;
    this.#transfer = transfer;
    this.#options = options;
    this.#totalBytes = wanted.reduce((sum, download) => sum + download.package.sizeBytes, 0);
  }

  async takeTurns(): Promise<void> {
    for (let next = this.#queue.shift(); next !== undefined && this.failures.length === 0; next = this.#queue.shift()) {
      try {
        await this.#fetch(next);
      } catch (error) {
        this.failures.push(error);
      }
    }
  }

  async #fetch({ package: item, urls }: PackageDownload): Promise<void> {
    const part = this.#store.part();
    try {
      const { missing } = await this.#transfer.download({
        urls,
        target: part,
        what: `${item.name} ${item.version}`,
        expected: { sha256: item.sha256, sizeBytes: item.sizeBytes },
        signal: this.#options.signal,
        onBytes: (bytes) => this.#report(item.sha256, bytes),
      });
      if (missing) this.gone.push(`${item.name} ${item.version}`);
      else this.#store.adopt(part, item.sha256);
    } finally {
      rmSync(part, { force: true });
    }
  }

  #report(key: string, bytes: number): void {
    this.#doneBytes.set(key, bytes);
    this.#options.onProgress?.(
      [...this.#doneBytes.values()].reduce((sum, value) => sum + value, 0),
      this.#totalBytes,
    );
  }
}

function failureOf(work: Work, downloads: readonly PackageDownload[], store: LocalPackageStore): unknown {
  const error = work.failures.find((failure) => failure instanceof BakehouseError && failure.code === "CANCELLED") ?? work.failures[0];
  const stored = storedBytes(downloads, store);
  if (error === undefined) {
    const message = `No mirror has ${work.gone.join(", ")} any more; ${stored}`;
    return new BakehouseError("MIRROR_UNAVAILABLE", message, {
      hint: "mirrors forget old versions: bakehouse lock --update moves to what they have now",
      details: { missing: work.gone },
    });
  }
  if (!(error instanceof BakehouseError) || error.code !== "MIRROR_UNAVAILABLE") return error;
  return new BakehouseError(
    "MIRROR_UNAVAILABLE",
    `${error.message}; ${stored}`,
    { ...error.help, details: { ...(error.help.details as object), missing: work.gone } },
    error,
  );
}

function storedBytes(downloads: readonly PackageDownload[], store: LocalPackageStore): string {
  const unique = [...new Map(downloads.map((download) => [download.package.sha256, download.package])).values()];
  const sum = (items: readonly { readonly sizeBytes: number }[]): number => items.reduce((total, item) => total + item.sizeBytes, 0);
  return `bytes already in the store: ${sum(unique.filter((item) => store.find(item.sha256) !== undefined))} of ${sum(unique)}`;
}
