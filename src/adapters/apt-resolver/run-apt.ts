import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { BakehouseError } from "../../core/errors.ts";
import type { LockedPackage } from "../../core/lock/model.ts";
import { newestVersion, type AptSet } from "./apt-set.ts";
import { readErrors, readPrintedUris, readRemovals, readUnmet, type Conflict, type PrintedUri } from "./explain.ts";
import { runProgram } from "./run-program.ts";

export interface AptQuestion {
  readonly set: AptSet;
  /** A folder that does not exist yet, for this question's own files. */
  readonly folder: string;
  /** dpkg status file. */
  readonly status: string;
  /** `name`, `name=version`, `name/suite`, `name-`, or the absolute path of a `.deb`. */
  readonly arguments: readonly string[];
  readonly recommends: boolean;
  /** Versions to choose where there is a choice. */
  readonly preferred: readonly LockedPackage[];
  /** A Packages file with more versions than the lists have; empty for none. */
  readonly more: string;
  /** Choose nothing from repositories other than Debian's. */
  readonly onlyDebian: boolean;
  readonly signal: AbortSignal;
}

export type AptAnswer =
  | { readonly kind: "packages"; readonly packages: readonly PrintedUri[] }
  | {
      readonly kind: "unsatisfiable";
      readonly conflicts: readonly Conflict[];
      readonly removals: readonly string[];
      readonly errors: readonly string[];
    };

/** Above the 500 of a repository and the 990 of a target release, below the 1001 that would force a downgrade. */
const PREFERRED = 995;

/** Asks the host's apt what it would fetch. It reads only our files, writes only its cache in the set, and fetches nothing. */
export async function askApt(question: AptQuestion): Promise<AptAnswer> {
  const { folder, set } = question;
  mkdirSync(join(folder, "etc"), { recursive: true });
  writeFileSync(join(folder, "status"), question.status);
  writeFileSync(join(folder, "preferences"), preferencesOf(question));
  writeFileSync(join(folder, "Packages"), question.more);
  writeFileSync(join(folder, "apt.conf"), configurationOf(folder, set.folder, question.recommends));
  const more = question.more === "" ? [] : ["--with-source", join(folder, "Packages")];
  const argv = [
    "apt-get",
    "install",
    "--print-uris",
    "-q",
    "-y",
    "--no-remove",
    "--allow-downgrades",
    ...more,
    "--",
    ...question.arguments,
  ] as const;
  const { exitCode, stdout, stderr } = await runProgram([...argv], {
    debianPackage: "apt",
    environment: { APT_CONFIG: join(folder, "apt.conf") },
    signal: question.signal,
  });
  if (exitCode === 0) return { kind: "packages", packages: readPrintedUris(stdout) };
  const said = `${stdout}\n${stderr}`;
  const removals = readRemovals(said);
  const conflicts = said.includes("unmet dependencies:") ? readUnmet(said, (name) => newestVersion(name, set)) : [];
  const errors = readErrors(said);
  if (errors.length === 0) throw new Error(`apt-get ended with ${exitCode}: ${said.trim()}`);
  if (
    conflicts.length + removals.length === 0 &&
    errors.some((error) => /could not be parsed or opened|Could not open|Unable to (?:parse|write)/.test(error))
  )
    throw new BakehouseError("STORE_DAMAGED", `apt cannot read its lists in ${set.folder}: ${errors.join("; ")}`, {
      hint: `remove ${set.folder} and run again: it is only a cache`,
    });
  return { kind: "unsatisfiable", conflicts, removals, errors };
}

function preferencesOf(question: AptQuestion): string {
  const repositories = question.set.labels.flatMap(({ suite: { place }, label }) => {
    const priority = question.onlyDebian && !place.isDebian ? -1 : place.priority;
    return priority === undefined ? [] : [`Package: *\nPin: release l=${label}\nPin-Priority: ${priority}\n`];
  });
  const versions = question.preferred.map(({ name, version }) => `Package: ${name}\nPin: version ${version}\nPin-Priority: ${PREFERRED}\n`);
  return [...repositories, ...versions].join("\n");
}

/** The host's own apt.conf and apt.conf.d are not read: they may switch off checks, clean caches or run hooks. */
const configurationOf = (folder: string, set: string, recommends: boolean): string => `
Dir "${folder}";
Dir::Etc "${folder}/etc";
Dir::Etc::main "/dev/null";
Dir::Etc::parts "/dev/null";
Dir::Etc::sourcelist "${set}/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "${folder}/preferences";
Dir::Etc::preferencesparts "/dev/null";
Dir::Etc::trusted "/dev/null";
Dir::Etc::trustedparts "/dev/null";
Dir::Etc::netrc "/dev/null";
Dir::Etc::netrcparts "/dev/null";
Dir::State "${folder}";
Dir::State::lists "${set}/lists";
Dir::State::status "${folder}/status";
Dir::State::extended_states "/dev/null";
Dir::Cache "${set}/cache";
Dir::Cache::archives "${set}/cache/archives";
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "lists.bin";
Dir::Log::Planner "";
Dir::Log::Solver "";
APT::Architecture "amd64";
APT::Architectures { "amd64"; };
APT::Sandbox::User "";
APT::Install-Recommends "${recommends}";
APT::Install-Suggests "false";
APT::Get::AllowUnauthenticated "true"; // the release files were verified before apt got them
Acquire::Languages "none";
Acquire::ForceHash "SHA256";
Acquire::Check-Valid-Until "true";
Debug::NoLocking "true";
`;
