import { providedNames } from "../../core/debian/packages.ts";
import { parsePackageArgument, type PackageArgument } from "../../core/debian/package-argument.ts";
import { compareVersions } from "../../core/debian/version.ts";
import { BakehouseError } from "../../core/errors.ts";
import type { JsonValue } from "../../core/json.ts";
import type { LockedPackage } from "../../core/lock/model.ts";
import { didYouMean, shortList } from "../../core/text/did-you-mean.ts";
import type { AptSet } from "./apt-set.ts";

/** What can be asked for besides what the lists have. */
export interface Extra {
  /** Local `.deb` files, by name. */
  readonly files: readonly { readonly name: string; readonly version: string; readonly provides: string }[];
  /** Versions that only the package store has any more. */
  readonly kept: readonly LockedPackage[];
  /** Names that the layers below have installed. */
  readonly installed: ReadonlySet<string>;
}

interface Mistake {
  readonly asked: string;
  readonly message: string;
}

/**
 * Checks every name, version and suite against the lists before apt sees them: apt stops at the first kind of mistake, and
 * would take some names for patterns.
 *
 * @returns the arguments for apt
 * @throws BakehouseError PACKAGE_NOT_FOUND, all mistakes at once
 */
export function checkAsked(names: readonly string[], set: AptSet, extra: Extra): readonly PackageArgument[] {
  const checked = names.map((text) => ({ text, argument: parsePackageArgument(text) }));
  const mistakes = checked.flatMap(({ text, argument }) => {
    const message = argument === undefined ? formMistake(text) : mistakeIn(argument, set, extra);
    return message === undefined ? [] : [{ asked: text, message }];
  });
  if (mistakes.length > 0) throw notFound(mistakes, set);
  return checked.flatMap(({ argument }) => (argument === undefined ? [] : [argument]));
}

const formMistake = (text: string): string =>
  parsePackageArgument(text.toLowerCase()) === undefined
    ? "is not written as name, name=version, name/suite or name-"
    : `is in no repository: names are lower case, as ${text.toLowerCase()}`;

function notFound(mistakes: readonly Mistake[], set: AptSet): BakehouseError {
  const details: JsonValue = { packages: mistakes.map(({ asked }) => asked) };
  const from = [...new Set(set.suites.map(({ place }) => place.suite))].join(", ");
  return new BakehouseError("PACKAGE_NOT_FOUND", mistakes.map(({ asked, message }) => `${asked} ${message}`).join("\n"), {
    hint: `looked in ${from === "" ? "no repository at all" : from}; correct the name, add the repository that has it, or refresh the lists: bakehouse lock --update`,
    details,
  });
}

function mistakeIn(argument: PackageArgument, set: AptSet, extra: Extra): string | undefined {
  const { name } = argument;
  const versions = versionsOf(name, set, extra);
  if (versions.length === 0 && !extra.installed.has(name)) return absenceMistake(argument, set, extra);
  if (argument.version !== undefined) return versionMistake(argument.version, versions);
  return argument.suite === undefined ? undefined : suiteMistake(argument.suite, name, set);
}

/** A name that no package has: a virtual one, or a misspelt one. */
function absenceMistake({ name, version, suite }: PackageArgument, set: AptSet, extra: Extra): string | undefined {
  const providers = [
    ...set.suites.flatMap(({ lists }) => lists.flatMap(({ index }) => index.providersOf(name))),
    ...extra.files.filter(({ provides }) => providedNames(provides).includes(name)).map((file) => file.name),
  ];
  const distinct = [...new Set(providers)].sort();
  if (distinct.length === 0) {
    const guess = didYouMean(
      name,
      set.suites.flatMap(({ lists }) => lists.flatMap(({ index }) => index.names())),
    );
    return guess === undefined ? "is in no repository" : `is in no repository: did you mean ${guess}?`;
  }
  if (version !== undefined || suite !== undefined) return "is a virtual package and has no versions of its own";
  return distinct.length === 1 ? undefined : `is a virtual package: ask for one of those that provide it: ${shortList(distinct)}`;
}

function versionsOf(name: string, set: AptSet, extra: Extra): readonly string[] {
  const listed = set.suites.flatMap(({ lists }) => lists.flatMap(({ index }) => index.find(name).map(({ version }) => version)));
  const others = [...extra.files, ...extra.kept].filter((item) => item.name === name).map(({ version }) => version);
  return [...new Set([...listed, ...others])].sort((a, b) => compareVersions(b, a));
}

/** apt takes `1.2*` for any version that begins so. */
function versionMistake(wanted: string, versions: readonly string[]): string | undefined {
  const fits = wanted.endsWith("*")
    ? (version: string) => version.startsWith(wanted.slice(0, -1))
    : (version: string) => version === wanted;
  return versions.some(fits) ? undefined : `has no such version; there is ${versions.slice(0, 5).join(", ")}`;
}

function suiteMistake(wanted: string, name: string, set: AptSet): string | undefined {
  const having = set.suites.filter(({ lists }) => lists.some(({ index }) => index.find(name).length > 0));
  const namesOf = ({ place, release }: AptSet["suites"][number]): readonly (string | undefined)[] => [
    place.suite,
    release.release.suite,
    release.release.codename,
  ];
  if (having.some((suite) => namesOf(suite).includes(wanted))) return undefined;
  return `is not in ${wanted}; it is in ${[...new Set(having.map(({ place }) => place.suite))].join(", ") || "no suite"}`;
}
