import { execFileSync, spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { dpkgStatus, fixtureStore, put, type FixtureStore } from "../../../test/image-store.ts";
import { expectCyclonedx, expectSpdx } from "../../../test/papers/sbom-shape.ts";
import { builtCli } from "../../../test/shared-store.ts";

let cli: string;
let fixture: FixtureStore;

beforeAll(async () => {
  cli = await builtCli();
  fixture = fixtureStore();
  const base = await fixture.bake({
    name: "shop/base",
    steps: [{ address: "base/apt", change: (at) => put(at, { "var/lib/dpkg/status": dpkgStatus({ jq: "1.6" }) }) }],
  });
  await fixture.bake({
    name: "shop/release",
    parent: base,
    steps: [{ address: "release/copy", change: (at) => put(at, { "srv/app": "1" }) }],
  });
});
afterAll(() => fixture.remove());

const bakehouse = (words: readonly string[], env: Readonly<Record<string, string>> = {}) => {
  const { status, stdout, stderr } = spawnSync(process.execPath, [cli, "--store", fixture.store.root, ...words], {
    cwd: fixture.folder,
    encoding: "utf8",
    env: { PATH: process.env["PATH"] ?? "", ...env },
  });
  return { status, out: stdout, err: stderr };
};

describe("papers, as a user of the CLI sees them", () => {
  it("are written, listed and verified", () => {
    expect(bakehouse(["image", "papers", "shop"]).out).toContain("bakehouse attest shop/release writes them");
    const attested = bakehouse(["attest", "shop"]);
    expect(attested.status).toBe(0);
    expect(attested.out).toMatch(/shop\/base .* 1 package, 1 file, 1 of no package\n {2}SBOM \(SPDX\) /);
    expect(bakehouse(["attest", "shop"]).out).toMatch(/shop\/release [0-9a-f]{12} has its papers already/);
    const listed = bakehouse(["image", "papers", "shop"]).out;
    for (const text of ["SBOM (SPDX)", "SBOM (CycloneDX)", "provenance", "signed"]) expect(listed).toContain(text);
    const { papers } = JSON.parse(bakehouse(["image", "papers", "shop", "--json", "--contents"]).out) as {
      readonly papers: readonly { readonly trust: string; readonly predicate: unknown }[];
    };
    expect(papers.every(({ trust, predicate }) => trust === "signed" && predicate !== undefined)).toBe(true);
    expect(bakehouse(["image", "verify", "shop"])).toMatchObject({ status: 0, out: expect.stringContaining("Sound") });
  });

  it("can be had as documents alone", () => {
    expectSpdx(JSON.parse(bakehouse(["sbom", "shop"]).out) as Record<string, unknown>);
    expect(bakehouse(["sbom", "shop", "--format", "cyclonedx", "--output", "shop.cdx.json"]).out).toBe("shop.cdx.json: cyclonedx\n");
    expectCyclonedx(JSON.parse(readFileSync(join(fixture.folder, "shop.cdx.json"), "utf8")) as Record<string, unknown>);
  });

  it("are signed with the key of BAKEHOUSE_KEY, which is not copied", () => {
    const pem = join(fixture.folder, "mine.pem");
    execFileSync("openssl", ["genpkey", "-algorithm", "ed25519", "-out", pem]);
    bakehouse(["key", "retire", bakehouse(["key", "export", "--json"]).out.match(/"id": ?"([0-9a-f]+)"/)?.[1] ?? ""]);
    expect(bakehouse(["attest", "shop", "--only"], { BAKEHOUSE_KEY: pem }).status).toBe(0);
    expect(bakehouse(["image", "papers", "shop"]).out).toContain("given by BAKEHOUSE_KEY");
    expect(bakehouse(["key", "list"]).out).toMatch(/given by BAKEHOUSE_KEY .* verifies/);
    expect(bakehouse(["attest", "shop"], { BAKEHOUSE_KEY: "/nowhere.pem" })).toMatchObject({
      status: 2,
      err: expect.stringContaining("BAKEHOUSE_KEY"),
    });
  });

  it.each([
    [["attest", "nothing"], "No image is called"],
    [["sbom", "nothing"], "No image is called"],
    [["image", "papers", "nothing"], "No image is called"],
    [["sbom", "shop", "--output", "no/where/x.json"], "Cannot write"],
    [["image", "report", "shop"], "No image was called shop/release before"],
  ] as const)("%j says what is wrong", (words, message) => {
    expect(bakehouse(words)).toMatchObject({ status: 2, err: expect.stringContaining(message) });
  });
});
