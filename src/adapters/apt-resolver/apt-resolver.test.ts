import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import type { BakehouseError } from "../../core/errors.ts";
import type { LockedPackage } from "../../core/lock/model.ts";
import type { AptRepository } from "../../core/recipe/model.ts";
import type { PackageRequest } from "../../core/step.ts";
import type { PackageResolver, PackageSources, Resolution, ResolveRequest } from "../../ports/package-resolver.ts";
import { createTransfer, localPackageStore, packageDownloader } from "../local-package-store/index.ts";
import { aptResolver, type AptResolverOptions } from "./index.ts";
import { buildDeb, createKey, writeRepository, type TestKey, type TestPackage, type TestSuite } from "./test-repository.testing.ts";

let key: TestKey;
let otherKey: TestKey;
beforeAll(() => {
  key = createKey("archive");
  otherKey = createKey("other");
});
afterAll(() => {
  key.remove();
  otherKey.remove();
});

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "bakehouse-apt-"));
  mkdirSync(join(folder, "recipe"));
  mkdirSync(join(folder, "etc-apt", "sources.list.d"), { recursive: true });
  // As on a host that only has bookworm set up, in both forms; third parties have the same suite name.
  writeFileSync(
    join(folder, "etc-apt", "sources.list"),
    `deb [arch=amd64] https://elsewhere.invalid/linux bookworm stable\n# deb file:/gone bookworm main\ndeb ${mirror("debian-security")} bookworm-security main\n`,
  );
  writeFileSync(
    join(folder, "etc-apt", "sources.list.d", "debian.sources"),
    `Types: deb deb-src\nURIs: ${mirror("debian")}/\nSuites: bookworm bookworm-updates\nComponents: main\n`,
  );
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const mirror = (archive: string): string => pathToFileURL(join(folder, archive)).href;
const transfer = createTransfer({ environment: {}, attempts: 1, silenceMs: 5000 });
const signal = AbortSignal.timeout(60_000);
const store = (): ReturnType<typeof localPackageStore> => localPackageStore(join(folder, "store", "packages"));
const resolver = (options: Partial<AptResolverOptions> = {}): PackageResolver =>
  aptResolver({
    folder: join(folder, "store", "apt"),
    packageStore: store(),
    transfer,
    environment: {},
    aptFolder: join(folder, "etc-apt"),
    debianKeyring: key.binaryFile,
    ...options,
  });

const foundation = { suite: "bookworm", variant: "minbase", components: ["main"], security: false, updates: false } as const;
const sources = (more: Partial<PackageSources> = {}): PackageSources => ({
  foundation,
  repositories: [],
  folder: join(folder, "recipe"),
  ...more,
});
const resolve = (
  names: readonly string[],
  more: Partial<ResolveRequest> & { readonly ask?: Partial<PackageRequest>; readonly by?: PackageResolver } = {},
): Promise<Resolution> => {
  const { ask, by, ...rest } = more;
  return (by ?? resolver()).resolve({
    sources: sources(),
    installed: [],
    keep: [],
    refresh: false,
    signal,
    request: { names, recommends: false, ...ask },
    ...rest,
  });
};
const refusal = async (work: Promise<unknown>): Promise<BakehouseError> => {
  const error: unknown = await work.then(
    () => new Error("was not refused"),
    (reason: unknown) => reason,
  );
  if (error instanceof Error && error.name === "BakehouseError") return error as BakehouseError;
  throw error;
};
const shown = ({ packages }: Resolution): readonly string[] =>
  packages.map(({ name, version, repository }) => `${name} ${version}${repository === "debian" ? "" : ` ${repository}`}`);

const deb = (name: string, version = "1.0-1", fields: Readonly<Record<string, string>> = {}): TestPackage => ({ name, version, fields });
const debian = (packages: readonly TestPackage[], suite: Partial<TestSuite> = {}, archive = "debian"): void =>
  writeRepository(join(folder, archive), { suite: "bookworm", key, packages, ...suite });
const editFile = (path: string, edit: (text: string) => string): void =>
  writeFileSync(join(folder, path), edit(readFileSync(join(folder, path), "utf8")));

