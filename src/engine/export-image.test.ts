import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, linkSync, lstatSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { fixtureStore, leftovers, put, whiteout, type FixtureStore } from "../../test/image-store.ts";
import type { ImageDigest } from "../core/digest.ts";
import { hashFile } from "../adapters/image-trees/index.ts";
import { startTimeOf } from "../adapters/local-store/owners.ts";
import { openImages, type ImageParts } from "../presets/images.ts";
import { exportImage, type ExportedImage, type ExportImageOptions } from "./export-image.ts";

let fixture: FixtureStore;
let images: ImageParts;
let scratch: string;
let base: ImageDigest;

const bakeAll = async (into: FixtureStore): Promise<ImageDigest> => {
  const image = await into.bake({
    name: "shop/base",
    steps: [
      {
        address: "base/copy",
        change: (upper) => {
          put(upper, { "etc/motd": "old\n", "etc/gone": "x", "usr/bin/tool": 200_000 });
          linkSync(join(upper, "usr/bin/tool"), join(upper, "usr/bin/tool-too"));
          symlinkSync("../usr/bin/tool", join(upper, "etc/tool"));
          execFileSync("setfattr", ["-n", "user.mine", "-v", "kept", join(upper, "usr/bin/tool")]);
          execFileSync("mkfifo", [join(upper, "etc/fifo")]);
        },
      },
      {
        address: "base/more",
        change: (upper) => {
          put(upper, { "etc/motd": "new\n" });
          whiteout(upper, "etc/gone");
        },
      },
    ],
  });
  await into.bakeVolume({
    name: "shop/site",
    root: image,
    path: "/srv/site",
    change: (directory) => put(directory, { "index.html": "hello\n" }),
  });
  return image;
};

beforeAll(async () => {
  fixture = fixtureStore();
  base = await bakeAll(fixture);
  scratch = mkdtempSync(join(tmpdir(), "bakehouse-exports-"));
  images = openImages({ store: fixture.store.root });
});

afterAll(async () => {
  await images.close();
  expect(leftovers(fixture.folder)).toEqual([]);
  fixture.remove();
  rmSync(scratch, { recursive: true, force: true });
});

let count = 0;
async function exported(reference: string, options: Partial<ExportImageOptions>, from: ImageParts = images): Promise<ExportedImage> {
  return exportImage(await from.exporting(), reference, {
    format: "tar",
    folder: scratch,
    output: join(scratch, `out-${count++}`),
    replace: false,
    volumeOnly: false,
    signal: new AbortController().signal,
    onProgress: () => undefined,
    ...options,
  });
}

