import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { isAbsolute, join } from "node:path";
import { pathToFileURL } from "node:url";
import { parseDeb822, fieldOf, formatStanza } from "../../core/debian/deb822.ts";
import { scanPackages } from "../../core/debian/packages.ts";
import { archiveOfSuite } from "../../core/debian/sources.ts";
import { hexOf } from "../../core/digest.ts";
import { BakehouseError } from "../../core/errors.ts";
import type { LockedPackage } from "../../core/lock/model.ts";
import type { PackageResolver, PackageSources, Resolution, ResolveRequest } from "../../ports/package-resolver.ts";
import type { PackageStore } from "../../ports/package-store.ts";
import type { Transfer } from "../../ports/transfer.ts";
import { makeAptSet, type AptSet } from "./apt-set.ts";
import { checkAsked } from "./asked-packages.ts";
import { keepStanza, readControl, stanzaOf, statusOf, type StanzaSources } from "./control-stanzas.ts";
import type { PrintedUri } from "./explain.ts";
import { foundationNames } from "./foundation-names.ts";
import { mirrorRoots, type MirrorSettings } from "./host-mirrors.ts";
import { repositoryRoot, repositorySuites, type RepositorySuite } from "./repository-suites.ts";
import { askApt, type AptAnswer, type AptQuestion } from "./run-apt.ts";
import { openScratch, type Scratch } from "./scratch.ts";
import { SuiteCache, type SuiteState } from "./suite-cache.ts";

export interface AptResolverOptions {
  /** `<store>/apt`: lists, parsed lists, keys. All of it can be made anew. */
  readonly folder: string;
  /** Knows versions that mirrors have forgotten. */
  readonly packageStore: PackageStore;
  readonly transfer: Transfer;
  /** For BAKEHOUSE_MIRROR and BAKEHOUSE_ALLOW_EXPIRED; default the process's. */
  readonly environment?: Readonly<Record<string, string | undefined>>;
  /** Default `/etc/apt`. */
  readonly aptFolder?: string;
  /** Keys to verify Debian with, instead of the host's. */
  readonly debianKeyring?: string;
  readonly now?: () => Date;
}

/**
 * Resolves with the host's apt: in folders of our own, from lists that were fetched and verified here, on a dpkg status made up
 * from the lock. The host's apt state and settings are neither read nor changed (but for where its mirror is, and how to reach it).
 */
export function aptResolver(options: AptResolverOptions): PackageResolver {
  return new AptResolver(options);
}

class AptResolver implements PackageResolver {
  readonly #options: AptResolverOptions;
  readonly #mirrors: MirrorSettings;
  readonly #suites: SuiteCache;
  readonly #allowExpired: boolean;
  /** Sets that apt has parsed: the first question does that, and the others wait for it. */
  readonly #parsed = new Map<string, Promise<unknown>>();

