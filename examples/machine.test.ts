import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { checkImage } from "../src/engine/check-image.ts";
import { readImage } from "../src/engine/image-content.ts";
import { vmBoots } from "../src/engine/vm-boots.ts";
import { checkParts } from "../src/presets/checks.ts";
import { openImages, type ImageParts } from "../src/presets/images.ts";
import { bakeExample, type BakedExample } from "../test/cells/bake-example.ts";

/** On a busy machine without KVM a boot takes minutes. */
const PATIENT = { timeout: 400_000 };

describe("A machine with its own kernel", () => {
  let baked: BakedExample;
  let parts: ImageParts;
  beforeAll(async () => {
    baked = await bakeExample("examples/machine");
    parts = openImages({ store: baked.bakehouse.parts.store.root });
  });
  afterAll(async () => {
    await parts?.close();
    await baked?.dispose();
  });

  it("starts under QEMU by its kernel, trimmed, as its own check asks", PATIENT, async () => {
    const [papers, baker] = [await parts.papers(), await parts.baker()];
    const outcome = await checkImage(checkParts({ ...parts, papers, baker }, {}), "machine/release", {
      only: [],
      keep: false,
      signal: new AbortController().signal,
      report: () => undefined,
    });
    expect(outcome).toMatchObject({ verdict: "passed", platform: "vm", results: [{ check: "vm-boot", platform: "vm" }] });
    expect(outcome.results[0]?.answered).toMatchObject({ outcome: "ready", status: 200, failedUnits: [] });
    expect(outcome.results[0]?.excerpt).toContain("bakehouse: nginx.service active");
  });

  it("starts through firmware and boot loader as the disk that it is exported to, with nothing left out", PATIENT, async () => {
    const vm = vmBoots(await parts.imageMachines(), readImage(parts.store, "machine/release"), parts.clock);
    const boot = await vm.boot({
      kernel: "firmware",
      trimmed: false,
      memoryMiB: 512,
      expected: { http: { port: 80, path: "/health", status: 200 }, units: [], stayMs: 0 },
      timeoutMs: 360_000,
      signal: new AbortController().signal,
    });
    await vm.close();
    expect(boot).toMatchObject({ outcome: "ready", answer: { status: 200, body: "ok\n" } });
    expect("serial" in boot && boot.serial.join("\n")).toMatch(/getty.target/);
  });
});
