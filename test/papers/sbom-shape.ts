import { createHash } from "node:crypto";
import { expect } from "vitest";

type Item = Readonly<Record<string, unknown>>;
const items = (value: unknown): readonly Item[] => value as readonly Item[];

/** What the JSON schema of SPDX 2.3 asks for, and what the specification says beyond it. */
export function expectSpdx(document: Item): void {
  expect(document).toMatchObject({ spdxVersion: "SPDX-2.3", dataLicense: "CC0-1.0", SPDXID: "SPDXRef-DOCUMENT" });
  expect(document["documentNamespace"]).toMatch(/^https:\/\/[^#]+$/);
  const { created, creators } = document["creationInfo"] as { readonly created: string; readonly creators: readonly string[] };
  expect(created).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
  for (const creator of creators) expect(creator).toMatch(/^(Tool|Person|Organization): .+/);
  const files = items(document["files"]);
  const packages = items(document["packages"]);
  const ids = ["SPDXRef-DOCUMENT", ...[...files, ...packages].map(({ SPDXID }) => SPDXID as string)];
  for (const id of ids) expect(id).toMatch(/^SPDXRef-[a-zA-Z0-9.-]+$/);
  expect(new Set(ids).size).toBe(ids.length);
  const sha1 = new Map<string, string>();
  for (const file of files) {
    expect(file["fileName"]).toMatch(/^\.\//);
    const sums = new Map(items(file["checksums"]).map(({ algorithm, checksumValue }) => [algorithm, checksumValue as string]));
    expect(sums.get("SHA1")).toMatch(/^[0-9a-f]{40}$/);
    expect(sums.get("SHA256")).toMatch(/^[0-9a-f]{64}$/);
    sha1.set(file["SPDXID"] as string, sums.get("SHA1") ?? "");
  }
  for (const pkg of packages) {
    for (const name of ["name", "versionInfo", "downloadLocation", "licenseDeclared"]) expect(pkg[name]).toEqual(expect.any(String));
    expectVerificationCode(pkg, sha1);
  }
  const owned = packages.flatMap((pkg) => (pkg["hasFiles"] ?? []) as readonly string[]);
  expect(new Set(owned)).toEqual(new Set(sha1.keys()));
  expectLicences(document, packages);
  for (const { spdxElementId, relatedSpdxElement } of items(document["relationships"])) {
    expect(ids).toContain(spdxElementId);
    expect(ids).toContain(relatedSpdxElement);
  }
}

/** SPDX 2.3, 7.9: SHA-1 of the sorted SHA-1s of the package's files. */
function expectVerificationCode(pkg: Item, sha1: ReadonlyMap<string, string>): void {
  if (pkg["filesAnalyzed"] === false) {
    expect(pkg["hasFiles"]).toBeUndefined();
    return;
  }
  const sums = (pkg["hasFiles"] as readonly string[]).map((id) => sha1.get(id) ?? "").sort();
  expect(pkg["packageVerificationCode"]).toEqual({
    packageVerificationCodeValue: createHash("sha1").update(sums.join("")).digest("hex"),
  });
}

function expectLicences(document: Item, packages: readonly Item[]): void {
  const extracted = items(document["hasExtractedLicensingInfos"]).map(({ licenseId }) => licenseId as string);
  for (const id of extracted) expect(id).toMatch(/^LicenseRef-[a-zA-Z0-9.-]+$/);
  const used = packages.flatMap(({ licenseDeclared }) => (licenseDeclared as string).match(/LicenseRef-[^\s()]+/g) ?? []);
  expect(new Set(used)).toEqual(new Set(extracted));
  // an expression: names, AND, OR, parentheses
  for (const { licenseDeclared } of packages)
    expect(licenseDeclared).toMatch(/^(?:NOASSERTION|\(*[A-Za-z0-9.-]+\)*(?: (?:AND|OR) \(*[A-Za-z0-9.-]+\)*)*)$/);
}

/** What the JSON schema of CycloneDX 1.6 asks for. */
export function expectCyclonedx(document: Item): void {
  expect(document).toMatchObject({ bomFormat: "CycloneDX", specVersion: "1.6", version: 1 });
  expect(document["serialNumber"]).toMatch(/^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/);
  const { timestamp, component } = document["metadata"] as { readonly timestamp: string; readonly component: Item };
  expect(Number.isNaN(Date.parse(timestamp))).toBe(false);
  const components = items(document["components"]);
  for (const each of [component, ...components]) {
    expect(["operating-system", "library", "file"]).toContain(each["type"]);
    expect(each["name"]).toEqual(expect.any(String));
    for (const { alg, content } of items(each["hashes"] ?? [])) {
      expect(alg).toBe("SHA-256");
      expect(content).toMatch(/^[0-9a-f]{64}$/);
    }
    const licences = items(each["licenses"] ?? []);
    if (licences.some((licence) => "expression" in licence)) expect(licences).toHaveLength(1);
    else for (const { license } of licences) expect(Object.keys(license as Item)).toHaveLength(1);
  }
  const refs = [component, ...components].map((each) => each["bom-ref"] as string);
  expect(new Set(refs).size).toBe(refs.length);
  for (const { ref, dependsOn } of items(document["dependencies"])) {
    expect(refs).toContain(ref);
    for (const other of dependsOn as readonly string[]) expect(refs).toContain(other);
  }
}