test("a step gets what it lacks: dependencies, no recommends unless asked, nothing twice; sorted, with paths below the root", async () => {
  debian([
    deb("web", "1:2.0-1", { Depends: "liba (>= 1.0), mta", Recommends: "docs" }),
    deb("liba", "1.0+deb12u1"),
    deb("mail", "1.0-1", { Provides: "mta" }),
    deb("docs"),
  ]);
  const first = await resolve(["web"]);
  expect(shown(first)).toEqual(["liba 1.0+deb12u1", "mail 1.0-1", "web 1:2.0-1"]);
  expect(first.packages[2]).toEqual({
    ...first.packages[2],
    path: "pool/main/web/web_2.0-1_amd64.deb",
    architecture: "amd64",
    repository: "debian",
  });
  expect(first.packages[2]?.sizeBytes).toBe(statSync(join(folder, "debian", first.packages[2]?.path ?? "")).size);
  expect(shown(await resolve(["web"], { ask: { recommends: true }, installed: first.packages }))).toEqual([]);
  expect(shown(await resolve(["web"], { ask: { recommends: true } }))).toContain("docs 1.0-1");
  expect(resolver().locate(sources(), first.packages.slice(2))).toEqual([[`${mirror("debian")}/pool/main/web/web_2.0-1_amd64.deb`]]);
});

test("foundations: Essential, required and important as their variants say, usr-is-merged instead of usrmerge", async () => {
  const required = { Priority: "required" };
  debian(
    [
      deb("base-files", "12", { Essential: "yes", ...required, "Pre-Depends": "libc6", Depends: "usrmerge | usr-is-merged" }),
      deb("libc6"),
      deb("mount", "1.0-1", required),
      deb("apt", "2.6", { Depends: "libc6" }),
      deb("usrmerge", "1", { Depends: "perl" }),
      deb("usr-is-merged"),
      deb("perl"),
      deb("ifupdown", "1.0-1", { Priority: "important" }),
      deb("man-db", "1.0-1", { Priority: "standard" }),
      deb("other", "1.0-1", { Priority: "optional" }),
    ],
    { date: new Date("2026-01-02T03:04:05Z") },
  );
  const of = async (variant: "essential" | "minbase" | "standard"): Promise<string> => {
    const request = { ...foundation, variant };
    return (await resolve([], { sources: sources({ foundation: request }), ask: { foundation: request } })).packages
      .map(({ name }) => name)
      .join(" ");
  };
  expect(await of("essential")).toBe("base-files libc6 usr-is-merged");
  expect(await of("minbase")).toBe("apt base-files libc6 mount usr-is-merged");
  expect(await of("standard")).toBe("apt base-files ifupdown libc6 man-db mount usr-is-merged");
  expect((await resolve(["other"], { ask: { foundation } })).releaseDateSeconds).toBe(Date.parse("2026-01-02T03:04:05Z") / 1000);
});

test("security and updates come in, backports only when asked for", async () => {
  debian([deb("liba", "1.0"), deb("tool", "1.0", { Depends: "liba" })]);
  debian([deb("liba", "1.0+u1")], { suite: "bookworm-updates" });
  debian([deb("liba", "1.0+sec1")], { suite: "bookworm-security" }, "debian-security");
  debian([deb("tool", "3.0~bpo12", { Depends: "liba" })], {
    suite: "bookworm-backports",
    fields: { NotAutomatic: "yes", ButAutomaticUpgrades: "yes" },
  });
  const all = sources({ foundation: { ...foundation, security: true, updates: true } });
  expect(shown(await resolve(["tool"], { sources: all }))).toEqual(["liba 1.0+u1", "tool 1.0"]);
  expect(shown(await resolve(["tool"], { sources: sources({ foundation: { ...foundation, security: true } }) }))).toEqual([
    "liba 1.0+sec1 debian-security",
    "tool 1.0",
  ]);
  expect(shown(await resolve(["tool/bookworm-backports"], { sources: all }))).toEqual(["liba 1.0+u1", "tool 3.0~bpo12"]);
  expect(shown(await resolve(["tool"], { sources: all }))).toContain("tool 1.0");
});

