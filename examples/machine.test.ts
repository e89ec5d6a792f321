import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openImageMachine, type ImageMachine, type StartOptions } from "../src/engine/image-machine.ts";
import { readImage } from "../src/engine/image-content.ts";
import type { Expected, WatchedBoot } from "../src/core/boot/watched-boot.ts";
import { watchBoot } from "../src/engine/watch-boot.ts";
import { openImages, type ImageParts } from "../src/presets/images.ts";
import type { Machine } from "../src/ports/machines.ts";
import { bakeExample, type BakedExample } from "../test/cells/bake-example.ts";

/** On a busy machine without KVM a boot takes a minute. */
const PATIENT = { timeout: 300_000 };

const SMOKE: StartOptions = {
  trimmed: true,
  ports: [80],
  units: ["nginx.service", "systemd-networkd.service"],
  tell: true,
  memoryMiB: 512,
};
const HEALTHY: Expected = { http: { port: 80, path: "/health", status: 200 }, units: SMOKE.units, stayMs: 0 };

/** A layer that takes away what process 1 is. */
const BROKEN = `
  broken:
    from: release
    steps:
      - remove: [/usr/sbin/init]
`;

describe("A machine with its own kernel", () => {
  let baked: BakedExample;
  let parts: ImageParts;
  let images: Record<"release" | "broken", ImageMachine>;
  const { signal } = new AbortController();
  const open = async (reference: string): Promise<ImageMachine> =>
    openImageMachine(await parts.imageMachines(), readImage(parts.store, reference), signal);
  const watch = (machine: Machine, expected: Expected, timeoutMs: number): Promise<WatchedBoot> =>
    watchBoot(machine, expected, { timeoutMs, clock: parts.clock, sleep: (milliseconds) => delay(milliseconds) });

  beforeAll(async () => {
    baked = await bakeExample("examples/machine");
    const recipe = join(baked.folder, "broken.yaml");
    writeFileSync(
      recipe,
      `${readFileSync(join(baked.folder, "bakehouse.yaml"), "utf8").replace("name: machine", "name: broken")}${BROKEN}`,
    );
    const broken = baked.bakehouse.load(recipe);
    await baked.bakehouse.lock(broken);
    await baked.bakehouse.bake(broken);
    parts = openImages({ store: baked.bakehouse.parts.store.root });
    images = { release: await open("machine/release"), broken: await open("broken/broken") };
  });
  afterAll(async () => {
    await images?.release.close();
    await images?.broken.close();
    await parts?.close();
    await baked?.dispose();
  });

  it("starts under QEMU and answers, trimmed without a change of the image", PATIENT, async () => {
    const machine = await images.release.start(SMOKE, signal);
    const boot = await watch(machine, HEALTHY, 240_000);
    await machine.stop();
    expect({ ...boot, serial: boot.outcome === "ready" ? "" : machine.serial() }).toMatchObject({
      outcome: "ready",
      answer: { status: 200, body: "ok\n" },
      failedUnits: [],
      serial: "",
    });
    expect(machine.serial()).toContain("bakehouse: nginx.service active");
    expect(boot.cpuSeconds).toBeGreaterThan(0);
    expect(machine.isAlive()).toBe(false);
  });

  it("says which acceleration it has, and why, and finds that out once", PATIENT, async () => {
    const { machines } = await parts.imageMachines();
    const found = await machines.acceleration(undefined);
    expect(found).toEqual(await machines.acceleration(undefined));
    expect(found.why).toMatch(found.kind === "kvm" ? /was seen to start/ : /cannot be opened|said nothing|could not use/);
  });

  it("fails with what the console says when there is no init", PATIENT, async () => {
    const machine = await images.broken.start({ ...SMOKE, units: [], tell: false }, signal);
    const boot = await watch(machine, { ...HEALTHY, units: [] }, 240_000);
    await machine.stop();
    expect(boot).toMatchObject({ outcome: "hopeless", detail: expect.stringContaining("Kernel panic - not syncing") });
  });

  it("is told by time when nothing answers, and stopped at once", PATIENT, async () => {
    const machine = await images.release.start({ ...SMOKE, ports: [81], units: [], tell: false }, signal);
    const boot = await watch(machine, { http: { port: 81, path: "/", status: 200 }, units: [], stayMs: 0 }, 1000);
    await machine.stop();
    expect(boot).toMatchObject({ outcome: "timeout", detail: "port 81 / does not answer" });
  });

  it("ends with the process that started it", PATIENT, async () => {
    const owner = spawn(process.execPath, ["--input-type=module", "--eval", OWNER, import.meta.dirname, parts.store.root], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const [line] = (await once(createInterface({ input: owner.stdout }), "line")) as [string];
    expect(isThere(Number(line))).toBe(true);
    owner.kill("SIGKILL");
    for (const end = Date.now() + 60_000; isThere(Number(line)) && Date.now() < end;) await delay(20);
    expect(isThere(Number(line))).toBe(false);
    parts.store.tidy();
    expect(readdirSync(parts.store.path("work")).filter((name) => name.startsWith(`machine-${owner.pid}-`))).toEqual([]);
  });
});

/** Starts a machine, prints the number of its process, and waits to be killed. */
const OWNER = `const [, examples, store] = process.argv;
const { openImages } = await import(examples + "/../src/presets/images.ts");
const { openImageMachine } = await import(examples + "/../src/engine/image-machine.ts");
const { readImage } = await import(examples + "/../src/engine/image-content.ts");
const { readFileSync } = await import("node:fs");
const parts = openImages({ store });
const { signal } = new AbortController();
const image = await openImageMachine(await parts.imageMachines(), readImage(parts.store, "machine/release"), signal);
await image.start({ trimmed: true, ports: [80], units: [], tell: false, memoryMiB: 256 }, signal);
process.stdout.write(readFileSync("/proc/self/task/" + process.pid + "/children", "utf8").trim().split(" ").at(-1) + "\\n");
setInterval(() => undefined, 1000);`;

const isThere = (pid: number): boolean => {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
};