  constructor(options: AptResolverOptions) {
    const environment = options.environment ?? process.env;
    const { folder, transfer, debianKeyring } = options;
    this.#options = options;
    this.#mirrors = {
      aptFolder: options.aptFolder ?? "/etc/apt",
      ...(environment["BAKEHOUSE_MIRROR"] === undefined ? {} : { override: environment["BAKEHOUSE_MIRROR"] }),
    };
    this.#allowExpired = environment["BAKEHOUSE_ALLOW_EXPIRED"] === "1";
    this.#suites = new SuiteCache({
      folder,
      transfer,
      now: options.now ?? (() => new Date()),
      ...(debianKeyring === undefined ? {} : { debianKeyring }),
    });
  }

  async resolve(request: ResolveRequest): Promise<Resolution> {
    const scratch = openScratch(this.#options.folder);
    try {
      request.signal.throwIfAborted();
      const states = await this.#fetch(request, request.refresh, scratch);
      return await this.#resolveFrom(states, request, scratch).catch((error: unknown) =>
        this.#resolveRefreshed(error, states, request, scratch),
      );
    } catch (error) {
      throw request.signal.aborted && !(error instanceof BakehouseError)
        ? new BakehouseError("CANCELLED", "Stopped while resolving packages", {}, error)
        : error;
    } finally {
      scratch.remove();
    }
  }

  /** A name that the lists lack may be in newer ones. */
  async #resolveRefreshed(error: unknown, states: readonly SuiteState[], request: ResolveRequest, scratch: Scratch): Promise<Resolution> {
    if (!(error instanceof BakehouseError) || error.code !== "PACKAGE_NOT_FOUND" || states.every(({ isFresh }) => isFresh)) throw error;
    const refreshed = await this.#fetch(request, true, scratch).catch((failure: unknown) => {
      if (!(failure instanceof BakehouseError) || failure.code !== "MIRROR_UNAVAILABLE") throw failure;
      throw new BakehouseError(
        "PACKAGE_NOT_FOUND",
        `${error.message}\n(the lists could not be refreshed: ${failure.message})`,
        error.help,
        error,
      );
    });
    return this.#resolveFrom(refreshed, request, scratch);
  }

  #fetch(request: ResolveRequest, refresh: boolean, scratch: Scratch): Promise<readonly SuiteState[]> {
    const { sources, signal } = request;
    const allowExpired = request.allowExpired ?? this.#allowExpired;
    return Promise.all(
      repositorySuites(sources, request.request.names, this.#mirrors).map((place) =>
        this.#suites.get({ place, sources, refresh, allowExpired, scratch, signal }),
      ),
    );
  }

  async #resolveFrom(states: readonly SuiteState[], request: ResolveRequest, scratch: Scratch): Promise<Resolution> {
    const set = makeAptSet(
      states.map(({ suite }) => suite),
      { sets: join(this.#options.folder, "sets"), lists: join(this.#options.folder, "lists") },
      scratch.path("set"),
    );
    const indexes = set.suites.flatMap(({ lists }) => lists.map(({ index }) => index));
    const stanzas: StanzaSources = {
      folder: join(this.#options.folder, "stanzas"),
      indexes,
      packageStore: this.#options.packageStore,
      signal: request.signal,
    };
    const files = await readFiles(request, stanzas);
    const kept = await forgottenPackages(request.keep, stanzas);
    const status = await statusOf(request.installed, request.baseStatus ?? "", stanzas);
    const question: AptQuestion = {
      set,
      folder: scratch.path("question"),
      status,
      arguments: argumentsOf(request, set, { files, kept, status }),
      recommends: request.request.recommends,
      preferred: request.keep.filter(({ repository }) => repository !== "local"),
      more: kept.map(({ stanza }) => stanza).join("\n"),
      onlyDebian: request.request.foundation !== undefined,
      signal: request.signal,
    };
    const printed = await this.#ask(question, scratch);
    const release = states.find(({ suite }) => suite.place.isDebian && suite.place.suite === request.sources.foundation?.suite)?.suite
      .release.release;
    return {
      packages: collect(printed, set, files, kept, stanzas),
      ...(release?.dateSeconds === undefined ? {} : { releaseDateSeconds: release.dateSeconds }),
      isFresh: states.every(({ isFresh }) => isFresh),
      wentBack: states.flatMap(({ wentBack }) => wentBack),
      warnings: states.flatMap(({ warnings }) => warnings),
    };
  }

  /** Prefers the versions of before; where they stand in the way, lets go of those that do, at last of all. */
  async #ask(question: AptQuestion, scratch: Scratch): Promise<readonly PrintedUri[]> {
    let preferred = question.preferred;
    for (let turn = 0; ; turn++) {
      const answer = await this.#askParsed({ ...question, preferred, folder: turn === 0 ? question.folder : scratch.path("question") });
      if (answer.kind === "packages") return answer.packages;
      if (preferred.length === 0) throw unsatisfiable(answer);
      const inTheWay = new Set(answer.conflicts.flatMap((conflict) => [conflict.package, ...conflict.others]));
      const rest = preferred.filter(({ name }) => !inTheWay.has(name));
      preferred = turn < MAX_TURNS && rest.length < preferred.length ? rest : [];
    }
  }

  /** apt parses the lists at the first question; if all asked at once, each would. */
  async #askParsed(question: AptQuestion): Promise<AptAnswer> {
    const { folder } = question.set;
    const first = this.#parsed.get(folder);
    if (first !== undefined) {
      await first.catch(() => undefined);
      return askApt(question);
    }
    const answer = askApt(question);
    this.#parsed.set(folder, answer);
    return answer;
  }

  locate(sources: PackageSources, packages: readonly LockedPackage[]): readonly (readonly string[])[] {
    const roots = new Map<string, readonly string[]>();
    const rootsOf = (repository: string): readonly string[] => {
      const known = roots.get(repository) ?? this.#rootsOf(repository, sources);
      roots.set(repository, known);
      return known;
    };
    return packages.map(({ repository, path }) => {
      if (repository === "local") return [pathToFileURL(inFolder(path, sources.folder)).href];
      return rootsOf(repository).map((root) => `${root}/${path.split("/").map(encodeURIComponent).join("/")}`);
    });
  }

  #rootsOf(repository: string, { foundation, repositories, folder }: PackageSources): readonly string[] {
    const own = repositories.find(({ name }) => name === repository);
    if (own !== undefined) return [repositoryRoot(own.url, folder)];
    const suite = repository === "debian-security" ? `${foundation?.suite ?? "stable"}-security` : (foundation?.suite ?? "stable");
    return archiveOfSuite(suite) === repository ? mirrorRoots(suite, foundation?.mirror, this.#mirrors) : [];
  }
}

