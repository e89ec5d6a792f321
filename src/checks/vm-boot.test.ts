import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { thisHost } from "../adapters/host-tools/host.ts";
import { qemuMachines } from "../adapters/machines/index.ts";
import type { CheckResult } from "../core/checks/verdict.ts";
import type { JsonValue } from "../core/json.ts";
import { readImage } from "../engine/image-content.ts";
import type { ImageMachineParts } from "../engine/image-machine.ts";
import { bindCheck, runCheck } from "../engine/run-check.ts";
import { vmBoots } from "../engine/vm-boots.ts";
import { openImages, type ImageParts } from "../presets/images.ts";
import { bakeExample, type BakedExample } from "../../test/cells/bake-example.ts";
import { vmBoot } from "./vm-boot.ts";

describe("options", () => {
  test.each([{}, { http: "/health" }, { units: ["a.service"], stays: "3s" }, { kernel: "firmware", http: { path: "/", port: 8080 } }])(
    "%j is fine",
    (options) => expect(vmBoot.options.safeParse(options).success).toBe(true),
  );
  test.each([
    [{ http: "health" }, "starts with /"],
    [{ kernel: "firmware" }, "seen by its answer"],
    [{ kernel: "firmware", http: "/", trimmed: true }, "never trimmed"],
    [{ kernel: "firmware", http: "/", units: ["a.service"] }, "only a direct boot"],
    [{ stays: "soon" }, "is no time"],
  ])("%j is refused", (options, message) =>
    expect(
      vmBoot.options
        .safeParse(options)
        .error?.issues.map((issue) => issue.message)
        .join("; "),
    ).toContain(message),
  );
});

/** On a busy machine without KVM a boot takes minutes. */
const PATIENT = { timeout: 400_000 };

/** Faults: no init; a server that ends after it has answered; no kernel. It ends after ten answers: the first may come too late for who asked. */
const FAULTS = `
  broken:
    from: release
    steps:
      - remove: [/usr/sbin/init]
  dying:
    from: release
    steps:
      - systemd:
          units:
            - name: dying.service
              content: |
                [Unit]
                After=nginx.service
                [Service]
                ExecStart=/bin/sh -c 'until [ $$(grep -c " 200 " /var/log/nginx/access.log) -ge 10 ]; do sleep 1; done; systemctl stop nginx.service'
                [Install]
                WantedBy=multi-user.target
          enable: [dying.service]
  without-kernel:
    from: release
    steps:
      - run: rm /boot/vmlinuz-*
`;

describe("vm-boot", () => {
  let baked: BakedExample;
  let parts: ImageParts;

  beforeAll(async () => {
    baked = await bakeExample("examples/machine");
    const recipe = join(baked.folder, "faults.yaml");
    const text = readFileSync(join(baked.folder, "bakehouse.yaml"), "utf8").replace("name: machine", "name: faults");
    writeFileSync(recipe, `${text.trimEnd()}\n${FAULTS}`);
    const faults = baked.bakehouse.load(recipe);
    await baked.bakehouse.lock(faults);
    await baked.bakehouse.bake(faults);
    parts = openImages({ store: baked.bakehouse.parts.store.root });
  });
  afterAll(async () => {
    await parts?.close();
    await baked?.dispose();
  });

  async function check(
    image: string,
    options: Readonly<Record<string, JsonValue>>,
    timeoutMs: number,
    machines?: ImageMachineParts,
  ): Promise<CheckResult> {
    const content = readImage(parts.store, image);
    const vm = vmBoots(machines ?? (await parts.imageMachines()), content, parts.clock);
    const declared = { check: "vm-boot", name: "vm-boot", layer: "release", options, timeoutMs };
    const signal = new AbortController().signal;
    try {
      if (machines === undefined) await vm.prepare({ kernel: "direct", signal });
      return await runCheck(bindCheck(declared, vmBoot), {
        image: { digest: content.entry.digest, name: image },
        clock: parts.clock,
        signal,
        services: { vm },
        onProgress: () => undefined,
      });
    } finally {
      await vm.close();
    }
  }

  test("fails on a machine that panics, with what its console says, long before the time is over", PATIENT, async () => {
    const result = await check("faults/broken", {}, 350_000);
    expect(result).toMatchObject({ verdict: "failed", summary: expect.stringContaining("Kernel panic - not syncing") as string });
    expect(result.excerpt.join("\n")).toContain("Kernel panic");
  });

  test("fails on one that starts and does not stay up", PATIENT, async () => {
    const result = await check("faults/dying", { http: "/health", stays: "5m" }, 380_000);
    expect(result).toMatchObject({ verdict: "failed", summary: expect.stringContaining("did not stay up") as string });
  });

  test("fails on one that never answers", PATIENT, async () => {
    const result = await check("machine/release", { http: { path: "/", port: 81 } }, 12_000);
    expect(result).toMatchObject({ verdict: "failed", summary: expect.stringContaining("port 81 / does not answer") as string });
  });

  test("fails on an image without a kernel, and says how it gets one", async () => {
    const result = await check("faults/without-kernel", {}, 100_000);
    expect(result).toMatchObject({ verdict: "failed", remedy: expect.stringContaining("linux-image-cloud-amd64") as string });
  });

  test("gives no answer where there is no QEMU", PATIENT, async () => {
    const machines = qemuMachines(parts.store, { ...thisHost(), path: "/nonexistent" });
    const result = await check("machine/release", {}, 100_000, { ...(await parts.imageMachines()), machines });
    expect(result).toMatchObject({ verdict: "error", summary: expect.stringContaining("qemu-system-x86") as string });
  });

  test("says which acceleration there is and why, and finds that out once", async () => {
    const { machines } = await parts.imageMachines();
    const found = await machines.acceleration(undefined);
    expect(found).toEqual(await machines.acceleration(undefined));
    expect(found.why).toMatch(found.kind === "kvm" ? /was seen to start/ : /cannot be opened|said nothing|could not use/);
  });

  test("leaves no machine behind when its process is killed", PATIENT, async () => {
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
const OWNER = `const [, checks, store] = process.argv;
const { openImages } = await import(checks + "/../presets/images.ts");
const { openImageMachine } = await import(checks + "/../engine/image-machine.ts");
const { readImage } = await import(checks + "/../engine/image-content.ts");
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
