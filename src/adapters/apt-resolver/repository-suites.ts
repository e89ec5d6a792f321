import { isAbsolute, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { archiveOfSuite, isDebianSuite, withoutLogin } from "../../core/debian/sources.ts";
import { parsePackageArgument } from "../../core/debian/package-argument.ts";
import type { AptRepository } from "../../core/recipe/model.ts";
import type { PackageSources } from "../../ports/package-resolver.ts";
import { mirrorRoots, type MirrorSettings } from "./host-mirrors.ts";

/** One suite of one repository: what has one release file. */
export interface RepositorySuite {
  /** As the lock names it. */
  readonly repository: string;
  /** Roots without a slash at the end, best first. */
  readonly roots: readonly string[];
  /** Ends in `/` for a flat repository, which has no components. */
  readonly suite: string;
  readonly components: readonly string[];
  /** Key file on the host and as the recipe has it; absent: Debian's keys. */
  readonly keyFile?: { readonly path: string; readonly shown: string };
  readonly trusted: boolean;
  readonly priority?: number;
  /** Debian's own, which a foundation may be made from. */
  readonly isDebian: boolean;
}

/**
 * Every suite that a step's packages may come from: the foundation's, those that its list names (`curl/bookworm-backports`),
 * the recipe's own repositories.
 */
export function repositorySuites(sources: PackageSources, names: readonly string[], mirrors: MirrorSettings): readonly RepositorySuite[] {
  return [
    ...debianSuites(sources.foundation, names, mirrors),
    ...sources.repositories.flatMap((repository) => recipeSuites(repository, sources.folder)),
  ];
}

/** Suites that are asked for by name but belong to another release are never chosen unless asked for. */
const ONLY_WHEN_ASKED = 100;

function debianSuites(
  foundation: PackageSources["foundation"],
  names: readonly string[],
  mirrors: MirrorSettings,
): readonly RepositorySuite[] {
  if (foundation === undefined) return [];
  const { suite, components, mirror } = foundation;
  const isRolling = suite === "sid" || suite === "unstable";
  const own = [
    suite,
    ...(foundation.updates && !isRolling ? [`${suite}-updates`] : []),
    ...(foundation.security && !isRolling ? [`${suite}-security`] : []),
  ];
  const asked = names
    .map((name) => parsePackageArgument(name)?.suite)
    .filter((name) => name !== undefined && isDebianSuite(name) && !own.includes(name)) as readonly string[];
  const place = (name: string): RepositorySuite => ({
    repository: archiveOfSuite(name),
    roots: mirrorRoots(name, mirror, mirrors),
    suite: name,
    components,
    trusted: false,
    isDebian: true,
  });
  return [...own.map(place), ...[...new Set(asked)].sort().map((name) => ({ ...place(name), priority: ONLY_WHEN_ASKED }))];
}

function recipeSuites(repository: AptRepository, folder: string): readonly RepositorySuite[] {
  return repository.suites.map((suite) => ({
    repository: repository.name,
    roots: [repositoryRoot(repository.url, folder)],
    suite,
    components: suite.endsWith("/") ? [] : repository.components,
    ...(repository.keyFile === undefined ? {} : { keyFile: { path: inFolder(repository.keyFile, folder), shown: repository.keyFile } }),
    trusted: repository.trusted === true,
    ...(repository.priority === undefined ? {} : { priority: repository.priority }),
    isDebian: false,
  }));
}

const inFolder = (path: string, folder: string): string => (isAbsolute(path) ? path : join(folder, path));

/** `file:relative/to/recipe` becomes absolute; other URLs lose the slash at their end. */
export function repositoryRoot(url: string, folder: string): string {
  const bare = url.replace(/\/+$/, "");
  if (!bare.startsWith("file:")) return bare;
  const path = bare.startsWith("file:/")
    ? fileURLToPath(bare.replace(/^file:\/(?!\/)/, "file:///"))
    : join(folder, bare.slice("file:".length));
  return pathToFileURL(path).href;
}

/** The folder of a suite below the root, with its slash: `dists/bookworm/`, or the suite itself in a flat repository. */
export const suiteFolder = ({ suite }: RepositorySuite): string =>
  suite.endsWith("/") ? suite.replace(/^(\.?\/)+/, "") : `dists/${suite}/`;

/** For messages: where it is looked for first. */
export const shownRoot = ({ roots }: RepositorySuite): string => withoutLogin(roots[0] ?? "");

/** For messages: `debian-security bookworm-security`. */
export const shownSuite = ({ repository, suite }: RepositorySuite): string => `${repository} ${suite}`;