/** Each costs a run of apt (0.25 CPU s). A guess. */
const MAX_TURNS = 4;

const inFolder = (path: string, folder: string): string => (isAbsolute(path) ? path : join(folder, path));

/** A `.deb` of the recipe's folder. */
interface LocalFile {
  readonly hostPath: string;
  readonly locked: LockedPackage;
  readonly provides: string;
}

async function readFiles(request: ResolveRequest, stanzas: StanzaSources): Promise<readonly LocalFile[]> {
  const files = request.request.files ?? [];
  return Promise.all(
    files.map(async (path) => {
      const hostPath = inFolder(path, request.sources.folder);
      const bytes = readLocal(hostPath, path);
      const control = await readControl(hostPath, request.signal);
      const field = (name: string): string => fieldOf(parseDeb822(control).stanzas[0] ?? { line: 1, fields: [] }, name) ?? "";
      const sha256 = `sha256:${createHash("sha256").update(bytes).digest("hex")}` as const;
      const locked: LockedPackage = {
        name: field("Package"),
        version: field("Version"),
        architecture: field("Architecture"),
        sha256,
        sizeBytes: bytes.length,
        path,
        repository: "local",
      };
      keepStanza(stanzas.folder, locked, control);
      return { hostPath, locked, provides: field("Provides") };
    }),
  );
}

function readLocal(hostPath: string, shown: string): Buffer {
  try {
    return readFileSync(hostPath);
  } catch (error) {
    throw new BakehouseError(
      "INPUT_INVALID",
      `${shown} cannot be read: ${(error as Error).message}`,
      { hint: "paths of .deb files are relative to the recipe's folder" },
      error,
    );
  }
}

/** A version of before that no list has any more, with a stanza for a list of our own. */
interface ForgottenPackage extends LockedPackage {
  readonly stanza: string;
}

/** Those of the versions to keep that only the package store has. */
async function forgottenPackages(keep: readonly LockedPackage[], stanzas: StanzaSources): Promise<readonly ForgottenPackage[]> {
  const isListed = (item: LockedPackage): boolean =>
    stanzas.indexes.some((index) => index.find(item.name).some(({ version }) => version === item.version));
  const forgotten = keep.filter(
    (item) => item.repository !== "local" && !isListed(item) && stanzas.packageStore.find(item.sha256) !== undefined,
  );
  const found = await Promise.all(
    forgotten.map(async (item) => {
      const control = await stanzaOf(item, stanzas);
      return control === undefined ? [] : [{ ...item, stanza: listStanza(item, control) }];
    }),
  );
  return found.flat();
}

const ARCHIVE_FIELDS = ["filename", "size", "sha256", "md5sum", "sha1", "sha512", "description", "description-md5"];

function listStanza(item: LockedPackage, control: string): string {
  const fields = (parseDeb822(control).stanzas[0]?.fields ?? []).filter(({ name }) => !ARCHIVE_FIELDS.includes(name.toLowerCase()));
  return formatStanza([
    ...fields,
    { name: "Filename", value: item.path },
    { name: "Size", value: String(item.sizeBytes) },
    { name: "SHA256", value: hexOf(item.sha256) },
  ]);
}

