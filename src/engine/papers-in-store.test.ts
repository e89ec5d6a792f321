import { execFileSync } from "node:child_process";
import { appendFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { fixtureStore, put, type FixtureStore } from "../../test/image-store.ts";
import type { ImageDigest } from "../core/digest.ts";
import { PREDICATES } from "../core/papers/statement.ts";
import type { Paper } from "../ports/papers.ts";
import { openImages, type ImageParts } from "../presets/images.ts";
import { collectGarbage, type GarbageReport } from "./collect-garbage.ts";
import { exportImage } from "./export-image.ts";
import { importImage, type ImportedImage } from "./import-image.ts";
import { listImages } from "./list-images.ts";
import { verifyStore, type VerifyResult } from "./verify-store.ts";

let fixture: FixtureStore;
let images: ImageParts;
let scratch: string;
let base: ImageDigest, older: ImageDigest, release: ImageDigest;

const signal = new AbortController().signal;
const paperFor = async (name: string, digest: ImageDigest, predicate: unknown = {}): Promise<Paper> =>
  (await images.papers()).attach({ name, digest }, PREDICATES.checks, predicate);

beforeEach(async () => {
  scratch = mkdtempSync(join(tmpdir(), "bakehouse-papers-"));
  fixture = fixtureStore();
  base = await fixture.bake({ name: "shop/base", steps: [{ address: "base/copy", change: (at) => put(at, { "etc/motd": "hello\n" }) }] });
  const bakeRelease = (version: string): Promise<ImageDigest> =>
    fixture.bake({
      name: "shop/release",
      parent: base,
      bakedAt: `2026-01-0${version}T00:00:00.000Z`,
      steps: [{ address: "release/copy", change: (at) => put(at, { "srv/app": version }) }],
    });
  older = await bakeRelease("1");
  release = await bakeRelease("2");
  images = openImages({ store: fixture.store.root, env: {} });
});

afterEach(async () => {
  await images.close();
  fixture.remove();
  rmSync(scratch, { recursive: true, force: true });
});

const collect = async (keep: number): Promise<GarbageReport> =>
  collectGarbage(
    {
      store: images.store,
      contents: await images.contents(),
      mounts: await images.mounts(),
      cells: await images.cells(),
      clock: images.clock,
      catalog: images.catalog,
    },
    { apply: true, keep, recentMs: 0, packagesOlderThanMs: 0, packages: false, signal },
  );

const verify = async (repair = false): Promise<VerifyResult> =>
  verifyStore(
    { store: images.store, contents: await images.contents(), clock: images.clock, catalog: images.catalog },
    { deep: false, repair, signal, onProgress: () => undefined },
  );

describe("gc", () => {
  it("keeps papers with their image and removes them with it, saying why", async () => {
    const papers = await images.papers();
    const kept = await paperFor("shop/release", release);
    const gone = await paperFor("shop/release", older);
    await paperFor("shop/base", base);
    const report = await collect(1);
    expect(report.items.filter(({ kind }) => kind === "papers").map(({ id, keep, why }) => [id, keep, why])).toEqual([
      [release, true, "their image is kept"],
      [older, false, "their image goes"],
      [base, true, "their image is kept"],
    ]);
    expect(report.items.find(({ id }) => id === kept.blob)?.why).toBe("the papers of shop/release needs it");
    expect(papers.of(older)).toEqual([]);
    for (const digest of [gone.digest, gone.blob]) expect(images.store.blobs.has(digest)).toBe(false);
    expect(papers.of(release).map((paper) => papers.read(paper).trust)).toEqual(["signed"]);
    expect(await verify()).toMatchObject({ damaged: [] });
  });

  it("takes papers of an image that was taken away otherwise", async () => {
    await paperFor("shop/release", older);
    await images.store.images.remove([older]);
    expect((await collect(1)).items.find(({ kind }) => kind === "papers")).toMatchObject({
      keep: false,
      why: "their image is not in this store",
    });
    expect([...images.store.referrers.indexes()]).toEqual([]);
  });
});

describe("verify", () => {
  beforeEach(async () => {
    await listImages(images, { all: true }); // fills the catalog
  });

  it("finds a paper that was changed, and takes it off with --repair; the image stays", async () => {
    const good = await paperFor("shop/release", release, { n: 1 });
    const bad = await paperFor("shop/release", release, { n: 2 });
    appendFileSync(images.store.blobs.path(bad.blob), " ");
    const { damaged } = await verify();
    expect(damaged).toMatchObject([
      { kind: "blob", affects: [expect.stringContaining("papers of image shop/release")] },
      { kind: "papers", id: expect.stringContaining("shop/release"), problem: expect.stringContaining("lacks") },
    ]);
    expect(await verify(true)).toMatchObject({ sound: true });
    expect((await images.papers()).of(release)).toEqual([good]);
    expect(await verify()).toMatchObject({ damaged: [], images: 3 });
  });

  it("writes a damaged list again from the papers that are there", async () => {
    const papers = [await paperFor("shop/release", release, { n: 1 }), await paperFor("shop/release", release, { n: 2 })];
    const list = images.store.referrers.indexes().get(release);
    writeFileSync(images.store.blobs.path(list!), "{");
    expect((await verify()).damaged.map(({ kind }) => kind)).toEqual(["blob", "papers"]);
    expect(await verify(true)).toMatchObject({ sound: true });
    expect(
      (await images.papers())
        .of(release)
        .map(({ digest }) => digest)
        .sort(),
    ).toEqual(papers.map(({ digest }) => digest).sort());
    expect(await verify()).toMatchObject({ damaged: [] });
  });

  it("finds the papers again when index.json is lost", async () => {
    const paper = await paperFor("shop/release", release);
    rmSync(images.store.path("oci", "index.json"));
    expect(await verify(true)).toMatchObject({ sound: true, images: 3 });
    expect((await images.papers()).of(release)).toEqual([paper]);
    expect(images.store.images.entries()).toHaveLength(3);
  });
});

describe("export and import", () => {
  const exportTo = async (name: string, noPapers = false): Promise<string> => {
    const output = join(scratch, name);
    await exportImage(await images.exporting(), "shop/release", {
      format: "oci",
      folder: scratch,
      output,
      replace: false,
      volumeOnly: false,
      noPapers,
      signal,
      onProgress: () => undefined,
    });
    return output;
  };
  const importFrom = async (taker: ImageParts, path: string): Promise<readonly ImportedImage[]> =>
    importImage(
      { store: taker.store, imports: await taker.imports(), clock: taker.clock, baker: "me", tool: "t", catalog: taker.catalog },
      { path, source: path, signal, onProgress: () => undefined },
    );

  it.each(["layout", "layout.tar"])("carry papers and lineage along (%s)", async (name) => {
    const paper = await paperFor("shop/release", release, { verdict: "passed" });
    await paperFor("shop/base", base);
    const taker = openImages({ store: join(scratch, "taker"), env: {} });
    expect(await importFrom(taker, await exportTo(name))).toMatchObject([{ digest: release, name: "shop/release", papers: 1 }]);
    const papers = await taker.papers();
    expect(papers.of(release)).toEqual([paper]);
    expect(papers.of(base)).toHaveLength(1);
    expect(papers.read(paper).trust).toBe("unknown-key");
    const [key] = (await images.keys()).list();
    await (await taker.keys()).take((await images.keys()).publicKey(key!.id), { name: "maker", signs: false });
    expect(papers.read(paper).trust).toBe("signed");
    expect((await listImages(taker, { all: true })).map(({ digest }) => digest).sort()).toEqual([base, release].sort());
    await taker.close();
  });

  it("leave papers and lineage out when told, or when there are none", async () => {
    const plain = await exportTo("plain");
    await paperFor("shop/release", release);
    const without = await exportTo("without", true);
    for (const layout of [plain, without])
      expect(JSON.parse(readFileSync(join(layout, "index.json"), "utf8"))).toMatchObject({ manifests: [{ digest: release }] });
    expect(readdirSync(join(plain, "blobs/sha256"))).toEqual(readdirSync(join(without, "blobs/sha256")));
    execFileSync("skopeo", ["inspect", `oci:${without}`], { stdio: "pipe" });
  });

  it("write what skopeo and umoci read", async () => {
    await paperFor("shop/release", release);
    const layout = await exportTo("read");
    expect(JSON.parse(execFileSync("skopeo", ["inspect", `oci:${layout}:shop/release`], { encoding: "utf8" }))).toMatchObject({
      Digest: release,
    });
    execFileSync("umoci", ["unpack", "--image", `${layout}:shop/release`, join(scratch, "bundle")], { stdio: "pipe" });
    expect(readFileSync(join(scratch, "bundle/rootfs/srv/app"), "utf8")).toBe("2");
    expect(execFileSync("umoci", ["ls", "--layout", layout], { encoding: "utf8" })).toContain("shop/release");
  });

  it("refuse a paper that is not what its digest says", async () => {
    const paper = await paperFor("shop/release", release);
    const layout = await exportTo("damaged");
    appendFileSync(join(layout, "blobs/sha256", paper.blob.slice(7)), " ");
    const taker = openImages({ store: join(scratch, "taker"), env: {} });
    await expect(importFrom(taker, layout)).rejects.toMatchObject({ code: "DIGEST_MISMATCH" });
    expect(taker.store.images.entries()).toEqual([]);
    await taker.close();
  });
});
