import {
  appendFileSync,
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  truncateSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { EPOCH_SECONDS, fixtureStore, put, whiteout, type FixtureStore } from "../../test/image-store.ts";
import type { ImageDigest } from "../core/digest.ts";
import { openImages, type ImageParts } from "../presets/images.ts";
import { importImage } from "./import-image.ts";
import { listImages } from "./list-images.ts";
import { verifyStore, type VerifyOptions, type VerifyResult } from "./verify-store.ts";

let fixture: FixtureStore;
let images: ImageParts;
let base: ImageDigest, release: ImageDigest;

beforeEach(async () => {
  fixture = fixtureStore();
  base = await fixture.bake({
    name: "shop/base",
    steps: [
      { address: "base/copy", change: (upper) => put(upper, { "etc/motd": "hello\n", "etc/gone": "x", "usr/bin/tool": 10_000 }) },
      {
        address: "base/remove",
        change: (upper) => {
          put(upper, { "usr/lib/a": "a" });
          whiteout(upper, "etc/gone");
        },
      },
    ],
  });
  release = await fixture.bake({
    name: "shop/release",
    parent: base,
    steps: [{ address: "release/copy", change: (upper) => put(upper, { "srv/app": "1" }) }],
  });
  await fixture.bakeVolume({
    name: "shop/site",
    root: base,
    path: "/srv/site",
    change: (directory) => put(directory, { "index.html": "hi\n" }),
  });
  images = openImages({ store: fixture.store.root });
  await listImages(images, { all: true }); // fills the catalog
});

afterEach(async () => {
  await images.close();
  fixture.remove();
});

const verify = async (options: Partial<VerifyOptions> = {}): Promise<VerifyResult> =>
  verifyStore(
    { store: images.store, contents: await images.contents(), clock: images.clock, catalog: images.catalog },
    { deep: false, repair: false, signal: new AbortController().signal, onProgress: () => undefined, ...options },
  );

const blobOf = (index: number): string => fixture.store.blobs.path(fixture.diffsOf(release)[index]!);
const folderOf = (index: number): string => fixture.store.diffs.folder(fixture.diffsOf(release)[index]!);
const kindsOf = ({ damaged }: VerifyResult): readonly string[] => damaged.map(({ kind }) => kind);

describe("verifying a store", () => {
  it("finds a sound one sound, also when it looks deep", async () => {
    for (const deep of [false, true])
      expect(await verify({ deep })).toMatchObject({ damaged: [], sound: true, diffs: 3, steps: 3, images: 3 });
  });

  it("finds a blob that was changed, and says what stands on it", async () => {
    appendFileSync(blobOf(0), "x");
    const result = await verify();
    expect(result.sound).toBe(false);
    const [blob] = result.damaged;
    expect(blob).toMatchObject({
      kind: "blob",
      id: fixture.diffsOf(release)[0],
      affects: expect.arrayContaining([expect.stringContaining("shop/base"), expect.stringContaining("shop/release"), "step base/copy"]),
    });
    expect(kindsOf(result)).toEqual(expect.arrayContaining(["blob", "diff", "step", "image"]));
  });

  it.each<readonly [string, (folder: string) => void, RegExp]>([
    ["a file is missing", (folder) => unlinkSync(join(folder, "etc/motd")), /motd is missing/],
    ["a file is shorter", (folder) => truncateSync(join(folder, "usr/bin/tool"), 10), /has 10 bytes, not 10000/],
    ["a mode differs", (folder) => chmodSync(join(folder, "usr/bin/tool"), 0o755), /mode 755, not 644/],
    ["a file too many", (folder) => put(folder, { "etc/extra": "x" }), /extra is not in the tar/],
    ["the folder is gone", (folder) => rmSync(folder, { recursive: true }), /is not unpacked/],
  ])("finds an unpacked diff in which %s, and unpacks it again", async (_what, damage, problem) => {
    damage(folderOf(0));
    expect((await verify()).damaged[0]).toMatchObject({ kind: "diff", problem: expect.stringMatching(problem) });
    const repaired = await verify({ repair: true });
    expect(repaired).toMatchObject({ sound: true });
    expect(repaired.damaged[0]?.repaired).toMatch(/unpacked again/);
    expect(await verify({ deep: true })).toMatchObject({ damaged: [], images: 3 });
  });

  it("finds changed content of equal size and time only when it looks deep", async () => {
    const file = join(folderOf(0), "etc/motd");
    writeFileSync(file, "jello\n");
    utimesSync(file, EPOCH_SECONDS, EPOCH_SECONDS);
    expect(await verify()).toMatchObject({ damaged: [] });
    expect(await verify({ deep: true })).toMatchObject({ damaged: [{ kind: "diff", problem: expect.stringContaining("other content") }] });
  });

  it("finds a whiteout that became a file", async () => {
    const path = join(folderOf(1), "etc/gone");
    unlinkSync(path);
    writeFileSync(path, "back");
    expect((await verify()).damaged[0]?.problem).toMatch(/gone is no whiteout/);
  });

  it("removes what cannot be mended, so that the next bake makes it again, and leaves the rest alone", async () => {
    truncateSync(blobOf(2), 100);
    expect(await verify({ repair: true })).toMatchObject({ sound: true });
    expect(existsSync(blobOf(2))).toBe(false);
    expect(existsSync(folderOf(0))).toBe(true);
    expect(
      fixture.store.steps
        .all()
        .map(({ address }) => address)
        .sort(),
    ).toEqual(["base/copy", "base/remove"]);
    expect(fixture.store.images.entries().map(({ digest }) => digest)).not.toContain(release);
    expect((await listImages(images, { all: true })).map(({ name }) => name).sort()).toEqual(["shop/base", "shop/site"]);
    expect(await verify()).toMatchObject({ damaged: [], images: 2 });
  });

  it("finds step records that cannot be read, are misplaced, or name something that is gone", async () => {
    const [record] = fixture.store.steps.all();
    writeFileSync(fixture.store.path("steps", `${"a".repeat(64)}.json`), "{ half");
    writeFileSync(fixture.store.path("steps", `${"b".repeat(64)}.json`), JSON.stringify(record));
    fixture.store.steps.save({ ...record!, key: `sha256:${"c".repeat(64)}`, diffId: `sha256:${"d".repeat(64)}` });
    const { damaged } = await verify();
    expect(damaged.filter(({ kind }) => kind === "step").map(({ problem }) => problem)).toEqual([
      expect.stringContaining("not JSON"),
      expect.stringContaining("holds the record of"),
      expect.stringContaining("is missing or damaged"),
    ]);
    expect(await verify({ repair: true })).toMatchObject({ sound: true });
    expect(await verify()).toMatchObject({ damaged: [], steps: 3 });
  });

  it("writes a damaged index again from the manifests and the catalog, with names and lineage", async () => {
    const before = await listImages(images, { all: true });
    writeFileSync(fixture.store.path("oci", "index.json"), '{"manifests":[');
    expect(await verify()).toMatchObject({ sound: false, damaged: [{ kind: "index" }] });
    expect(await verify({ repair: true })).toMatchObject({ sound: true, images: 3 });
    expect(await listImages(images, { all: true })).toEqual(before);
    expect(await verify()).toMatchObject({ damaged: [] });
    expect(readdirSync(fixture.store.path("oci")).some((name) => name.startsWith("index.json.damaged-"))).toBe(true);
  });

  it("finds imported images again, whose manifests do not say what they are called", async () => {
    const folder = join(fixture.folder, "tree");
    put(folder, { "etc/motd": "from elsewhere\n" });
    await importImage(
      { store: images.store, imports: await images.imports(), clock: images.clock, baker: "me@here", tool: "t", catalog: images.catalog },
      { path: folder, source: "tree", name: "golden/tree", signal: new AbortController().signal, onProgress: () => undefined },
    );
    writeFileSync(fixture.store.path("oci", "index.json"), "");
    expect(await verify({ repair: true })).toMatchObject({ sound: true, images: 4 });
    expect((await listImages(images, { all: false })).map(({ name }) => name)).toContain("golden/tree");
  });

  it("takes an entry out of the index that names no image", async () => {
    const file = fixture.store.path("oci", "index.json");
    const entries = fixture.store.images.entries();
    writeFileSync(
      file,
      JSON.stringify({
        schemaVersion: 2,
        manifests: [...entries, { mediaType: "x", digest: "nonsense", size: 1 }, { ...entries[0], digest: `sha256:${"e".repeat(64)}` }],
      }),
    );
    expect(kindsOf(await verify())).toEqual(expect.arrayContaining(["index", "image"]));
    expect(await verify({ repair: true })).toMatchObject({ sound: true });
    expect(fixture.store.images.entries()).toHaveLength(3);
  });

  it("fills a catalog that lacks images", async () => {
    await (await images.catalog()).removeImages([base]);
    expect(await verify()).toMatchObject({ damaged: [{ kind: "catalog" }] });
    expect(await verify({ repair: true })).toMatchObject({ sound: true });
    expect(await verify()).toMatchObject({ damaged: [] });
  });

  it("takes no harm from what a stopped bake left", async () => {
    mkdirSync(fixture.store.path("diffs", "0123456789abcdef"));
    renameSync(
      fixture.store.blobs.path(fixture.store.blobs.putJson({ left: "over" }).digest),
      fixture.store.path("oci", "blobs", "sha256", ".tmp-1-2-3"),
    );
    expect(await verify()).toMatchObject({ damaged: [] });
  });
});
