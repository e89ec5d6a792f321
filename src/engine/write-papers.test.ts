import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { dpkgStatus, fixtureStore, put, type FixtureStore } from "../../test/image-store.ts";
import { expectCyclonedx, expectSpdx } from "../../test/papers/sbom-shape.ts";
import type { ImageDigest } from "../core/digest.ts";
import type { Provenance } from "../core/papers/provenance.ts";
import { PREDICATES } from "../core/papers/statement.ts";
import { openImages, type ImageParts } from "../presets/images.ts";
import { imageSbom } from "./image-sbom.ts";
import { verifyStore } from "./verify-store.ts";
import { writePapers, writePapersOfLineage } from "./write-papers.ts";

type Item = Readonly<Record<string, unknown>>;

let fixture: FixtureStore;
let images: ImageParts;
let base: ImageDigest, release: ImageDigest;

const bakeAll = async (into: FixtureStore): Promise<readonly [ImageDigest, ImageDigest]> => {
  const below = await into.bake({
    name: "shop/base",
    bakedAt: "2026-01-01T00:00:00.000Z",
    steps: [
      {
        address: "base/apt",
        change: (at) =>
          put(at, {
            "etc/os-release": "ID=debian\nVERSION_ID=12\n",
            "usr/bin/jq": 1000,
            "usr/share/doc/jq/copyright": "Format: https://x/copyright-format/1.0\n\nFiles: *\nLicense: Expat or Odd-1\n",
            "var/lib/dpkg/status": dpkgStatus({ jq: "1.6-2.1+deb12u1", "libstdc++6": "1:12" }),
            "var/lib/dpkg/info/jq.list": "/.\n/usr\n/usr/bin\n/usr/bin/jq\n/usr/share/doc/jq/copyright\n",
          }),
      },
    ],
  });
  const [record] = into.store.steps.all();
  into.store.steps.save({
    ...record!,
    inputs: {
      step: "apt@1",
      "package.jq": `1.6-2.1+deb12u1 amd64 sha256:${"a".repeat(64)}`,
      "download.https://example.org/x.tar": `sha256:${"b".repeat(64)}`,
      "recorded.GET https://example.org/y": `sha256:${"c".repeat(64)} 200 {}`,
      files: `sha256:${"d".repeat(64)}`,
      "option.0": "jq",
    },
  });
  const above = await into.bake({
    name: "shop/release",
    parent: below,
    bakedAt: "2026-01-02T00:00:00.000Z",
    steps: [{ address: "release/copy", change: (at) => put(at, { "srv/app": "1" }) }],
  });
  return [below, above];
};

beforeEach(async () => {
  fixture = fixtureStore();
  [base, release] = await bakeAll(fixture);
  images = openImages({ store: fixture.store.root, env: {} });
});
afterEach(async () => {
  await images.close();
  fixture.remove();
});

const sbom = async (format: "spdx" | "cyclonedx", reference = "shop/release"): Promise<Item> =>
  imageSbom(await images.paperParts(), reference, { format });
const predicateOf = async (image: ImageDigest, type: (typeof PREDICATES)[keyof typeof PREDICATES]): Promise<unknown> => {
  const papers = await images.papers();
  const [paper] = papers.of(image, type);
  const read = papers.read(paper!);
  expect(read.trust).toBe("signed");
  return read.statement?.predicate;
};