test("versions, exclusions, alternatives, and names with a plus", async () => {
  debian([deb("aa", "1.0"), deb("aa", "2.0"), deb("g++", "12"), deb("app", "1.0", { Depends: "xx | yy" }), deb("xx"), deb("yy")]);
  expect(shown(await resolve(["aa"]))).toEqual(["aa 2.0"]);
  expect(shown(await resolve(["aa=1.0", "g++"]))).toEqual(["aa 1.0", "g++ 12"]);
  expect(shown(await resolve(["aa=1*"]))).toEqual(["aa 1.0"]);
  expect(shown(await resolve(["app"]))).toEqual(["app 1.0", "xx 1.0-1"]);
  expect(shown(await resolve(["app", "xx-"]))).toEqual(["app 1.0", "yy 1.0-1"]);
});

test("unknown names, versions and suites are told all at once, with what was meant", async () => {
  debian([deb("curl", "7.88"), deb("mail-a", "1", { Provides: "mta" }), deb("mail-b", "1", { Provides: "mta" })]);
  debian([deb("other")], { suite: "bookworm-updates" });
  const error = await refusal(resolve(["crul", "curl=9", "curl/bookworm-updates", "curl", "Curl", "ssh^", "mta=1", "zzzzzzzz"]));
  expect(error.code).toBe("PACKAGE_NOT_FOUND");
  expect(error.message.split("\n")).toEqual([
    "crul is in no repository: did you mean curl?",
    "curl=9 has no such version; there is 7.88",
    "curl/bookworm-updates is not in bookworm-updates; it is in bookworm",
    "Curl is in no repository: names are lower case, as curl",
    "ssh^ is not written as name, name=version, name/suite or name-",
    "mta=1 is a virtual package and has no versions of its own",
    "zzzzzzzz is in no repository",
  ]);
  const virtual = await refusal(resolve(["mta"]));
  expect([virtual.code, virtual.message]).toEqual([
    "PACKAGE_NOT_FOUND",
    "mta is a virtual package: ask for one of those that provide it: mail-a, mail-b",
  ]);
});

test("what cannot be installed together is explained", async () => {
  debian([
    deb("one", "1.0", { Conflicts: "two" }),
    deb("two"),
    deb("needy", "1.0", { Depends: "liba (>= 2), gone" }),
    deb("liba", "1.0"),
    deb("breaker", "1.0", { Breaks: "liba (<< 9)" }),
  ]);
  const both = await refusal(resolve(["one", "two"]));
  expect(both.code).toBe("PACKAGES_UNSATISFIABLE");
  expect(both.message).toBe("These packages cannot be installed together:\n  one conflicts with two, which is there as 1.0-1");
  expect((await refusal(resolve(["needy"]))).message).toBe(
    "These packages cannot be installed together:\n  needy needs liba (>= 2), but 1.0 is the newest there is\n  needy needs gone, which no repository has",
  );
  debian(
    [
      deb("choosy", "1.0", { Depends: "gone | lost (>= 3)" }),
      deb("lost", "1.0"),
      deb("liba", "1.0"),
      deb("breaker", "1.0", { Breaks: "liba (<< 9)" }),
    ],
    { date: new Date() },
  );
  expect((await refusal(resolve(["choosy"]))).message).toContain(
    "choosy needs gone, which no repository has; or lost (>= 3), but 1.0 is the newest there is",
  );
  const { packages } = await resolve(["liba"]);
  const removal = await refusal(resolve(["breaker"], { installed: packages }));
  expect([removal.code, removal.message]).toEqual(["PACKAGES_UNSATISFIABLE", "This would take out liba, which the layers below have"]);
});

test("local .deb files, with their dependencies from repositories", async () => {
  debian([deb("liba"), deb("app", "9.0")]);
  buildDeb(join(folder, "recipe", "debs"), deb("app", "1.0-1", { Depends: "liba" }));
  const { packages } = await resolve([], { ask: { files: ["debs/app_1.0-1_amd64.deb"] } });
  expect(packages.map(({ name, version, repository, path }) => [name, version, repository, path])).toEqual([
    ["app", "1.0-1", "local", "debs/app_1.0-1_amd64.deb"],
    ["liba", "1.0-1", "debian", "pool/main/liba/liba_1.0-1_amd64.deb"],
  ]);
  expect(resolver().locate(sources(), packages)[0]).toEqual([pathToFileURL(join(folder, "recipe/debs/app_1.0-1_amd64.deb")).href]);
  writeFileSync(join(folder, "recipe", "bad.deb"), "no archive");
  expect((await refusal(resolve([], { ask: { files: ["bad.deb"] } }))).code).toBe("INPUT_INVALID");
  expect((await refusal(resolve([], { ask: { files: ["none.deb"] } }))).code).toBe("INPUT_INVALID");
});