function argumentsOf(
  request: ResolveRequest,
  set: AptSet,
  known: { readonly files: readonly LocalFile[]; readonly kept: readonly LockedPackage[]; readonly status: string },
): readonly string[] {
  const installed = new Set<string>();
  scanPackages(known.status, ({ name }) => installed.add(name));
  const files = known.files.map(({ locked, provides }) => ({ name: locked.name, version: locked.version, provides }));
  const asked = checkAsked(request.request.names, set, { files, kept: known.kept, installed });
  const foundation = request.request.foundation === undefined ? [] : foundationNames(request.request.foundation, set);
  // A name that a local file has means the file.
  const named = asked.filter(({ name, excluded }) => excluded || !files.some((file) => file.name === name)).map(({ text }) => text);
  return [...foundation, ...named, ...known.files.map(({ hostPath }) => hostPath)];
}

function collect(
  printed: readonly PrintedUri[],
  set: AptSet,
  files: readonly LocalFile[],
  kept: readonly ForgottenPackage[],
  stanzas: StanzaSources,
): readonly LockedPackage[] {
  const local = new Set(files.map(({ locked }) => locked.name));
  const packages = printed.filter(({ name }) => !local.has(name)).map((uri) => lockedPackage(uri, set, kept, stanzas));
  return [...packages, ...files.map(({ locked }) => locked)].sort((a, b) => (a.name < b.name ? -1 : 1));
}

function lockedPackage(uri: PrintedUri, set: AptSet, kept: readonly ForgottenPackage[], stanzas: StanzaSources): LockedPackage {
  const repository = set.repositoryOf(uri.host);
  if (repository === undefined) {
    const found = kept.find(({ name, version }) => name === uri.name && version === uri.version);
    if (found === undefined) throw new Error(`apt chose ${uri.name} ${uri.version} from ${uri.host}, which it was not given`);
    const { stanza: _, ...item } = found;
    return item;
  }
  if (uri.sha256 === undefined)
    throw new BakehouseError(
      "PACKAGES_UNSATISFIABLE",
      `${repository} lists ${uri.name} ${uri.version} without a SHA-256, so it cannot be locked`,
      { hint: "the repository has to publish SHA256 in its Packages file" },
    );
  const stanza = listedStanza(uri, set, repository);
  const path = (fieldOf(parseDeb822(stanza).stanzas[0] ?? { line: 1, fields: [] }, "Filename") ?? "").replace(/^(\.?\/)+/, "");
  const locked: LockedPackage = {
    name: uri.name,
    version: uri.version,
    architecture: uri.architecture,
    sha256: `sha256:${uri.sha256}`,
    sizeBytes: uri.sizeBytes,
    path,
    repository,
  };
  keepStanza(stanzas.folder, locked, stanza);
  return locked;
}

function listedStanza(uri: PrintedUri, set: AptSet, repository: string): string {
  for (const { place, lists } of set.suites as readonly {
    readonly place: RepositorySuite;
    readonly lists: AptSet["suites"][number]["lists"];
  }[]) {
    if (place.repository !== repository) continue;
    for (const { index } of lists) {
      const stanza = index
        .find(uri.name)
        .filter(({ version }) => version === uri.version)
        .map((row) => index.stanza(row))
        .find((text) => text.includes(uri.sha256 ?? ""));
      if (stanza !== undefined) return stanza;
    }
  }
  throw new Error(`apt chose ${uri.name} ${uri.version}, which is not in the lists of ${repository}`);
}

function unsatisfiable(answer: Extract<AptAnswer, { readonly kind: "unsatisfiable" }>): BakehouseError {
  const details = { conflicts: answer.conflicts.map((conflict) => ({ ...conflict })), removals: answer.removals, errors: answer.errors };
  const reasons = answer.conflicts.flatMap((conflict) => conflict.reasons.map((reason) => `  ${conflict.package} ${reason}`));
  if (reasons.length > 0) {
    return new BakehouseError(
      "PACKAGES_UNSATISFIABLE",
      `These packages cannot be installed together:\n${[...new Set(reasons)].join("\n")}`,
      { hint: "leave one out (`name-`), or ask for another version (`name=version`) or suite (`name/suite`)", details },
    );
  }
  if (answer.removals.length > 0) {
    const message = `This would take out ${answer.removals.join(", ")}, which the layers below have`;
    return new BakehouseError("PACKAGES_UNSATISFIABLE", message, {
      hint: "a layer only adds: choose a package that gets along with it, or leave the other out of the layer below",
      details,
    });
  }
  return new BakehouseError("PACKAGES_UNSATISFIABLE", answer.errors.join("\n"), { details });
}