describe("exporting an image", () => {
  it.each(["tar", "squashfs", "erofs", "oci"] as const)("as %s gives the same bytes again, also from another store", async (format) => {
    const output = (): string => join(scratch, `${format}-${count++}.tar`);
    const first = await exported("shop/base", { format, output: output() });
    const second = await exported("shop/base", { format, output: output() });
    expect(`sha256:${hashFile(first.target)}`).toBe(first.digest);
    expect(second.digest).toBe(first.digest);
    if (format === "oci") return; // its index says who baked it and when
    const other = fixtureStore();
    await bakeAll(other);
    const elsewhere = openImages({ store: other.store.root });
    expect((await exported("shop/base", { format, output: output() }, elsewhere)).digest).toBe(first.digest);
    await elsewhere.close();
    other.remove();
  });

  it("as tar holds the merged tree, with links, attributes and special files", async () => {
    const { target } = await exported("shop/site", { format: "tar" });
    const out = join(scratch, "untarred");
    mkdirSync(out);
    execFileSync("tar", ["--xattrs", "--xattrs-include=user.*", "-xpf", target, "-C", out]);
    expect(readFileSync(join(out, "etc/motd"), "utf8")).toBe("new\n");
    expect(existsSync(join(out, "etc/gone"))).toBe(false);
    expect(readFileSync(join(out, "srv/site/index.html"), "utf8")).toBe("hello\n");
    expect(statSync(join(out, "usr/bin/tool")).ino).toBe(statSync(join(out, "usr/bin/tool-too")).ino);
    expect(lstatSync(join(out, "etc/fifo")).isFIFO()).toBe(true);
    expect(execFileSync("getfattr", ["-n", "user.mine", "--only-values", join(out, "usr/bin/tool")], { encoding: "utf8" })).toBe("kept");
  });

  it("as dir is the same tree", async () => {
    const { target } = await exported("shop/base", { format: "dir" });
    expect(readdirSync(join(target, "etc")).sort()).toEqual(["fifo", "motd", "tool"]);
    expect(statSync(join(target, "usr/bin/tool")).nlink).toBe(2);
    expect(statSync(join(target, "etc/motd")).mtimeMs / 1000).toBe(1_700_000_000);
  });

  it("as squashfs can be read by unsquashfs, as erofs checked by fsck.erofs", async () => {
    const squashfs = await exported("shop/base", { format: "squashfs" });
    expect(execFileSync("unsquashfs", ["-cat", squashfs.target, "etc/motd"], { encoding: "utf8" })).toBe("new\n");
    const erofs = await exported("shop/base", { format: "erofs" });
    expect(spawnSync("fsck.erofs", [erofs.target]).status).toBe(0);
  });

  it("brings just the volume with volumeOnly, byte for byte as in the store", async () => {
    const { target } = await exported("shop/site", { format: "erofs", volumeOnly: true });
    const blob = fixture.store.images.manifest(
      fixture.store.images.entries().find(({ artifactType }) => artifactType !== undefined)!.digest,
    ).layers[0]!.digest;
    expect(`sha256:${hashFile(target)}`).toBe(blob);
    await expect(exported("shop/base", { format: "erofs", volumeOnly: true })).rejects.toMatchObject({ code: "USAGE" });
    await expect(exported("shop/site", { format: "tar", volumeOnly: true })).rejects.toMatchObject({ code: "USAGE" });
  });

  it("names the output after the image when nobody does", async () => {
    const folder = mkdtempSync(join(scratch, "here-"));
    const { output: _, ...rest } = { output: undefined, format: "tar" as const, folder };
    const result = await exportImage(await images.exporting(), "shop/base", {
      ...rest,
      replace: false,
      volumeOnly: false,
      signal: new AbortController().signal,
      onProgress: () => undefined,
    });
    expect(readdirSync(folder)).toEqual([`shop-base-${base.slice(7, 19)}.tar`]);
    expect(result.target).toBe(join(folder, `shop-base-${base.slice(7, 19)}.tar`));
  });

  it("leaves what is there alone, unless told to replace it", async () => {
    const output = join(scratch, "taken");
    put(scratch, { taken: "mine" });
    await expect(exported("shop/base", { output })).rejects.toMatchObject({
      code: "INPUT_INVALID",
      help: { hint: expect.stringContaining("--force") },
    });
    expect(readFileSync(output, "utf8")).toBe("mine");
    await exported("shop/base", { output, replace: true });
    expect(statSync(output).size).toBeGreaterThan(1000);
    await expect(exported("shop/base", { output: join(scratch, "no/where/out") })).rejects.toMatchObject({ code: "INPUT_INVALID" });
  });

  it.each(["tar", "squashfs", "erofs", "dir", "oci"] as const)("as %s to a full disk leaves nothing", async (format) => {
    const disk = mkdtempSync(join(scratch, "full-"));
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=64k", "tmpfs", disk]);
    try {
      const big = await fixture.bake({
        name: "big/one",
        steps: [
          {
            address: "one/copy",
            change: (upper) => execFileSync("dd", ["if=/dev/urandom", `of=${join(upper, "noise")}`, "bs=1k", "count=300", "status=none"]),
          },
        ],
      });
      await expect(exported(big, { format, output: join(disk, "out") })).rejects.toMatchObject({ code: "STORE_FULL" });
      expect(readdirSync(disk)).toEqual([]);
    } finally {
      execFileSync("umount", [disk]);
    }
  });

  it("tidies what a killed export to the same place left, and nothing of one that is at work", async () => {
    const folder = mkdtempSync(join(scratch, "killed-"));
    const alive = `.out.bakehouse-1-${startTimeOf(1) ?? 0}`;
    put(folder, { ".out.bakehouse-999999-1": "half", [alive]: "half", ".other.bakehouse-999999-1": "half" });
    await exported("shop/base", { output: join(folder, "out") });
    expect(readdirSync(folder).sort()).toEqual([alive, ".other.bakehouse-999999-1", "out"].sort());
  });

  it("that is stopped leaves nothing", async () => {
    const folder = mkdtempSync(join(scratch, "stopped-"));
    await expect(
      exported("shop/base", { format: "squashfs", output: join(folder, "out"), signal: AbortSignal.abort() }),
    ).rejects.toMatchObject({ code: "CANCELLED" });
    expect(readdirSync(folder)).toEqual([]);
  });
});

