import { execFileSync, spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { fixtureStore, leftovers, put, whiteout, type FixtureStore } from "../../test/image-store.ts";
import type { ImageDigest } from "../core/digest.ts";
import { openImages, type ImageParts } from "../presets/images.ts";
import { mountImage, unmountImage, type MountImageParts } from "./mount-image.ts";

let fixture: FixtureStore;
let images: ImageParts;
let parts: MountImageParts;
let scratch: string;
let base: ImageDigest;

beforeAll(async () => {
  fixture = fixtureStore();
  scratch = mkdtempSync(join(tmpdir(), "bakehouse-mounts-"));
  base = await fixture.bake({
    name: "shop/base",
    steps: [
      { address: "base/copy", change: (upper) => put(upper, { "etc/motd": "old\n", "etc/gone": "x" }) },
      {
        address: "base/more",
        change: (upper) => {
          put(upper, { "etc/motd": "new\n" });
          whiteout(upper, "etc/gone");
        },
      },
    ],
  });
  await fixture.bakeVolume({
    name: "shop/site",
    root: base,
    path: "/srv/site",
    change: (directory) => put(directory, { "index.html": "hello\n" }),
  });
  images = openImages({ store: fixture.store.root });
  parts = { store: images.store, clock: images.clock, trees: await images.trees(), mounts: await images.mounts() };
});

afterEach(async () => {
  await unmountImage(parts, "all");
  expect(leftovers(fixture.folder)).toEqual([]);
});

afterAll(async () => {
  await images.close();
  fixture.remove();
  rmSync(scratch, { recursive: true, force: true });
});

describe("mounting an image", () => {
  it("shows the merged tree, read-only, at a folder that goes with it", async () => {
    const directory = join(scratch, "new");
    const mount = await mountImage(parts, "shop/base", directory);
    expect(mount).toMatchObject({ image: base, directory, madeDirectory: true });
    expect(readFileSync(join(directory, "etc/motd"), "utf8")).toBe("new\n");
    expect(existsSync(join(directory, "etc/gone"))).toBe(false);
    expect(() => writeFileSync(join(directory, "etc/motd"), "mine")).toThrow(/EROFS/);
    expect(parts.mounts.list()).toMatchObject([{ directory, mounted: true }]);
    await unmountImage(parts, { directory, given: directory });
    expect(existsSync(directory)).toBe(false);
    expect(parts.mounts.list()).toEqual([]);
  });

  it("mounts a volume with its root below it, and frees its loop device", async () => {
    const directory = join(scratch, "volume");
    mkdirSync(directory);
    await mountImage(parts, "shop/site", directory);
    expect(readFileSync(join(directory, "srv/site/index.html"), "utf8")).toBe("hello\n");
    expect(readFileSync(join(directory, "etc/motd"), "utf8")).toBe("new\n");
    await unmountImage(parts, { directory: "/nowhere", given: "shop/site" });
    expect(leftovers(fixture.folder)).toEqual([]);
    expect(existsSync(directory)).toBe(true);
  });

  it("unpacks a diff again that is missing", async () => {
    const [lowest] = fixture.diffsOf(base);
    fixture.store.diffs.remove(fixture.store.diffs.name(lowest!));
    const directory = join(scratch, "restored");
    await mountImage(parts, base, directory);
    expect(existsSync(join(directory, "etc"))).toBe(true);
    expect(fixture.store.diffs.has(lowest!)).toBe(true);
  });

  it("refuses a folder with files, one that is taken, a file, and one inside the store", async () => {
    const full = join(scratch, "full");
    put(full, { file: "mine" });
    const taken = join(scratch, "taken");
    await mountImage(parts, "shop/base", taken);
    for (const [directory, message] of [
      [full, /not empty/],
      [taken, /mounted at .* already/],
      [join(full, "file"), /not a directory/],
      [join(scratch, "no", "such", "parent"), /is not there/],
      [fixture.store.path("work", "here"), /inside the store/],
    ] as const)
      await expect(mountImage(parts, "shop/base", directory)).rejects.toMatchObject({
        code: "INPUT_INVALID",
        message: expect.stringMatching(message),
      });
    expect(readFileSync(join(full, "file"), "utf8")).toBe("mine");
  });

  it("says who is in the way when a mount is in use", async () => {
    const directory = join(scratch, "busy");
    await mountImage(parts, "shop/base", directory);
    const user = spawn("sleep", ["60"], { cwd: join(directory, "etc"), stdio: "ignore" });
    await new Promise((resolve) => user.once("spawn", resolve));
    await expect(unmountImage(parts, { directory, given: directory })).rejects.toMatchObject({ code: "RESOURCE_BUSY" });
    const gone = new Promise((resolve) => user.once("close", resolve));
    user.kill("SIGKILL");
    await gone;
  });

  it("forgets a mount that somebody ended by hand", async () => {
    const directory = join(scratch, "by-hand");
    await mountImage(parts, "shop/base", directory);
    execFileSync("umount", [directory]);
    expect(parts.mounts.list()).toMatchObject([{ mounted: false }]);
    await unmountImage(parts, "all");
    expect(parts.mounts.list()).toEqual([]);
  });

  it("tells what is mounted when asked to unmount something else", async () => {
    const directory = join(scratch, "site");
    await mountImage(parts, "shop/base", directory);
    await expect(unmountImage(parts, { directory: join(scratch, "sight"), given: "sight" })).rejects.toMatchObject({
      code: "INPUT_INVALID",
    });
  });
});