const repository = (more: Partial<AptRepository> = {}): AptRepository => ({
  name: "ours",
  url: "file:../ours",
  suites: ["stable"],
  components: ["main"],
  ...more,
});

test("own repositories: relative file: URL, armoured key, pin priority, flat and without a release file", async () => {
  debian([deb("tool", "5.0"), deb("liba")]);
  writeRepository(join(folder, "ours"), {
    suite: "stable",
    key: otherKey,
    packages: [deb("tool", "1.0", { Depends: "liba" }), deb("own", "1.0")],
  });
  writeRepository(join(folder, "flat"), { suite: "./", signature: "bare", packages: [deb("flat", "1.0", { Depends: "own" })] });
  writeFileSync(join(folder, "recipe", "key.asc"), otherKey.armoured);
  const ours = repository({ keyFile: "key.asc" });
  const flat = repository({ name: "flat", url: mirror("flat"), suites: ["./"], components: [], trusted: true });
  expect(shown(await resolve(["tool"], { sources: sources({ repositories: [ours] }) }))).toEqual(["tool 5.0"]);
  expect(shown(await resolve(["tool"], { sources: sources({ repositories: [{ ...ours, priority: 1001 }] }) }))).toEqual([
    "liba 1.0-1",
    "tool 1.0 ours",
  ]);
  const both = await resolve(["flat"], { sources: sources({ repositories: [ours, flat] }) });
  expect(shown(both)).toEqual(["flat 1.0 flat", "own 1.0 ours"]);
  expect(both.packages[0]?.path).toBe("flat_1.0_amd64.deb");
  expect(resolver().locate(sources({ repositories: [ours, flat] }), both.packages)).toEqual([
    [`${mirror("flat")}/flat_1.0_amd64.deb`],
    [`${mirror("ours")}/pool/main/own/own_1.0_amd64.deb`],
  ]);
  // A foundation is Debian's, whatever other repositories have and at what priority.
  expect(
    shown(await resolve(["tool"], { sources: sources({ repositories: [{ ...ours, priority: 1001 }] }), ask: { foundation } })),
  ).toEqual(["tool 5.0"]);
  expect(shown(await resolve(["own"], { sources: { repositories: [ours], folder: join(folder, "recipe") } }))).toEqual(["own 1.0 ours"]);
});

test.each<[string, () => void, string]>([
  ["signed by an unknown key", () => debian([deb("aa")], { key: otherKey }), "which is not in"],
  [
    "changed after signing",
    () => (debian([deb("aa")]), editFile("debian/dists/bookworm/InRelease", (text) => text.replace("Label: Test", "Label: Tess"))),
    "does not match its signature",
  ],
  ["not signed", () => debian([deb("aa")], { signature: "none" }), "is not signed"],
  [
    "detached signature of something else",
    () => (debian([deb("aa")], { signature: "detached" }), editFile("debian/dists/bookworm/Release", (text) => `${text}\n`)),
    "does not match its signature",
  ],
  [
    "another suite's",
    () => debian([deb("aa")], { fields: { Suite: "bullseye", Codename: "bullseye" } }),
    "release file of another suite: bullseye",
  ],
])("refused: a release file %s", async (_, prepare, message) => {
  prepare();
  const error = await refusal(resolve(["aa"]));
  expect(error.code).toBe("SIGNATURE_INVALID");
  expect(error.message).toContain(message);
  expect(error.message).toContain("debian bookworm");
  expect(error.help.hint).toBeDefined();
});

