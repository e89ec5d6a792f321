import { createHash } from "node:crypto";
import { copyFileSync, existsSync, linkSync, mkdirSync, readdirSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { compareVersions } from "../../core/debian/version.ts";
import { relabelRelease } from "../../core/debian/release.ts";
import { adopt, storeError } from "../local-store/files.ts";
import type { PackageIndex } from "./package-index.ts";
import type { PackageList } from "./package-lists.ts";
import type { VerifiedRelease } from "./release-files.ts";
import type { RepositorySuite } from "./repository-suites.ts";

/** One suite with what was fetched of it. */
export interface FetchedSuite {
  readonly place: RepositorySuite;
  readonly release: VerifiedRelease;
  readonly lists: readonly PackageList[];
}

/**
 * Everything that apt reads to resolve from certain lists. Named by their digests, so it never changes once it is there:
 *
 *     <folder>/lists/           hard links to the lists, under the names that apt gives them; release files with our label
 *     <folder>/cache/           apt's own parsed form of the lists, 0.3 s saved each time
 *     <folder>/sources.list
 *
 * apt is told of hosts that do not exist (`r0.bakehouse`), one for each repository: it never fetches anything, what it answers
 * shows which repository a package is from, and the same lists serve whatever mirror they came from.
 */
export interface AptSet {
  readonly folder: string;
  readonly suites: readonly FetchedSuite[];
  /** Repository behind a host name that apt answered with. */
  repositoryOf(host: string): string | undefined;
  /** The label that pins a repository; of one suite when `suite` is given. */
  readonly labels: readonly { readonly suite: FetchedSuite; readonly label: string }[];
}

/** Of all suites of a set. */
export const newestVersion = (name: string, { suites }: AptSet): string | undefined =>
  suites
    .flatMap(({ lists }) => lists.flatMap(({ index }) => index.find(name).map(({ version }) => version)))
    .sort(compareVersions)
    .at(-1);

/** Sets older than the newest few belong to lists that have moved on. */
const SETS_KEPT = 4;
/** A list that no set has may be one that a set is being made of right now. */
const UNUSED_MS = 3_600_000;

/** @param draft  a path that does not exist, on the same disk */
export function makeAptSet(
  suites: readonly FetchedSuite[],
  folders: { readonly sets: string; readonly lists: string },
  draft: string,
): AptSet {
  const repositories = [...new Set(suites.map(({ place }) => place.repository))];
  const named = suites.map((suite, number) => ({
    suite,
    host: `r${repositories.indexOf(suite.place.repository)}.bakehouse`,
    label: `bakehouse-${number}`,
  }));
  const identity = named.map(({ suite, host, label }) => [
    host,
    label,
    suite.place.suite,
    suite.place.components,
    suite.release.digest,
    suite.lists.map(({ path, digest }) => [path, digest]),
  ]);
  const folder = join(folders.sets, createHash("sha256").update(JSON.stringify(identity)).digest("hex").slice(0, 16));
  if (existsSync(folder)) utimesSync(folder, new Date(), new Date());
  else {
    writeSet(named, folder, draft);
    removeOldSets(folders.sets);
    removeUnusedLists(folders.lists);
  }
  return {
    folder,
    suites,
    repositoryOf: (host) => repositories[Number(/^r(\d+)\.bakehouse$/.exec(host)?.[1] ?? -1)],
    labels: named,
  };
}

interface NamedSuite {
  readonly suite: FetchedSuite;
  readonly host: string;
  readonly label: string;
}

function writeSet(named: readonly NamedSuite[], folder: string, draft: string): void {
  try {
    for (const name of ["lists/partial", "cache/archives/partial", "etc"]) mkdirSync(join(draft, name), { recursive: true });
    for (const one of named) writeSuite(one, join(draft, "lists"));
    writeFileSync(
      join(draft, "sources.list"),
      named.map(({ suite: { place }, host }) => `deb [trusted=yes] http://${host} ${place.suite} ${place.components.join(" ")}\n`).join(""),
    );
    adopt(draft, folder);
  } catch (error) {
    throw storeError(error, draft);
  } finally {
    rmSync(draft, { recursive: true, force: true });
  }
}

function writeSuite({ suite, host, label }: NamedSuite, lists: string): void {
  const { place } = suite;
  const base = place.suite.endsWith("/") ? `${host}/${place.suite}` : `${host}/dists/${place.suite}/`;
  writeFileSync(join(lists, listName(`${base}Release`)), relabelRelease(suite.release.text, label));
  for (const { path, index } of suite.lists) linkList(index, join(lists, listName(base + path)));
}

function linkList(index: PackageIndex, to: string): void {
  try {
    linkSync(index.packagesFile, to);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return; // two suites of equal lists
    copyFileSync(index.packagesFile, to);
  }
}

/** apt's file name for a URL without its scheme: some characters quoted, slashes as underscores. */
const listName = (url: string): string =>
  url.replace(/[%\\|{}[\]<>"^~_=!@#$&*]/g, (char) => `%${char.charCodeAt(0).toString(16).padStart(2, "0")}`).replaceAll("/", "_");

function removeOldSets(setsFolder: string): void {
  const sets = readdirSync(setsFolder)
    .filter((name) => /^[0-9a-f]{16}$/.test(name))
    .map((name) => ({ path: join(setsFolder, name), usedMs: statSync(join(setsFolder, name), { throwIfNoEntry: false })?.mtimeMs ?? 0 }))
    .sort((a, b) => b.usedMs - a.usedMs);
  for (const { path } of sets.slice(SETS_KEPT)) rmSync(path, { recursive: true, force: true });
}

/** A list in use has a hard link in a set. */
function removeUnusedLists(folder: string): void {
  for (const name of readdirSync(folder)) {
    const about = statSync(join(folder, name, "Packages"), { throwIfNoEntry: false });
    if (about !== undefined && about.nlink === 1 && Date.now() - about.mtimeMs > UNUSED_MS)
      rmSync(join(folder, name), { recursive: true, force: true });
  }
}
