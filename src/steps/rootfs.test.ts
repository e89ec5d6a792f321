import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { archives } from "../adapters/overlay-diffs/index.ts";
import { plainImage, refusals, type StepImage } from "../../test/steps/step-image.ts";
import { rootfs } from "./rootfs.ts";

let image: StepImage;
beforeEach(async () => {
  image = await plainImage();
  image.root.remove("/etc");
});
afterEach(() => image.dispose());

const run = (options: unknown): Promise<void> => image.run(rootfs, options, { services: { archives: archives(image.root) } });

describe("options", () => {
  test.each(["base.tar.xz", { source: "base", excludes: ["*.log"] }, { source: "a.tar", strip: 1, devices: true }])(
    "%j is fine",
    (options) => expect(refusals(rootfs, options)).toEqual([]),
  );
  test.each([
    ["../base.tar", "leads out of the recipe's folder"],
    [{ source: "/base.tar" }, "is absolute"],
    [{ source: "a", strip: -1 }, "strip: "],
    [{ from: "a" }, "source: "],
  ])("%j is refused", (options, message) => expect(refusals(rootfs, options).join("\n")).toContain(message));
  test("name what enters the cache key", () => {
    expect(rootfs.requires?.("a.tar")).toEqual({ files: [{ path: "a.tar" }] });
    expect(rootfs.requires?.({ source: "a", excludes: ["x"] })).toEqual({ files: [{ path: "a", excludes: ["x"] }] });
  });
});

function tarball(name: string, ...args: readonly string[]): void {
  execFileSync("tar", ["--create", "--auto-compress", "--numeric-owner", "--file", join(image.folder, name), ...args], {
    cwd: image.folder,
  });
}

describe.each(["tar", "tar.gz", "tar.xz", "tar.zst"])("a .%s", (kind) => {
  test("is taken with its owners and modes", async () => {
    image.put("tree/etc/hostname", "vendor");
    chmodSync(image.put("tree/usr/bin/tool", "#!"), 0o4755);
    symlinkSync("usr/bin", join(image.folder, "tree/bin"));
    tarball(`base.${kind}`, "--owner=7", "--group=8", "-C", "tree", ".");
    await run(`base.${kind}`);
    expect(image.tree()).toEqual({
      "/bin": "link 7:8 → usr/bin",
      "/etc": "directory 0755 7:8",
      "/etc/hostname": 'file 0644 7:8 "vendor"',
      "/usr": "directory 0755 7:8",
      "/usr/bin": "directory 0755 7:8",
      "/usr/bin/tool": 'file 4755 7:8 "#!"',
    });
  });
});

test("leading folders are dropped", async () => {
  image.put("vendor-1.0/etc/hostname", "x");
  tarball("base.tar", "vendor-1.0");
  await expect(run("base.tar")).rejects.toMatchObject({
    code: "STEP_FAILED",
    help: { hint: expect.stringContaining("strip: 1") as string },
  });
  image.root.remove("/vendor-1.0");
  await run({ source: "base.tar", strip: 1 });
  expect(image.root.readText("/etc/hostname")).toBe("x");
});

test("device nodes are taken only if asked for", async () => {
  image.put("tree/etc/hostname", "x");
  execFileSync("mknod", [join(image.folder, "tree/null"), "c", "1", "3"]);
  tarball("base.tar", "-C", "tree", ".");
  await expect(run("base.tar")).rejects.toMatchObject({ code: "ARCHIVE_UNSAFE" });
  expect(image.tree()).toEqual({});
  await run({ source: "base.tar", devices: true });
  expect(image.root.lstat("/null")?.kind).toBe("device");
});

test("names that lead out are refused before anything is written", async () => {
  image.put("etc/x", "x");
  tarball("base.tar", "--absolute-names", "--transform=s,^etc/x,../../x,", "etc/x");
  await expect(run("base.tar")).rejects.toMatchObject({ code: "ARCHIVE_UNSAFE" });
  expect(image.tree()).toEqual({});
});

test("a folder is taken as root's, whatever it belongs to here", async () => {
  chmodSync(image.put("tree/etc/secret", "s"), 0o600);
  chmodSync(image.put("tree/usr/bin/tool", "t"), 0o700);
  image.put("tree/usr/noise.log");
  mkdirSync(join(image.folder, "tree/srv"));
  symlinkSync("usr/bin", join(image.folder, "tree/bin"));
  await run({ source: "tree", excludes: ["*.log"] });
  expect(image.tree()).toEqual({
    "/bin": "link 0:0 → usr/bin",
    "/etc": "directory 0755 0:0",
    "/etc/secret": 'file 0644 0:0 "s"',
    "/srv": "directory 0755 0:0",
    "/usr": "directory 0755 0:0",
    "/usr/bin": "directory 0755 0:0",
    "/usr/bin/tool": 'file 0755 0:0 "t"',
  });
});
