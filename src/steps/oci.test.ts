import { execFileSync } from "node:child_process";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { ociSource } from "../adapters/oci-source/index.ts";
import { archives } from "../adapters/overlay-diffs/index.ts";
import { plainImage, refusals, type StepImage } from "../../test/steps/step-image.ts";
import { oci } from "./oci.ts";

let image: StepImage;
beforeEach(async () => {
  image = await plainImage();
  image.root.remove("/etc");
});
afterEach(() => image.dispose());

describe("options", () => {
  test.each([
    "oci:vendor",
    "oci:vendor/base:12",
    "docker://registry.example/base",
    { image: "docker://registry.example:5000/team/base@sha256:00" },
  ])("%j is fine", (options) => expect(refusals(oci, options)).toEqual([]));
  test.each(["vendor", "oci:", "oci:/abs", "docker://", "docker://host", "oci:a b", "podman://x/y"])("%j is refused", (options) =>
    expect(refusals(oci, options).join()).toContain('write "oci:folder[:tag]"'),
  );
  test("oci:../x is refused", () => expect(refusals(oci, "oci:../x").join()).toContain("leads out"));
  test("name what the lock resolves", () => expect(oci.requires?.({ image: "oci:a" })).toEqual({ image: "oci:a" }));
});

test("layers are applied in order, with what they take away", async () => {
  const bundle = join(image.folder, "bundle");
  const layout = join(image.folder, "vendor");
  const umoci = (...args: readonly string[]): void => void execFileSync("umoci", args, { stdio: "pipe" });
  const change = (edit: (root: string) => void): void => {
    rmSync(bundle, { recursive: true, force: true });
    umoci("unpack", "--image", `${layout}:base`, bundle);
    edit(join(bundle, "rootfs"));
    umoci("repack", "--image", `${layout}:base`, bundle);
  };
  const put = (root: string, path: string, content: string): void => {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), content);
  };
  umoci("init", "--layout", layout);
  umoci("new", "--image", `${layout}:base`);
  change((root) => {
    put(root, "etc/kept", "1");
    put(root, "etc/changed", "1");
    put(root, "etc/gone", "1");
    put(root, "srv/old/deep", "1");
  });
  change((root) => {
    put(root, "etc/changed", "2");
    rmSync(join(root, "etc/gone"));
    rmSync(join(root, "srv/old"), { recursive: true });
    put(root, "srv/new", "2");
  });
  const source = ociSource({ folder: join(image.folder, "cache") });
  const digest = await source.resolve("oci:vendor:base", image.folder);
  const locked = { digest, layers: () => source.layers("oci:vendor:base", image.folder, digest) };
  await image.run(oci, "oci:vendor:base", { services: { archives: archives(image.root), oci: locked } });
  expect(Object.fromEntries(Object.entries(image.tree()).filter(([, value]) => value.startsWith("file")))).toEqual({
    "/etc/changed": 'file 0644 0:0 "2"',
    "/etc/kept": 'file 0644 0:0 "1"',
    "/srv/new": 'file 0644 0:0 "2"',
  });
  expect(image.lines).toEqual([`2 layers of ${digest}`]);
});