test("a key that has expired is refused with its id; a detached signature is good", async () => {
  const old = createKey("old", { expired: true });
  try {
    debian([deb("aa")], { key: old });
    const error = await refusal(resolve(["aa"], { by: resolver({ debianKeyring: old.binaryFile }) }));
    expect(error.message).toContain(`signed by ${old.id}, a key that has expired`);
  } finally {
    old.remove();
  }
  debian([deb("aa")], { signature: "detached" });
  expect(shown(await resolve(["aa"]))).toEqual(["aa 1.0-1"]);
  expect((await refusal(resolve(["own"], { sources: sources({ repositories: [repository({ keyFile: "none.asc" })] }) }))).code).toBe(
    "INPUT_INVALID",
  );
});

test("an expired release file is refused with its date, or taken with a warning", async () => {
  debian([deb("aa")], { date: new Date("2024-01-01T00:00:00Z"), validUntil: new Date("2024-01-08T00:00:00Z") });
  const error = await refusal(resolve(["aa"]));
  expect(error.code).toBe("RELEASE_EXPIRED");
  expect(error.message).toContain("debian bookworm");
  expect(error.message).toContain("expired on 2024-01-08T00:00:00Z");
  expect(error.help.hint).toContain("BAKEHOUSE_ALLOW_EXPIRED=1");
  const allowed = await resolve(["aa"], { allowExpired: true });
  expect(shown(allowed)).toEqual(["aa 1.0-1"]);
  expect(allowed.warnings.join()).toContain("expired on 2024-01-08");
  expect((await resolve(["aa"], { by: resolver({ environment: { BAKEHOUSE_ALLOW_EXPIRED: "1" } }) })).warnings).toHaveLength(1);
  // What was good when it was fetched expires on disk too.
  debian([deb("aa")], { date: new Date("2025-01-01T00:00:00Z"), validUntil: new Date("2025-01-08T00:00:00Z") });
  await resolve(["aa"], { by: resolver({ now: () => new Date("2025-01-02T00:00:00Z") }), refresh: true });
  expect((await refusal(resolve(["aa"], { by: resolver({ now: () => new Date("2025-02-01T00:00:00Z") }) }))).code).toBe("RELEASE_EXPIRED");
  expect(
    (await refusal(resolve(["aa"], { by: resolver({ now: () => new Date("2024-02-01T00:00:00Z") }), refresh: true }))).message,
  ).toContain("is from the future");
});

test("lists are asked for once, then only when a name is missing or on demand; an older release file is not taken", async () => {
  debian([deb("aa", "1.0")], { date: new Date("2026-01-01T00:00:00Z") });
  expect((await resolve(["aa"])).isFresh).toBe(true);
  debian([deb("aa", "2.0"), deb("bb")], { date: new Date("2026-01-02T00:00:00Z") });
  const later = await resolve(["aa"]);
  expect([shown(later), later.isFresh]).toEqual([["aa 1.0"], false]);
  const missing = await resolve(["aa", "bb"]);
  expect([shown(missing), missing.isFresh]).toEqual([["aa 2.0", "bb 1.0-1"], true]);
  debian([deb("aa", "0.5")], { date: new Date("2025-12-01T00:00:00Z") });
  const replayed = await resolve(["aa"], { refresh: true });
  expect(shown(replayed)).toEqual(["aa 2.0"]);
  expect(replayed.warnings.join()).toContain("older release file (2025-12-01)");
  // Without any mirror, what is on disk is enough, and a name that is not there says that nobody could be asked.
  rmSync(join(folder, "debian"), { recursive: true });
  expect(shown(await resolve(["bb"]))).toEqual(["bb 1.0-1"]);
  expect((await refusal(resolve(["cc"]))).code).toBe("PACKAGE_NOT_FOUND");
});