describe("the bill of materials", () => {
  it("is an SPDX 2.3 document that says who owns what", async () => {
    const document = await sbom("spdx");
    expectSpdx(document);
    const packages = document["packages"] as readonly Item[];
    expect(packages.map(({ name, versionInfo }) => [name, versionInfo])).toEqual([
      ["shop/release", release],
      ["jq", "1.6-2.1+deb12u1"],
      ["libstdc++6", "1:12"],
    ]);
    expect(packages[1]).toMatchObject({
      licenseDeclared: "MIT OR LicenseRef-Odd-1",
      externalRefs: [{ referenceLocator: "pkg:deb/debian/jq@1.6-2.1%2Bdeb12u1?arch=amd64&distro=debian-12" }],
    });
    const names = new Map((document["files"] as readonly Item[]).map(({ SPDXID, fileName }) => [SPDXID, fileName]));
    const filesOf = (at: number): readonly unknown[] => (packages[at]?.["hasFiles"] as readonly string[]).map((id) => names.get(id));
    expect(filesOf(1)).toEqual(["./usr/bin/jq", "./usr/share/doc/jq/copyright", "./var/lib/dpkg/info/jq.list"]);
    expect(filesOf(0)).toEqual(["./etc/os-release", "./srv/app", "./var/lib/dpkg/status"]);
  });

  it("is a CycloneDX 1.6 document that says the same", async () => {
    const document = await sbom("cyclonedx");
    expectCyclonedx(document);
    const components = document["components"] as readonly Item[];
    expect(components.find(({ name }) => name === "jq")).toMatchObject({
      version: "1.6-2.1+deb12u1",
      licenses: [{ expression: "MIT OR LicenseRef-Odd-1" }],
      evidence: { occurrences: [{ location: "/usr/bin/jq" }, {}, {}] },
    });
    expect(components.filter(({ type }) => type === "file").map(({ name }) => name)).toEqual([
      "/etc/os-release",
      "/srv/app",
      "/var/lib/dpkg/status",
    ]);
  });

  it.each(["spdx", "cyclonedx"] as const)("as %s is the same in another store, at another time", async (format) => {
    const other = fixtureStore();
    await bakeAll(other);
    const elsewhere = openImages({ store: other.store.root, env: {} });
    expect(await imageSbom(await elsewhere.paperParts(), "shop/release", { format })).toEqual(await sbom(format));
    await elsewhere.close();
    other.remove();
  });

  it("of a release volume holds its root image and the volume at its place", async () => {
    await fixture.bakeVolume({ name: "shop/site", root: base, path: "/srv/site", change: (at) => put(at, { "index.html": "hi" }) });
    const document = await sbom("spdx", "shop/site");
    expectSpdx(document);
    expect((document["files"] as readonly Item[]).map(({ fileName }) => fileName)).toContain("./srv/site/index.html");
  });
});

