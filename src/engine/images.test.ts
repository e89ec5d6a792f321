import { renameSync, rmSync, writeFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { dpkgStatus, fixtureStore, put, whiteout, type FixtureStore } from "../../test/image-store.ts";
import type { ImageDigest } from "../core/digest.ts";
import { ANNOTATIONS } from "../core/image/oci.ts";
import { openImages, type ImageParts } from "../presets/images.ts";
import { compareImages } from "./compare-images.ts";
import { findImage } from "./find-image.ts";
import { imageFiles } from "./image-files.ts";
import { imageHistory } from "./image-history.ts";
import { imageTree, type ImageBranch } from "./image-tree.ts";
import { listImages } from "./list-images.ts";
import { showImage } from "./show-image.ts";

let fixture: FixtureStore;
let parts: ImageParts;
let foundation: ImageDigest, base: ImageDigest, oldRelease: ImageDigest, release: ImageDigest, volume: ImageDigest;

beforeAll(async () => {
  fixture = fixtureStore();
  foundation = await fixture.bake({
    name: "shop/foundation",
    steps: [
      {
        address: "foundation/debian",
        change: (upper) =>
          put(upper, {
            "etc/os-release": "ID=debian\n",
            "usr/share/doc/gone.txt": "old\n",
            "var/lib/dpkg/status": dpkgStatus({ bash: "5.2-1", zlib1g: "1:1.2" }),
          }),
      },
    ],
  });
  base = await fixture.bake({
    name: "shop/base",
    parent: foundation,
    steps: [
      {
        address: "base/apt",
        change: (upper) =>
          put(upper, { "usr/bin/curl": 5000, "var/lib/dpkg/status": dpkgStatus({ bash: "5.2-2", curl: "7.88", zlib1g: "1:1.2" }) }),
      },
      { address: "base/remove", change: (upper) => whiteout(upper, "usr/share/doc/gone.txt") },
    ],
  });
  const releaseOf = (version: string): Promise<ImageDigest> =>
    fixture.bake({
      name: "shop/release",
      parent: base,
      hermetic: version !== "2",
      steps: [
        {
          address: "release/copy",
          change: (upper) => put(upper, { "srv/app/version": `${version}\n`, [`srv/app/only-${version}`]: 10, "usr/bin/curl": 5000 }),
        },
      ],
      annotations: {
        [ANNOTATIONS.entry]: "app.service",
        [ANNOTATIONS.users]: "app,web",
        [ANNOTATIONS.parameters]: `{"version":${version}}`,
      },
      config: { ExposedPorts: { "80/tcp": {} }, Labels: { team: version } },
    });
  oldRelease = await releaseOf("1");
  release = await releaseOf("2");
  volume = await fixture.bakeVolume({
    name: "shop/site",
    root: base,
    path: "/srv/site",
    change: (directory) => put(directory, { "index.html": "<h1>hello</h1>\n", "css/site.css": 300 }),
  });
  parts = openImages({ store: fixture.store.root });
});

afterAll(async () => {
  await parts.close();
  fixture.remove();
});

describe("listing images", () => {
  it("shows the newest first, and those whose name has moved on when asked", async () => {
    const current = await listImages(parts, { all: false });
    expect(current.map(({ name }) => name)).toEqual(["shop/site", "shop/release", "shop/base", "shop/foundation"]);
    const all = await listImages(parts, { all: true });
    expect(all.map(({ digest, current: isCurrent }) => [digest, isCurrent])).toContainEqual([oldRelease, false]);
    expect(all.find(({ digest }) => digest === oldRelease)?.name).toBe("shop/release");
    expect(all.find(({ digest }) => digest === release)).toMatchObject({
      hermetic: false,
      kind: "image",
      bakedBy: "tester@host",
      parent: base,
    });
    expect(all.find(({ digest }) => digest === volume)).toMatchObject({ kind: "volume", hermetic: true });
  });

  it("fills the catalog when it is not there, and then reads sizes from it", async () => {
    const digests = fixture.store.images
      .entries()
      .map(({ digest }) => digest)
      .sort();
    expect([...(parts.indexed()?.keys() ?? [])].sort()).toEqual(digests);
  });

  it("mends a catalog that has too much, too little or another name", async () => {
    const catalog = await parts.catalog();
    const [first] = await catalog.images();
    await catalog.removeImages([base]);
    await catalog.putImages([
      { ...first!, digest: `sha256:${"9".repeat(64)}` },
      { ...first!, digest: foundation, name: "something/else" },
    ]);
    const listed = await listImages(parts, { all: true });
    expect(listed).toHaveLength(5);
    expect(new Map([...(parts.indexed() ?? [])].map(([digest, { name }]) => [digest, name]))).toEqual(
      new Map(listed.map(({ digest, name }) => [digest, name])),
    );
  });

  it("does without a catalog that cannot be read", async () => {
    const file = fixture.store.path("catalog.db");
    renameSync(file, `${file}.aside`);
    writeFileSync(file, "not a database, but long enough to be looked at");
    const other = openImages({ store: fixture.store.root });
    expect(await listImages(other, { all: true })).toHaveLength(5);
    await other.close();
    for (const suffix of ["", "-wal", "-shm"]) rmSync(`${file}${suffix}`, { force: true });
    renameSync(`${file}.aside`, file);
  });

  it("says which image is damaged instead of failing", async () => {
    const path = fixture.store.blobs.path(oldRelease);
    renameSync(path, `${path}.aside`);
    await (await parts.catalog()).removeImages([oldRelease]);
    const listed = await listImages(parts, { all: true });
    expect(listed.find(({ digest }) => digest === oldRelease)?.problem).toMatch(/manifest/);
    renameSync(`${path}.aside`, path);
    expect((await listImages(parts, { all: true })).find(({ digest }) => digest === oldRelease)?.problem).toBeUndefined();
  });
});

describe("references", () => {
  it.each([
    ["a name", () => "shop/base", () => base],
    ["a digest", () => base, () => base],
    ["the beginning of a digest", () => base.slice(7, 19), () => base],
    ["the digest of an image whose name has moved on", () => oldRelease, () => oldRelease],
    ["a recipe's name: the image that nothing stands on", () => "shop", () => release],
    ["the name of a volume", () => "shop/site", () => volume],
  ])("may be %s", (_what, reference, digest) => {
    expect(findImage(fixture.store, reference()).digest).toBe(digest());
  });

  it("may be a recipe whose release is a volume, and tell when two images are meant", async () => {
    const other = fixtureStore();
    const root = await other.bake({ name: "site/base", steps: [{ address: "base/copy", change: (upper) => put(upper, { a: "a" }) }] });
    const only = await other.bakeVolume({ name: "site/release", root, path: "/srv", change: (directory) => put(directory, { b: "b" }) });
    expect(findImage(other.store, "site").digest).toBe(only);
    const twin = (name: string): Promise<ImageDigest> =>
      other.bake({ name, parent: root, steps: [{ address: name.slice(5), change: (upper) => put(upper, { c: name }) }] });
    await twin("site/one");
    await twin("site/two");
    expect(() => findImage(other.store, "site")).toThrow(expect.objectContaining({ code: "REFERENCE_AMBIGUOUS" }));
    other.remove();
  });

  it("that match nothing say what was meant", () => {
    expect(() => findImage(fixture.store, "shop/relaese")).toThrow(
      expect.objectContaining({
        code: "IMAGE_NOT_FOUND",
        help: expect.objectContaining({ hint: expect.stringContaining("shop/release") }),
      }),
    );
  });
});

describe("one image", () => {
  it("shows its lineage from the foundation up, its settings, and each layer with its step", () => {
    const shown = showImage(parts, "shop/release");
    expect(shown.lineage.map(({ name }) => name)).toEqual(["shop/foundation", "shop/base", "shop/release"]);
    expect(shown).toMatchObject({
      digest: release,
      current: true,
      entry: "app.service",
      ports: ["80/tcp"],
      users: ["app", "web"],
      labels: { team: "2" },
      hermetic: false,
      parameters: { version: 2 },
    });
    expect(shown.layers.map(({ step }) => step)).toEqual(["foundation/debian", "base/apt", "base/remove", "release/copy"]);
    expect(shown.sizeBytes).toBe(shown.layers.reduce((sum, layer) => sum + layer.sizeBytes, 0));
    expect(
      showImage(parts, "shop/base")
        .children.map(({ digest }) => digest)
        .sort(),
    ).toEqual([oldRelease, release, volume].sort());
  });

  it("shows a volume with its root image", () => {
    expect(showImage(parts, "shop/site")).toMatchObject({
      kind: "volume",
      volume: { path: "/srv/site", root: base, rootName: "shop/base" },
    });
  });

  it("has a history that says which image of the lineage brought each layer", () => {
    const { rows } = imageHistory(fixture.store, "shop/site");
    expect(rows.map(({ image, step }) => [image, step])).toEqual([
      ["shop/foundation", "foundation/debian"],
      ["shop/base", "base/apt"],
      ["shop/base", "base/remove"],
      ["shop/site", "site/volume"],
    ]);
  });

  it("stands in the tree under what it was baked onto", () => {
    const outline = (branches: readonly ImageBranch[]): unknown =>
      branches.map(({ name, children }) => (children.length === 0 ? name : [name, outline(children)]));
    expect(outline(imageTree(parts, { all: false }))).toEqual([["shop/foundation", [["shop/base", ["shop/release", "shop/site"]]]]]);
    expect(outline(imageTree(parts, { all: true }))).toEqual([
      ["shop/foundation", [["shop/base", ["shop/release", "shop/release", "shop/site"]]]],
    ]);
  });
});

describe("files of an image", () => {
  const filesOf = async (reference: string, options = {}): Promise<readonly string[]> =>
    (await imageFiles({ store: fixture.store, trees: await parts.trees() }, reference, options))
      .filter(({ kind }) => kind !== "directory")
      .map(({ path }) => path);

  it("are those of the merged layers", async () => {
    expect(await filesOf("shop/base")).toEqual(["/etc/os-release", "/usr/bin/curl", "/var/lib/dpkg/status"]);
    expect(await filesOf("shop/base", { path: "usr/bin" })).toEqual(["/usr/bin/curl"]);
  });

  it("of one layer include what it takes away", async () => {
    const files = await imageFiles({ store: fixture.store, trees: await parts.trees() }, "shop/base", { layer: "base/remove" });
    expect(files.filter(({ kind }) => kind !== "directory")).toMatchObject([{ path: "/usr/share/doc/gone.txt", kind: "removed" }]);
    expect(await filesOf("shop/base", { layer: "1" })).toContain("/usr/share/doc/gone.txt");
    expect(await filesOf("shop/base", { layer: fixture.diffsOf(base)[1]?.slice(7, 15) })).toContain("/usr/bin/curl");
  });

  it("of a volume are those of its root with the volume at its path", async () => {
    expect(await filesOf("shop/site")).toEqual([
      "/etc/os-release",
      "/srv/site/css/site.css",
      "/srv/site/index.html",
      "/usr/bin/curl",
      "/var/lib/dpkg/status",
    ]);
    expect(await filesOf("shop/site", { layer: "volume" })).toEqual(["/srv/site/css/site.css", "/srv/site/index.html"]);
  });

  it("are told with what was meant when a path or layer is not there", async () => {
    await expect(filesOf("shop/base", { path: "/usr/bin/crul" })).rejects.toMatchObject({
      code: "INPUT_INVALID",
      help: { hint: expect.stringContaining("/usr/bin/curl") },
    });
    await expect(filesOf("shop/base", { layer: "base/atp" })).rejects.toMatchObject({
      code: "INPUT_INVALID",
      help: { hint: expect.stringContaining("base/apt") },
    });
  });
});

describe("two images", () => {
  const compare = async (a: string, b: string) => compareImages({ store: fixture.store, trees: await parts.trees() }, a, b);

  it("differ by packages, files and settings", async () => {
    const result = await compare("shop/foundation", "shop/base");
    expect(result.packages.map(({ name, change }) => [name, change])).toEqual([
      ["bash", "upgraded"],
      ["curl", "added"],
    ]);
    expect(result.files.filter(({ kind }) => kind !== "directory").map(({ change, path }) => [change, path])).toEqual([
      ["added", "/usr/bin/curl"],
      ["removed", "/usr/share/doc/gone.txt"],
      ["changed", "/var/lib/dpkg/status"],
    ]);
    expect(result.sharedLayers).toBe(1);
  });

  it("show a file of equal size and time but other content as changed, also against a layer that both have", async () => {
    const releases = await compare(oldRelease, release);
    expect(releases.files).toContainEqual(expect.objectContaining({ change: "changed", path: "/srv/app/version", aspects: ["content"] }));
    expect(releases.settings.map(({ setting }) => setting)).toEqual(
      expect.arrayContaining(["label team", "parameter version", "hermetic"]),
    );
    const overBase = await compare("shop/base", "shop/release");
    // written anew by the release with the same size, time and content
    expect(overBase.files.map(({ path }) => path)).not.toContain("/usr/bin/curl");
  });

  it("are equal to themselves", async () => {
    expect(await compare("shop/site", "shop/site")).toMatchObject({ files: [], packages: [], settings: [] });
  });

  it("may be a root image and its volume", async () => {
    const result = await compare("shop/base", "shop/site");
    expect(result.files.map(({ path }) => path)).toEqual(
      ["/srv", "/srv/site", "/srv/site/css", "/srv/site/css/site.css", "/srv/site/index.html"].filter((path) =>
        result.files.some((file) => file.path === path),
      ),
    );
    expect(result.settings.map(({ setting }) => setting)).toContain("volume");
  });
});