test("versions of before stay where they can, from the store when mirrors forgot them", async () => {
  debian([deb("aa", "1.0"), deb("liba", "1.0")], { date: new Date("2026-01-01T00:00:00Z") });
  const before = (await resolve(["aa", "liba"])).packages;
  const urls = resolver().locate(sources(), before);
  await packageDownloader(store(), transfer).fetch(
    before.slice(0, 1).map((item, index) => ({ package: item, urls: urls[index] ?? [] })),
    { signal },
  ); // a, not liba
  debian([deb("aa", "1.0"), deb("aa", "2.0"), deb("liba", "1.0"), deb("liba", "2.0")], { date: new Date("2026-01-02T00:00:00Z") });
  expect(shown(await resolve(["aa", "liba"], { keep: before, refresh: true }))).toEqual(["aa 1.0", "liba 1.0"]);
  debian([deb("aa", "2.0"), deb("liba", "2.0"), deb("user", "1.0", { Depends: "liba (>= 2)" })], {
    date: new Date("2026-01-03T00:00:00Z"),
  });
  const kept = await resolve(["aa", "liba"], { keep: before, refresh: true });
  expect(kept.packages[0]).toEqual(before[0]);
  expect(shown(kept)).toEqual(["aa 1.0", "liba 2.0"]);
  debian([deb("aa", "2.0"), deb("liba", "1.0"), deb("liba", "2.0"), deb("user", "1.0", { Depends: "liba (>= 2)" })], {
    date: new Date("2026-01-04T00:00:00Z"),
  });
  expect(shown(await resolve(["aa", "user"], { keep: before, refresh: true }))).toEqual(["aa 1.0", "liba 2.0", "user 1.0"]);
});

test("a status file of another maker's system counts as installed", async () => {
  debian([deb("aa", "1.0", { Depends: "liba, libb" }), deb("liba"), deb("libb")]);
  const baseStatus =
    "Package: liba\nStatus: install ok installed\nArchitecture: amd64\nVersion: 0.9\n\nPackage: gone\nStatus: deinstall ok config-files\nArchitecture: amd64\nVersion: 1\n";
  expect(shown(await resolve(["aa"], { baseStatus }))).toEqual(["aa 1.0", "libb 1.0-1"]);
});

test("packages below that nothing knows any more are named", async () => {
  debian([deb("aa")]);
  const lost: LockedPackage = {
    name: "lost",
    version: "1.0",
    architecture: "amd64",
    sha256: `sha256:${"0".repeat(64)}`,
    sizeBytes: 1,
    path: "pool/lost_1.0_amd64.deb",
    repository: "debian",
  };
  const error = await refusal(resolve(["aa"], { installed: [lost] }));
  expect([error.code, error.help.hint]).toEqual(["PACKAGE_NOT_FOUND", "bakehouse lock --update, to move to versions that there are"]);
  expect(error.message).toContain("lost 1.0");
});

