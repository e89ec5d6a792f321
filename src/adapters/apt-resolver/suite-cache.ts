import { join } from "node:path";
import type { PackageSources } from "../../ports/package-resolver.ts";
import type { Transfer } from "../../ports/transfer.ts";
import type { FetchedSuite } from "./apt-set.ts";
import { debianKeyring, recipeKeyring, type Keyring } from "./keyrings.ts";
import { packageLists, releaseOfBareRepository, type ListContext } from "./package-lists.ts";
import { fetchRelease, knownRelease, type ReleaseContext } from "./release-files.ts";
import type { RepositorySuite } from "./repository-suites.ts";
import type { Scratch } from "./scratch.ts";

export interface SuiteState {
  readonly suite: FetchedSuite;
  /** Compared with the mirror in this run. */
  readonly isFresh: boolean;
  /** What of `warnings` says that the mirror went back in time. */
  readonly wentBack: readonly string[];
  readonly warnings: readonly string[];
}

export interface SuiteCacheOptions {
  /** `<store>/apt` */
  readonly folder: string;
  readonly transfer: Transfer;
  readonly debianKeyring?: string;
  now(): Date;
}

export interface SuiteRequest {
  readonly place: RepositorySuite;
  readonly sources: PackageSources;
  readonly refresh: boolean;
  readonly allowExpired: boolean;
  readonly scratch: Scratch;
  readonly signal: AbortSignal;
}

/**
 * Release files and lists of suites: from disk where they are good enough, from mirrors where not; each mirror is asked at
 * most once in a run.
 */
export class SuiteCache {
  readonly #options: SuiteCacheOptions;
  readonly #known = new Map<string, Promise<SuiteState | undefined>>();
  readonly #fresh = new Map<string, Promise<SuiteState>>();
  /** Lists take 50 MB of memory each while they are indexed, so one at a time. */
  #indexing: Promise<unknown> = Promise.resolve();

  constructor(options: SuiteCacheOptions) {
    this.#options = options;
  }

  async get(request: SuiteRequest): Promise<SuiteState> {
    const key = JSON.stringify([request.place, request.allowExpired]);
    const fresh = this.#fresh.get(key);
    if (fresh !== undefined) return fresh;
    if (!request.refresh) {
      const known = await remembered(this.#known, key, () => this.#fromDisk(request));
      if (known !== undefined) return known;
    }
    return remembered(this.#fresh, key, () => this.#fromMirror(request));
  }

  async #fromDisk(request: SuiteRequest): Promise<SuiteState | undefined> {
    const warnings: string[] = [];
    const context = this.#context(request, warnings);
    const release = knownRelease(request.place, context.release);
    if (release === undefined) return undefined;
    const lists = await this.#inTurn(() => packageLists(request.place, release, context.lists));
    return { suite: { place: request.place, release, lists }, isFresh: false, wentBack: [], warnings };
  }

  async #fromMirror(request: SuiteRequest): Promise<SuiteState> {
    const warnings: string[] = [];
    const wentBack: string[] = [];
    const context = this.#context(request, warnings, wentBack);
    const release = await fetchRelease(request.place, context.release);
    const lists = await this.#inTurn(() => packageLists(request.place, release, context.lists));
    return { suite: { place: request.place, release, lists }, isFresh: true, wentBack, warnings };
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#indexing.then(work, work);
    this.#indexing = turn.catch(() => undefined);
    return turn;
  }

  #context(
    { place, scratch, signal, allowExpired }: SuiteRequest,
    warnings: string[],
    wentBack: string[] = [],
  ): { readonly release: ReleaseContext; readonly lists: ListContext } {
    const { folder, transfer, now } = this.#options;
    const path = (name: string): string => scratch.path(name);
    const lists: ListContext = { folder: join(folder, "lists"), transfer, signal, scratch: path };
    const release: ReleaseContext = {
      folder: join(folder, "releases"),
      scratch: path,
      transfer,
      keyring: this.#keyring(place),
      nowSeconds: Math.floor(now().getTime() / 1000),
      allowExpired,
      signal,
      warn: (message) => void warnings.push(message),
      wentBack: (message) => void wentBack.push(message),
      bareRelease: () => releaseOfBareRepository(place, lists),
    };
    return { release, lists };
  }

  #keyring(place: RepositorySuite): Keyring | undefined {
    const cache = join(this.#options.folder, "keyrings");
    if (place.trusted) return undefined;
    return place.keyFile === undefined
      ? debianKeyring(cache, this.#options.debianKeyring)
      : recipeKeyring(place.keyFile.path, place.keyFile.shown, cache);
  }
}

/** A failure is not remembered: the next who asks may have better luck, or other settings. */
async function remembered<T>(cache: Map<string, Promise<T>>, key: string, make: () => Promise<T>): Promise<T> {
  const known = cache.get(key);
  if (known !== undefined) return known;
  const made = make();
  cache.set(key, made);
  try {
    const value = await made;
    if (value === undefined) cache.delete(key);
    return value;
  } catch (error) {
    cache.delete(key);
    throw error;
  }
}
