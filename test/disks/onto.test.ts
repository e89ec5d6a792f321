import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import { exportImage, type ExportedImage } from "../../src/engine/export-image.ts";
import { openImages, type ImageParts } from "../../src/presets/images.ts";
import { copyTree, tinyStore } from "../shared-store.ts";
import { makeDisk } from "./make-disk.ts";

let parts: ImageParts;
let folder: string;
beforeAll(async () => {
  folder = mkdtempSync(join(inject("runFolder"), "onto-"));
  copyTree(await tinyStore(), join(folder, "store"));
  parts = openImages({ store: join(folder, "store") });
  for (const path of ["root/etc", "root/usr", "data"]) mkdirSync(join(folder, path), { recursive: true });
});
afterAll(async () => {
  await parts.close();
  rmSync(folder, { recursive: true, force: true });
});

async function onto(disk: string): Promise<ExportedImage> {
  return exportImage(await parts.exporting(), "tiny/os", {
    format: "raw",
    output: join(folder, "out.raw"),
    folder,
    replace: true,
    volumeOnly: false,
    disk: { root: "ext4", sizeBytes: 0, dataBytes: 0, append: [], onto: disk },
    signal: new AbortController().signal,
    onProgress: () => undefined,
  });
}

test("a root that is too small is refused, with how much is needed", async () => {
  const disk = join(folder, "small.raw");
  makeDisk(disk, "gpt", [{ sizeMiB: 4, fileSystem: "ext4", label: "root", directory: join(folder, "root") }]);
  await expect(onto(disk)).rejects.toMatchObject({
    code: "DISK_INVALID",
    message: expect.stringMatching(/^small\.raw: its root, partition 1 ext4 "root" .*, is too small: the image needs \d+ MB$/) as string,
  });
});

test("a disk without a root is refused", async () => {
  const disk = join(folder, "data.raw");
  makeDisk(disk, "gpt", [{ sizeMiB: 4, fileSystem: "ext4", directory: join(folder, "data") }]);
  await expect(onto(disk)).rejects.toMatchObject({
    code: "DISK_INVALID",
    message: expect.stringContaining("no root file system") as string,
  });
});

test("a file that is no disk is refused", async () => {
  writeFileSync(join(folder, "text"), "no disk ".repeat(1000));
  await expect(onto(join(folder, "text"))).rejects.toMatchObject({ code: "DISK_INVALID" });
});
