import { createHash } from "node:crypto";
import { spawn } from "node:child_process";
import { closeSync, createReadStream, createWriteStream, mkdirSync, openSync, readFileSync, renameSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { createGunzip } from "node:zlib";
import { BakehouseError } from "../../core/errors.ts";
import { adopt, storeError, writeAtomically } from "../local-store/files.ts";
import { buildIndex, openIndex, type PackageIndex } from "./package-index.ts";
import type { TransferRequest } from "../../ports/transfer.ts";
import type { ReleaseContext, VerifiedRelease } from "./release-files.ts";
import { shownRoot, shownSuite, suiteFolder, type RepositorySuite } from "./repository-suites.ts";

/** The list of one component and architecture, with its path below the suite's folder, uncompressed. */
export interface PackageList {
  readonly path: string;
  /** Hex digest of the compressed file: the name of its folder. */
  readonly digest: string;
  readonly index: PackageIndex;
}

export interface ListContext extends Pick<ReleaseContext, "transfer" | "signal" | "scratch"> {
  /** Lists by digest; shared by everything that has the same list. */
  readonly folder: string;
}

/** Gunzipping costs a third of the CPU time of xz here (0.25 to 0.6 s for 50 MB) for a third more bytes. */
const FORMS = [".gz", ".xz", ""] as const;

/**
 * The lists of a suite's components, fetched where they are not there yet.
 *
 * @throws BakehouseError PACKAGE_NOT_FOUND (no such component), MIRROR_UNAVAILABLE, DIGEST_MISMATCH, SETUP_INCOMPLETE (xz)
 */
export async function packageLists(
  place: RepositorySuite,
  { release }: VerifiedRelease,
  context: ListContext,
): Promise<readonly PackageList[]> {
  const architectures = release.hasIndexForAll ? ["amd64", "all"] : ["amd64"];
  const lists: PackageList[] = [];
  const components = place.suite.endsWith("/") ? [""] : place.components;
  for (const component of components) {
    const paths = component === "" ? ["Packages"] : architectures.map((architecture) => `${component}/binary-${architecture}/Packages`);
    const there = paths.filter((path) => FORMS.some((form) => release.files.has(path + form)));
    if (there.length === 0) throw noComponent(place, component, [...release.files.keys()]);
    for (const path of there) lists.push(await packageList(place, path, release, context)); // one after another: each takes 50 MB
  }
  return lists;
}

function noComponent(place: RepositorySuite, component: string, paths: readonly string[]): BakehouseError {
  const known = [...new Set(paths.flatMap((path) => /^(.+)\/binary-amd64\/Packages/.exec(path)?.[1] ?? []))];
  const message =
    component === "" ? `${shownSuite(place)} lists no Packages file` : `${shownSuite(place)} has no component "${component}" for amd64`;
  return new BakehouseError("PACKAGE_NOT_FOUND", message, {
    hint: known.length === 0 ? "check suites and components of this repository" : `its components: ${known.join(", ")}`,
  });
}

async function packageList(
  place: RepositorySuite,
  path: string,
  release: VerifiedRelease["release"],
  context: ListContext,
): Promise<PackageList> {
  const forms = FORMS.flatMap((form) => {
    const entry = release.files.get(path + form);
    return entry === undefined ? [] : [{ form, entry }];
  });
  for (const { entry } of forms) {
    const index = openIndex(join(context.folder, entry.sha256));
    if (index !== undefined) return { path, digest: entry.sha256, index };
  }
  for (const { form, entry } of forms) {
    const byHash = release.acquireByHash ? [`${path.slice(0, path.lastIndexOf("/") + 1)}by-hash/SHA256/${entry.sha256}`] : [];
    const urls = [...byHash, path + form].flatMap((name) => place.roots.map((root) => `${root}/${suiteFolder(place)}${name}`));
    const target = context.scratch("Packages-compressed");
    const expected: TransferRequest["expected"] = { sha256: `sha256:${entry.sha256}`, sizeBytes: entry.sizeBytes };
    const { missing } = await context.transfer.download({
      urls,
      target,
      what: `the package list ${path}${form} of ${shownSuite(place)}`,
      expected,
      signal: context.signal,
    });
    if (!missing) return { path, digest: entry.sha256, index: await unpackList(target, form, entry.sha256, context) };
  }
  const message = `The release file of ${shownSuite(place)} names ${path}, but ${shownRoot(place)} does not have it`;
  throw new BakehouseError("MIRROR_UNAVAILABLE", message, {
    hint: "the mirror is in the middle of an update: try again in a few minutes, or name another with BAKEHOUSE_MIRROR=URL",
  });
}

async function unpackList(compressed: string, form: (typeof FORMS)[number], digest: string, context: ListContext): Promise<PackageIndex> {
  const folder = context.scratch("list");
  const packages = join(folder, "Packages");
  mkdirSync(folder, { recursive: true });
  try {
    await decompress(compressed, form, packages, context.signal);
    rmSync(compressed, { force: true });
    writeAtomically(join(folder, "index"), buildIndex(packages));
  } catch (error) {
    throw storeError(error, packages);
  }
  const final = join(context.folder, digest);
  if (openIndex(final) === undefined) rmSync(final, { recursive: true, force: true }); // an index in another form, else nothing
  adopt(folder, final);
  const index = openIndex(final);
  if (index === undefined) throw new Error(`no index in ${final}`);
  return index;
}

async function decompress(from: string, form: (typeof FORMS)[number], to: string, signal: AbortSignal): Promise<void> {
  if (form === "") return renameSync(from, to);
  if (form === ".gz")
    return pipeline(createReadStream(from, { highWaterMark: 1 << 18 }), createGunzip({ chunkSize: 1 << 18 }), createWriteStream(to), {
      signal,
    });
  const output = openSync(to, "wx");
  try {
    const child = spawn("xz", ["-dc", from], { stdio: ["ignore", output, "pipe"], signal });
    const said: Buffer[] = [];
    child.stderr?.on("data", (chunk: Buffer) => said.push(chunk));
    await new Promise<void>((resolve, reject) => {
      child.on("error", (error: NodeJS.ErrnoException) =>
        reject(
          error.code === "ENOENT"
            ? new BakehouseError("SETUP_INCOMPLETE", "xz is not on this machine", { hint: "apt-get install xz-utils" }, error)
            : error,
        ),
      );
      child.on("close", (code) =>
        code === 0 ? resolve() : reject(new Error(`xz cannot unpack ${from}: ${Buffer.concat(said).toString().trim()}`)),
      );
    });
  } finally {
    closeSync(output);
  }
}

/**
 * A release file for a trusted repository that has none: what it would say about the lists that are there now.
 *
 * @throws BakehouseError MIRROR_UNAVAILABLE when there is no list either
 */
export async function releaseOfBareRepository(place: RepositorySuite, context: ListContext): Promise<string> {
  const paths = place.suite.endsWith("/") ? ["Packages"] : place.components.map((component) => `${component}/binary-amd64/Packages`);
  const lines: string[] = [];
  for (const path of paths) {
    for (const form of FORMS) {
      const target = context.scratch("bare");
      const urls = place.roots.map((root) => `${root}/${suiteFolder(place)}${path}${form}`);
      const { missing } = await context.transfer.download({
        urls,
        target,
        what: `${path}${form} of ${shownSuite(place)}`,
        signal: context.signal,
      });
      if (missing) continue;
      lines.push(` ${createHash("sha256").update(readFileSync(target)).digest("hex")} ${statSync(target).size} ${path}${form}`);
      rmSync(target);
      break;
    }
  }
  if (lines.length > 0) return `SHA256:\n${lines.join("\n")}\n`;
  throw new BakehouseError(
    "MIRROR_UNAVAILABLE",
    `${shownSuite(place)} has neither a release file nor a package list at ${shownRoot(place)}`,
    { hint: "check url, suites and components of this repository" },
  );
}