test("mirrors that are down, damaged or half updated", async () => {
  debian([deb("aa")]);
  let answer: (path: string) => number | Buffer = () => 404;
  const server = createServer((request, response) => {
    const content = answer(decodeURIComponent(request.url ?? ""));
    if (typeof content === "number") response.writeHead(content).end();
    else response.end(content);
  });
  await new Promise<void>((resolved) => server.listen(0, "127.0.0.1", resolved));
  try {
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/debian`;
    const on = (): PackageResolver => resolver({ environment: { BAKEHOUSE_MIRROR: url } });
    const fileOf = (path: string): number | Buffer => (existsSync(join(folder, path)) ? readFileSync(join(folder, path)) : 404);
    answer = () => 500;
    const down = await refusal(resolve(["aa"], { by: on() }));
    expect([down.code, down.message]).toEqual(["MIRROR_UNAVAILABLE", expect.stringContaining("InRelease of debian bookworm")]);
    answer = (path) => (path.includes("Packages") ? Buffer.from("not it") : fileOf(path));
    expect((await refusal(resolve(["aa"], { by: on() }))).code).toBe("DIGEST_MISMATCH");
    answer = (path) => (path.includes("Packages") ? 404 : fileOf(path));
    expect((await refusal(resolve(["aa"], { by: on() }))).message).toContain("names main/binary-amd64/Packages, but");
    answer = fileOf;
    const good = await resolve(["aa"], { by: on() });
    expect(on().locate(sources(), good.packages)).toEqual([[`${url}/pool/main/aa/aa_1.0-1_amd64.deb`]]);
    expect(on().locate(sources(), [{ ...(good.packages[0] as LockedPackage), repository: "debian-security" }])[0]?.[0]).toContain(
      "/debian-security/pool/",
    );
    expect(resolver().locate(sources({ foundation: { ...foundation, mirror: "http://m.invalid/x" } }), good.packages)[0]?.[0]).toBe(
      "http://m.invalid/x/pool/main/aa/aa_1.0-1_amd64.deb",
    );
  } finally {
    await new Promise((resolved) => server.close(resolved).closeAllConnections());
  }
});

test("a login in a mirror's URL is not shown; what is no URL is refused", async () => {
  const by = resolver({ environment: { BAKEHOUSE_MIRROR: `${mirror("none").replace("file:///", "http://me:hidden@127.0.0.1:1/")}` } });
  const error = await refusal(resolve(["aa"], { by }));
  expect(error.code).toBe("MIRROR_UNAVAILABLE");
  expect(JSON.stringify([error.message, error.help])).not.toContain("hidden");
  expect((await refusal(resolve(["aa"], { by: resolver({ environment: { BAKEHOUSE_MIRROR: "mirror.example/debian" } }) }))).code).toBe(
    "USAGE",
  );
});

test("old sets and the lists that only they had are removed", async () => {
  for (let day = 1; day <= 7; day++) {
    debian([deb("aa", `${day}.0`)], { date: new Date(Date.UTC(2026, 0, day)) });
    await resolve(["aa"], { refresh: true });
    const lists = join(folder, "store", "apt", "lists");
    for (const name of readdirSync(lists)) utimesSync(join(lists, name, "Packages"), 1, 1); // hours pass
  }
  expect(readdirSync(join(folder, "store", "apt", "sets"))).toHaveLength(4);
  expect(readdirSync(join(folder, "store", "apt", "lists"))).toHaveLength(4);
  expect(shown(await resolve(["aa"]))).toEqual(["aa 7.0"]);
});

test("no mirror known, no such suite, no such component", async () => {
  debian([deb("aa")], { signature: "bare" });
  const none = await refusal(resolve(["aa"]));
  expect([none.code, none.message]).toEqual(["MIRROR_UNAVAILABLE", expect.stringContaining("debian bookworm has no release file")]);
  rmSync(join(folder, "etc-apt"), { recursive: true });
  expect((await refusal(resolve(["aa"]))).code).toBe("SETUP_INCOMPLETE");
  debian([deb("aa")]);
  const odd = await refusal(
    resolve(["aa"], { sources: sources({ foundation: { ...foundation, components: ["main", "contrib"], mirror: mirror("debian") } }) }),
  );
  expect([odd.code, odd.message, odd.help.hint]).toEqual([
    "PACKAGE_NOT_FOUND",
    'debian bookworm has no component "contrib" for amd64',
    "its components: main",
  ]);
});

test("the host's apt is left alone, nothing of ours stays behind, and many at once share one cache", async () => {
  const hostFiles = ["/var/lib/apt/lists", "/var/cache/apt", "/var/lib/dpkg/status", "/var/log/apt"].filter((path) => existsSync(path));
  const before = hostFiles.map((path) => statSync(path).mtimeMs);
  debian([deb("aa"), deb("bb"), deb("cc", "1.0", { Depends: "aa, bb" })]);
  const results = await Promise.all([resolver(), resolver()].flatMap((by) => ["aa", "bb", "cc"].map((name) => resolve([name], { by }))));
  expect(results.map(({ packages }) => packages.length)).toEqual([1, 1, 3, 1, 1, 3]);
  expect(hostFiles.map((path) => statSync(path).mtimeMs)).toEqual(before);
  expect(readdirSync(join(folder, "store", "apt", "tmp"))).toEqual([]);
  expect(readdirSync(join(folder, "store", "apt", "sets"))).toHaveLength(1);
  expect((await refusal(resolve(["aa"], { signal: AbortSignal.abort() }))).code).toBe("CANCELLED");
});

test("what a dead process left is removed by the next", async () => {
  debian([deb("aa")]);
  const dead = join(folder, "store", "apt", "tmp", "999999999-1-0");
  mkdirSync(dirname(join(dead, "xx")), { recursive: true });
  writeFileSync(join(dead, "xx"), "half");
  const release = join(folder, "store", "apt", "releases", ".tmp-999999999-x-0");
  mkdirSync(dirname(release), { recursive: true });
  writeFileSync(release, "half");
  await resolve(["aa"]);
  expect([dead, release].filter((path) => existsSync(path))).toEqual([]);
});
