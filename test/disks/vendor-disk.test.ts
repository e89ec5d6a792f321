import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { exportImage, type ExportedImage } from "../../src/engine/export-image.ts";
import { readImage } from "../../src/engine/image-content.ts";
import { watchBoot } from "../../src/engine/watch-boot.ts";
import { openImages, type ImageParts } from "../../src/presets/images.ts";
import { bakeExample, type BakedExample } from "../cells/bake-example.ts";
import { buildDeb } from "../debian/debs.ts";
import { makeVendorDisk, VENDOR_LABEL, VENDOR_UUID } from "./vendor-disk.ts";

/** On a busy machine without KVM a boot takes minutes. */
const PATIENT = { timeout: 500_000 };

const RECIPE = `name: on-disk
layers:
  foundation:
    steps:
      - disk: vendor.raw
  app:
    from: foundation
    steps:
      - deb: [hello-page_1.0_all.deb]
`;

/** What Aminator does: a vendor's disk, a package, a disk that boots by the vendor's own loader. */
describe("a machine from a vendor's disk", () => {
  let baked: BakedExample;
  let parts: ImageParts;
  let folder: string;
  const onto = (output: string): Promise<ExportedImage> =>
    parts.exporting().then((exporting) =>
      exportImage(exporting, "on-disk/app", {
        format: "raw",
        output: join(folder, output),
        folder,
        replace: false,
        volumeOnly: false,
        disk: { root: "ext4", sizeBytes: 0, dataBytes: 0, append: [], onto: join(folder, "recipe/vendor.raw") },
        signal: new AbortController().signal,
        onProgress: () => undefined,
      }),
    );

  beforeAll(async () => {
    baked = await bakeExample("examples/machine");
    parts = openImages({ store: baked.bakehouse.parts.store.root });
    folder = mkdtempSync(join(inject("runFolder"), "vendor-"));
    mkdirSync(join(folder, "recipe"));
    await makeVendorDisk(parts, "machine/release", join(folder, "recipe/vendor.raw"));
    const deb = buildDeb({ name: "hello-page", build: "mkdir -p var/www/html; echo from the package > var/www/html/hello" });
    copyFileSync(deb, join(folder, "recipe/hello-page_1.0_all.deb"));
    writeFileSync(join(folder, "recipe/bakehouse.yaml"), RECIPE);
    const recipe = baked.bakehouse.load(join(folder, "recipe"));
    await baked.bakehouse.lock(recipe);
    await baked.bakehouse.bake(recipe);
  }, 600_000);
  afterAll(async () => {
    await parts?.close();
    await baked?.dispose();
    if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
  });

  test("has the vendor's tree as its foundation, and layers upon it like any other", async () => {
    const { source, config } = readImage(parts.store, "on-disk/app");
    expect(config.history.map(({ created_by }) => created_by)).toEqual(["bakehouse foundation/disk (disk)", "bakehouse app/deb (deb)"]);
    const trees = await parts.trees();
    expect(await trees.readFile(source.diffs, "/etc/fstab")).toContain(VENDOR_UUID);
    expect(await trees.readFile(source.diffs, "/var/lib/dpkg/info/hello-page.list")).toContain("/var/www/html/hello");
  });

  test("is written back into the vendor's disk, boots by its own GRUB, and serves what the package brought", PATIENT, async () => {
    const exported = await onto("result.raw");
    expect((await onto("again.raw")).digest).toBe(exported.digest);
    rmSync(join(folder, "again.raw"));
    const [before, after] = [join(folder, "recipe/vendor.raw"), exported.target].map((file) => readFileSync(file));
    const esp = 41 * 1024 * 1024;
    expect(after?.subarray(0, esp).equals(before?.subarray(0, esp) ?? Buffer.alloc(0))).toBe(true);
    expect(after?.length).toBe(before?.length);
    const superblock = after?.subarray(esp + 1024, esp + 2048);
    expect(superblock?.subarray(104, 120).toString("hex")).toBe(VENDOR_UUID.replaceAll("-", ""));
    expect(superblock?.subarray(120, 120 + VENDOR_LABEL.length).toString()).toBe(VENDOR_LABEL);

    const { machines } = await parts.imageMachines();
    const machine = await machines.start(
      {
        boot: { kind: "firmware", disk: exported.target, format: "raw", bus: "virtio", keepWrites: false },
        memoryMiB: 512,
        ports: [80],
      },
      new AbortController().signal,
    );
    const boot = await watchBoot(
      machine,
      { http: { port: 80, path: "/hello", status: 200 }, units: [], stayMs: 0 },
      { timeoutMs: 460_000, clock: parts.clock, sleep: (milliseconds) => delay(milliseconds) },
    );
    await machine.stop();
    expect({ ...boot, serial: boot.outcome === "ready" ? "" : machine.serial() }).toMatchObject({
      outcome: "ready",
      answer: { body: "from the package\n" },
      serial: "",
    });
    expect(machine.serial()).toContain("GRUB of the vendor");
  });
});
