import { execFileSync } from "node:child_process";
import { appendFileSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { fixtureStore, put, whiteout, type FixtureStore } from "../../test/image-store.ts";
import type { ImageDigest } from "../core/digest.ts";
import { openImages, type ImageParts } from "../presets/images.ts";
import { exportImage } from "./export-image.ts";
import { imageFiles } from "./image-files.ts";
import { importImage, type ImportedImage, type ImportImageOptions } from "./import-image.ts";
import { listImages } from "./list-images.ts";

let maker: FixtureStore;
let makerImages: ImageParts;
let taker: ImageParts;
let takerFolder: string;
let scratch: string;
let base: ImageDigest, volume: ImageDigest;

beforeAll(async () => {
  scratch = mkdtempSync(join(tmpdir(), "bakehouse-imports-"));
  maker = fixtureStore();
  base = await maker.bake({
    name: "shop/base",
    steps: [
      { address: "base/copy", change: (upper) => put(upper, { "etc/motd": "hello\n", "etc/gone": "x" }) },
      { address: "base/remove", change: (upper) => whiteout(upper, "etc/gone") },
    ],
  });
  volume = await maker.bakeVolume({
    name: "shop/site",
    root: base,
    path: "/srv/site",
    change: (directory) => put(directory, { "index.html": "hi\n" }),
  });
  makerImages = openImages({ store: maker.store.root });
  takerFolder = join(scratch, "taker");
  taker = openImages({ store: takerFolder });
});

afterAll(async () => {
  await makerImages.close();
  await taker.close();
  maker.remove();
  rmSync(scratch, { recursive: true, force: true });
});

async function imported(path: string, options: Partial<ImportImageOptions> = {}): Promise<readonly ImportedImage[]> {
  try {
    return await importImage(
      {
        store: taker.store,
        imports: await taker.imports(),
        clock: taker.clock,
        baker: await taker.baker(),
        tool: taker.tool,
        catalog: taker.catalog,
      },
      { path, source: path, signal: new AbortController().signal, onProgress: () => undefined, ...options },
    );
  } finally {
    expect(readdirSync(join(takerFolder, "work"))).toEqual([]);
  }
}

const exportLayout = async (reference: string, output: string): Promise<string> => {
  await exportImage(await makerImages.exporting(), reference, {
    format: "oci",
    folder: scratch,
    output,
    replace: true,
    volumeOnly: false,
    signal: new AbortController().signal,
    onProgress: () => undefined,
  });
  return output;
};

const filesOf = async (reference: string): Promise<readonly string[]> =>
  (await imageFiles({ store: taker.store, trees: await taker.trees() }, reference))
    .filter(({ kind }) => kind !== "directory")
    .map(({ path }) => path);

describe("importing", () => {
  it.each(["layout", "layout.tar"])("what export --format oci wrote keeps digest, name and lineage (%s)", async (name) => {
    const fresh = join(scratch, `store-${name}`);
    const other = openImages({ store: fresh });
    const [image] = await importImage(
      { store: other.store, imports: await other.imports(), clock: other.clock, baker: "me@here", tool: "t", catalog: other.catalog },
      {
        path: await exportLayout("shop/base", join(scratch, name)),
        source: `some/${name}`,
        signal: new AbortController().signal,
        onProgress: () => undefined,
      },
    );
    expect(image).toMatchObject({ digest: base, name: "shop/base", kind: "image", layers: 2 });
    expect(await listImages(other, { all: true })).toMatchObject([
      { digest: base, bakedBy: "tester@host", hermetic: true, imported: name, recipe: "shop" },
    ]);
    for (const diff of maker.diffsOf(base)) expect(other.store.diffs.has(diff)).toBe(true);
    await other.close();
  });

  it("takes a volume together with its root image", async () => {
    const images = await imported(await exportLayout("shop/site", join(scratch, "volume-layout")), { name: "copy/site" });
    expect(images.map(({ digest, name, kind }) => [digest, name, kind])).toEqual([
      [base, "copy/site-root", "image"],
      [volume, "copy/site", "volume"],
    ]);
    expect(await filesOf("copy/site")).toEqual(["/etc/motd", "/srv/site/index.html"]);
  });

  it("changes nothing when the image is here already", async () => {
    const [image] = await imported(await exportLayout("shop/base", join(scratch, "again")), { name: "another/name" });
    expect(image).toMatchObject({ digest: base, name: "copy/site-root", wasHere: true });
  });

  it("unpacks an image of compressed layers, and says what its digest is elsewhere", async () => {
    const compressed = join(scratch, "compressed");
    execFileSync("skopeo", ["copy", "--quiet", `oci:${maker.store.path("oci")}:shop/base`, `oci:${compressed}:latest`]);
    const original = (
      JSON.parse(readFileSync(join(compressed, "index.json"), "utf8")) as { readonly manifests: readonly [{ readonly digest: string }] }
    ).manifests[0].digest;
    const [image] = await imported(compressed, { name: "unpacked/base" });
    expect(image).toMatchObject({ name: "unpacked/base", originalDigest: original });
    expect(taker.store.images.config(image!.digest).rootfs.diff_ids).toEqual(maker.diffsOf(base));
    execFileSync("skopeo", ["inspect", `oci:${join(takerFolder, "oci")}:unpacked/base`], { stdio: "pipe" });
  });

  it.each([
    ["plain", "tar", []],
    ["xz", "tar.xz", ["--xz"]],
    ["zstd", "tar.zst", ["--zstd"]],
  ] as const)("takes a %s tar of a root file system; the same tree gives the same digest", async (_kind, ending, flags) => {
    const tree = join(scratch, `tree-${ending}`);
    put(tree, { "etc/os-release": "ID=x\n", "bin/tool": 1000 });
    const tar = join(scratch, `rootfs.${ending}`);
    execFileSync("tar", [...flags, "--mtime=@1700000000", "-cpf", tar, "-C", tree, "."]);
    const [image] = await imported(tar, { name: `golden/${ending.replace("tar", "t").replace(".", "-")}` });
    expect(image).toMatchObject({ from: "rootfs-tar", layers: 1, name: "golden/t" });
    expect(await filesOf("golden/t")).toEqual(["/bin/tool", "/etc/os-release"]);
    // one image has one name: what comes second is known by its digest
    expect(image?.wasHere).toBe(ending === "tar" ? undefined : true);
    expect(await listImages(taker, { all: true })).toContainEqual(
      expect.objectContaining({ digest: image!.digest, hermetic: false, imported: "rootfs.tar" }),
    );
  });

  it("takes a folder, and leaves it as it was", async () => {
    const tree = join(scratch, "folder");
    put(tree, { "etc/os-release": "ID=y\n" });
    symlinkSync("/etc/os-release", join(tree, "absolute"));
    const before = execFileSync("ls", ["-lR", "--time-style=full-iso", tree], { encoding: "utf8" });
    const [image] = await imported(tree, { name: "golden/folder" });
    expect(await filesOf(image!.digest)).toEqual(["/absolute", "/etc/os-release"]);
    expect(execFileSync("ls", ["-lR", "--time-style=full-iso", tree], { encoding: "utf8" })).toBe(before);
  });

  it("refuses a folder that holds the store, and tells what cannot be copied", async () => {
    await expect(imported(scratch, { name: "everything" })).rejects.toMatchObject({
      code: "INPUT_INVALID",
      message: expect.stringContaining("holds the store"),
    });
    await expect(imported("/proc/sys/net/ipv4/route", { name: "living" }) /* holds a file that nobody can read */).rejects.toMatchObject({
      code: "INPUT_INVALID",
      message: expect.stringContaining("Cannot copy /proc/sys/net/ipv4/route"),
    });
  });

  it("refuses a tar that would leave its folder, all entries at once", async () => {
    const bad = join(scratch, "bad.tar");
    put(scratch, { x: "x" });
    execFileSync("tar", ["-cPf", bad, "--transform=s,^,../,", "-C", scratch, "x"]);
    execFileSync("tar", ["-rPf", bad, join(scratch, "x")]);
    await expect(imported(bad, { name: "bad/one" })).rejects.toMatchObject({
      code: "ARCHIVE_UNSAFE",
      message: expect.stringContaining("2 unsafe"),
    });
    expect(existsSync(join(takerFolder, "x"))).toBe(false);
  });

  it("refuses a layer that is not what its digest says, and keeps nothing of it", async () => {
    const layout = await exportLayout("shop/base", join(scratch, "damaged"));
    const fresh = openImages({ store: join(scratch, "fresh") });
    appendFileSync(join(layout, "blobs/sha256", maker.diffsOf(base)[1]!.slice(7)), "more");
    const attempt = importImage(
      { store: fresh.store, imports: await fresh.imports(), clock: fresh.clock, baker: "me", tool: "t", catalog: fresh.catalog },
      { path: layout, source: layout, signal: new AbortController().signal, onProgress: () => undefined },
    );
    await expect(attempt).rejects.toMatchObject({ code: "DIGEST_MISMATCH" });
    expect(fresh.store.images.entries()).toEqual([]);
    await fresh.close();
  });

  it("chooses among several images of a layout when told", async () => {
    const layout = maker.store.path("oci");
    expect((await imported(layout)).map(({ name }) => name)).toEqual(["copy/site-root", "copy/site"]); // nothing else stands at the top
    const [image] = await imported(layout, { image: "shop/base" });
    expect(image?.digest).toBe(base);
    await expect(imported(layout, { image: "shop/nothing" })).rejects.toMatchObject({
      code: "INPUT_INVALID",
      help: { hint: expect.stringContaining("shop/base") },
    });
  });

  it("says what is wrong with what is no image", async () => {
    const folder = join(scratch, "odd");
    mkdirSync(folder);
    const files = { "empty.tar": "", "text.tar": "just text, and not even a whole block of it" };
    for (const [name, content] of Object.entries(files)) writeFileSync(join(folder, name), content);
    for (const name of Object.keys(files))
      await expect(imported(join(folder, name), { name: "odd/one" })).rejects.toMatchObject({ code: "ARCHIVE_INVALID" });
    await expect(imported(join(folder, "nothing"), { name: "odd/one" })).rejects.toMatchObject({ code: "INPUT_INVALID" });
    await expect(imported(folder, { name: "Not A Name" })).rejects.toMatchObject({ code: "USAGE" });
    await expect(imported(folder)).rejects.toMatchObject({ code: "USAGE", help: { hint: expect.stringContaining("--name") } });
    const layout = join(scratch, "half");
    put(layout, { "oci-layout": "{}" });
    await expect(imported(layout, { name: "odd/one" })).rejects.toMatchObject({
      code: "ARCHIVE_INVALID",
      message: expect.stringContaining("index.json"),
    });
    put(layout, { "index.json": JSON.stringify({ manifests: [{ digest: "sha256:../../etc/passwd" }] }) });
    await expect(imported(layout, { name: "odd/one" })).rejects.toMatchObject({ code: "ARCHIVE_INVALID" });
  });
});