describe("writing papers", () => {
  it("attaches both and the provenance, signed; a second time changes nothing", async () => {
    const parts = await images.paperParts();
    const first = await writePapers(parts, "shop/release");
    expect(first).toMatchObject({ image: release, unchanged: false, counted: { packages: 2, unownedFiles: 3 }, imported: false });
    expectSpdx((await predicateOf(release, PREDICATES.spdx)) as Item);
    expectCyclonedx((await predicateOf(release, PREDICATES.cyclonedx)) as Item);
    const again = await writePapers(parts, "shop/release");
    expect(again).toMatchObject({ unchanged: true });
    expect(again.papers).toEqual(first.papers);
    expect((await images.papers()).of(release)).toHaveLength(3);
  });

  it("says what the image was baked from, each by SHA-256", async () => {
    await writePapers(await images.paperParts(), "shop/release");
    const { buildDefinition, runDetails } = (await predicateOf(release, PREDICATES.provenance)) as Provenance;
    expect(buildDefinition.externalParameters).toEqual({ recipe: "shop", layer: "release", parameters: {} });
    expect(buildDefinition.internalParameters).toMatchObject({
      hermetic: true,
      steps: [{ address: "base/apt" }, { address: "release/copy" }],
    });
    const dependencies = buildDefinition.resolvedDependencies;
    expect(dependencies.slice(0, 2)).toEqual([
      { name: "bakehouse.yaml", digest: { sha256: "1".repeat(64) } },
      { name: "shop/base", digest: { sha256: base.slice(7) }, annotations: { role: "parent" } },
    ]);
    expect(dependencies.slice(2).map(({ name, uri, digest, annotations }) => [name, uri, digest.sha256[0], annotations?.["step"]])).toEqual(
      [
        [undefined, "https://example.org/x.tar", "b", "base/apt"],
        ["files", undefined, "d", "base/apt"],
        ["jq", "pkg:deb/debian/jq@1.6-2.1%2Bdeb12u1?arch=amd64", "a", "base/apt"],
        [undefined, "https://example.org/y", "c", "base/apt"],
      ],
    );
    expect(runDetails).toMatchObject({
      metadata: { invocationId: "20260101-000000-abcdef", finishedOn: "2026-01-02T00:00:00.000Z", bakehouse_bakedBy: "tester@host" },
    });
  });

  it("says which steps it knows nothing of any more", async () => {
    for (const { key, address } of fixture.store.steps.all()) if (address === "base/apt") fixture.store.steps.remove(key);
    await writePapers(await images.paperParts(), "shop/release");
    const { buildDefinition } = (await predicateOf(release, PREDICATES.provenance)) as Provenance;
    expect(buildDefinition.internalParameters.stepsWithoutRecord).toEqual(["base/apt"]);
  });

  it("signs anew what a retired key had signed", async () => {
    const parts = await images.paperParts();
    await writePapers(parts, "shop/release");
    const keys = await images.keys();
    await keys.retire(keys.list()[0]!.id);
    expect(await writePapers(parts, "shop/release")).toMatchObject({ unchanged: false });
    const papers = await images.papers();
    expect(papers.of(release).map((paper) => papers.read(paper).trust)).toEqual([
      "signed",
      "signed",
      "signed",
      "unknown-key",
      "unknown-key",
      "unknown-key",
    ]);
  });

  it("does so for a whole lineage, the foundation first", async () => {
    const written = await writePapersOfLineage(await images.paperParts(), "shop/release");
    expect(written.map(({ name }) => name)).toEqual(["shop/base", "shop/release"]);
  });

  it("hashes no layer again that the signed SBOM of the image below knows, and says the same", async () => {
    const parts = await images.paperParts();
    const plain = await sbom("spdx");
    const hashed: string[] = [];
    const trees: typeof parts.trees = {
      ...parts.trees,
      layer: (diff, options) => {
        if (options?.hash === true) hashed.push(diff);
        return parts.trees.layer(diff, options);
      },
    };
    await writePapers({ ...parts, trees }, "shop/base");
    await writePapers({ ...parts, trees }, "shop/release");
    expect(hashed).toEqual(fixture.diffsOf(release));
    expect(await predicateOf(release, PREDICATES.spdx)).toEqual(plain);
    // what an unknown key signed is believed by nobody
    const keys = await images.keys();
    await keys.retire(keys.list()[0]!.id);
    await writePapers({ ...parts, trees }, "shop/release");
    expect(hashed.slice(2)).toEqual(fixture.diffsOf(release));
  });

  it("gives one set of papers when two write at once", async () => {
    const other = openImages({ store: fixture.store.root, env: {} });
    await Promise.all([writePapers(await images.paperParts(), "shop/release"), writePapers(await other.paperParts(), "shop/release")]);
    await other.close();
    expect((await images.papers()).of(release)).toHaveLength(3);
    expect((await images.keys()).list()).toHaveLength(1);
  });

  it("that is killed leaves a sound store, and the next one finishes it", async () => {
    const script = `const { openImages } = await import(process.argv[1]);
const { writePapers } = await import(process.argv[2]);
const images = openImages({ store: process.argv[3], env: {} });
const parts = await images.paperParts();
const keys = await images.keys();
console.log("go");
for (;;) { await keys.make("again"); await keys.retire(keys.list()[1]?.id ?? keys.list()[0].id); await writePapers(parts, "shop/release"); }`;
    for (const waitMs of [10, 60, 200, 450]) {
      const child = spawn(
        process.execPath,
        [
          "--input-type=module",
          "-e",
          script,
          join(import.meta.dirname, "../presets/images.ts"),
          join(import.meta.dirname, "write-papers.ts"),
          fixture.store.root,
        ],
        { stdio: ["ignore", "pipe", "inherit"] },
      );
      await new Promise((resolve) => child.stdout.once("data", resolve));
      await new Promise((resolve) => setTimeout(resolve, waitMs));
      const ended = new Promise((resolve) => child.once("exit", resolve));
      child.kill("SIGKILL");
      await ended;
      fixture.store.tidy();
      await writePapers(await images.paperParts(), "shop/release");
      const papers = await images.papers();
      for (const type of [PREDICATES.spdx, PREDICATES.cyclonedx, PREDICATES.provenance])
        expect(papers.of(release, type).some((paper) => papers.read(paper).trust === "signed")).toBe(true);
      const { damaged } = await verifyStore(
        { store: images.store, contents: await images.contents(), clock: images.clock, catalog: images.catalog },
        { deep: false, repair: false, signal: new AbortController().signal, onProgress: () => undefined },
      );
      expect(damaged).toEqual([]);
    }
  });
});

it("the envelope is DSSE: its signature verifies with openssl's bytes alone", async () => {
  await writePapers(await images.paperParts(), "shop/base");
  const papers = await images.papers();
  const [paper] = papers.of(base, PREDICATES.provenance);
  const envelope = JSON.parse(readFileSync(images.store.blobs.path(paper!.blob), "utf8")) as {
    readonly payload: string;
    readonly payloadType: string;
    readonly signatures: readonly [{ readonly keyid: string; readonly sig: string }];
  };
  const payload = Buffer.from(envelope.payload, "base64");
  const message = Buffer.concat([Buffer.from(`DSSEv1 ${envelope.payloadType.length} ${envelope.payloadType} ${payload.length} `), payload]);
  const { verify } = await import("node:crypto");
  const pem = (await images.keys()).publicKey(envelope.signatures[0].keyid);
  expect(verify(null, message, pem, Buffer.from(envelope.signatures[0].sig, "base64"))).toBe(true);
  const { createPublicKey } = await import("node:crypto");
  const der = createPublicKey(pem).export({ type: "spki", format: "der" });
  expect(createHash("sha256").update(der).digest("hex")).toBe(envelope.signatures[0].keyid);
});