describe("the store's layout", () => {
  const layout = (): string => `oci:${fixture.store.path("oci")}`;

  it("is read by skopeo as it is", () => {
    const inspected = JSON.parse(execFileSync("skopeo", ["inspect", `${layout()}:shop/base`], { encoding: "utf8" })) as {
      readonly Digest: string;
      readonly Layers: readonly string[];
    };
    expect(inspected.Digest).toBe(base);
    expect(inspected.Layers).toEqual(fixture.diffsOf(base));
  });

  it("is copied by skopeo with the same digest", () => {
    const copy = join(scratch, "copied");
    execFileSync("skopeo", ["copy", "--quiet", "--dest-oci-accept-uncompressed-layers", `${layout()}:shop/base`, `oci:${copy}:copy`]);
    expect(
      (JSON.parse(readFileSync(join(copy, "index.json"), "utf8")) as { readonly manifests: readonly { readonly digest: string }[] })
        .manifests[0]?.digest,
    ).toBe(base);
  });

  it("is unpacked by umoci to the same tree", () => {
    const bundle = join(scratch, "bundle");
    execFileSync("umoci", ["unpack", "--image", `${fixture.store.path("oci")}:shop/base`, bundle], { stdio: "pipe" });
    expect(readFileSync(join(bundle, "rootfs/etc/motd"), "utf8")).toBe("new\n");
    expect(existsSync(join(bundle, "rootfs/etc/gone"))).toBe(false);
    expect(statSync(join(bundle, "rootfs/usr/bin/tool")).nlink).toBe(2);
  });

  it.skipIf(spawnSync("buildah", ["--version"]).status !== 0)("is the start of a container for buildah", () => {
    const home = mkdtempSync(join(scratch, "buildah-"));
    const buildah = (...words: readonly string[]): string =>
      execFileSync("buildah", ["--root", join(home, "root"), "--runroot", join(home, "run"), "--storage-driver", "vfs", ...words], {
        encoding: "utf8",
        stdio: "pipe",
      }).trim();
    // buildah takes the path for a name, which may have no capital letters
    const place = join(tmpdir(), `bakehouse-layout-${process.pid}`);
    symlinkSync(fixture.store.path("oci"), place);
    const container = buildah("from", `oci:${place}:shop/base`);
    const tree = buildah("mount", container);
    expect(readFileSync(join(tree, "etc/motd"), "utf8")).toBe("new\n");
    expect(existsSync(join(tree, "etc/gone"))).toBe(false);
    buildah("umount", container);
    buildah("rm", "--all");
    rmSync(place);
  });

  it("exported for one image holds that image and nothing else", async () => {
    const { target } = await exported("shop/site", { format: "oci", output: join(scratch, "layout") });
    const index = JSON.parse(readFileSync(join(target, "index.json"), "utf8")) as {
      readonly manifests: readonly { readonly digest: string }[];
    };
    expect(index.manifests).toHaveLength(2); // the volume and its root
    expect(readdirSync(join(target, "blobs/sha256"))).toHaveLength(2 + 2 + 2 + 1); // manifests, configurations, layers, the volume
    execFileSync("skopeo", ["inspect", `oci:${target}:shop/base`], { stdio: "pipe" });
  });
});
