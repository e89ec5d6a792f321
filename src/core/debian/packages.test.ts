import { expect, test } from "vitest";
import { installedStanza, providedNames, scanPackages, type IndexedPackage } from "./packages.ts";
import { parsePackageArgument } from "./package-argument.ts";
import { parseRelease, relabelRelease } from "./release.ts";
import { isDebianSuite, mirrorsFor, parseSourcesFile, parseSourcesList } from "./sources.ts";

const scan = (text: string): readonly IndexedPackage[] => {
  const found: IndexedPackage[] = [];
  scanPackages(text, (item) => found.push(item));
  return found;
};

test("packages of an index, where they stand, whatever the gaps between them", () => {
  const text =
    "Package: bash\nEssential: yes\nPriority: required\nVersion: 5.2\nArchitecture: amd64\n\n\n\nPackage: mail\nVersion: 1:2\nArchitecture: all\nProvides: mta, awk (= 1), x:any\n\nNoName: 1\nVersion: 2\n\nPackage: last\nVersion: 9";
  const found = scan(text);
  expect(
    found.map(({ name, version, architecture, essential, priority, provides }) => [
      name,
      version,
      architecture,
      essential,
      priority,
      provides,
    ]),
  ).toEqual([
    ["bash", "5.2", "amd64", true, "required", []],
    ["mail", "1:2", "all", false, "", ["mta", "awk", "x"]],
    ["last", "9", "", false, "", []],
  ]);
  for (const { name, offset, length } of found) expect(text.slice(offset, offset + length).startsWith(`Package: ${name}\n`)).toBe(true);
  expect(scan("")).toEqual([]);
  expect(providedNames("")).toEqual([]);
});

test("a status stanza has what dpkg keeps, and nothing of the archive", () => {
  const control = "Package: a\nVersion: 1\nArchitecture: amd64\nDepends: b,\n c\nFilename: pool/a.deb\nSHA256: 00\nDescription: x\n y\n";
  expect(installedStanza(control)).toBe("Package: a\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1\nDepends: b,\n c\n");
});

test.each([
  ["curl", { name: "curl", excluded: false }],
  ["g++", { name: "g++", excluded: false }],
  ["curl=7.88.1-10+deb12u5", { name: "curl", version: "7.88.1-10+deb12u5", excluded: false }],
  ["curl=1:*", { name: "curl", version: "1:*", excluded: false }],
  ["curl/bookworm-backports", { name: "curl", suite: "bookworm-backports", excluded: false }],
  ["exim4-", { name: "exim4", excluded: true }],
  ["libc6:amd64", { name: "libc6", excluded: false }],
])("what is asked for: %s", (text, expected) => {
  expect(parsePackageArgument(text)).toEqual({ text, ...expected });
});

test.each(["", "a", "Curl", "curl=", "curl/", "ssh^", "lib*", "-y", "--force", "a b", "curl= 1", "curl:i386", "../x.deb", "a--"])(
  "no package: %j",
  (text) => {
    expect(parsePackageArgument(text)).toBeUndefined();
  },
);

test("a release file", () => {
  const text = `Origin: Debian\nLabel: Debian\nSuite: oldstable\nCodename: bookworm\nDate: Sat, 11 Jul 2026 10:16:37 UTC\nValid-Until: Sat, 18 Jul 2026 10:16:37 UTC\nAcquire-By-Hash: yes\nNo-Support-for-Architecture-all: Packages\nArchitectures: all amd64\nMD5Sum:\n 00 1 main/x\nSHA256:\n ${"a".repeat(64)} 12 main/binary-amd64/Packages.gz\n bad line\n`;
  const release = parseRelease(text);
  expect(release).toMatchObject({
    suite: "oldstable",
    codename: "bookworm",
    dateSeconds: 1783764997,
    validUntilSeconds: 1784369797,
    acquireByHash: true,
    notAutomatic: false,
    hasIndexForAll: false,
  });
  expect([...release.files]).toEqual([["main/binary-amd64/Packages.gz", { sha256: "a".repeat(64), sizeBytes: 12 }]]);
  const relabelled = relabelRelease(text, "ours");
  expect(relabelled).not.toContain("MD5Sum");
  expect(parseRelease(relabelled)).toEqual({ ...release, label: "ours" });
  expect(parseRelease("")).toMatchObject({ architectures: [], acquireByHash: false });
  expect(parseRelease("Architectures: amd64 all\nDate: nonsense\n")).toMatchObject({ hasIndexForAll: true });
});

test("mirrors of the host's apt, in both forms, best first", () => {
  const entries = [
    ...parseSourcesList(
      "# deb http://off.invalid/debian bookworm main\ndeb [arch=amd64 signed-by=/x] http://list.invalid/debian/ bookworm main contrib # note\ndeb-src http://src.invalid/debian bookworm main\ndeb http://sec.invalid/debian-security bookworm-security main\ndeb https://third.invalid/linux bookworm stable\ndeb cdrom:[x]/ bookworm main\n",
    ),
    ...parseSourcesFile(
      "Types: deb\nURIs: http://one.invalid/debian http://two.invalid/debian\nSuites: trixie trixie-updates\nComponents: main\n\nTypes: deb\nEnabled: no\nURIs: http://off.invalid/debian\nSuites: trixie\nComponents: main\n\nTypes: deb\nURIs: http://pg.invalid/apt\nSuites: bookworm-pgdg\nComponents: main\n",
    ),
  ];
  expect(mirrorsFor("bookworm", entries)).toEqual(["http://list.invalid/debian", "http://one.invalid/debian", "http://two.invalid/debian"]);
  expect(mirrorsFor("trixie-updates", entries)[0]).toBe("http://one.invalid/debian");
  expect(mirrorsFor("trixie-security", entries)).toEqual(["http://sec.invalid/debian-security"]);
  expect(mirrorsFor("sid", [])).toEqual([]);
  expect(
    ["bookworm", "sid", "trixie-backports", "bullseye-security", "bookworm-pgdg", "nodistro", "bookworm-security-x"].filter(isDebianSuite),
  ).toEqual(["bookworm", "sid", "trixie-backports", "bullseye-security"]);
});
