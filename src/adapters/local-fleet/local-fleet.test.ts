import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { bakeExample, type BakedExample } from "../../../test/cells/bake-example.ts";
import type { Fleet } from "../../core/fleet/model.ts";
import { readImage } from "../../engine/image-content.ts";
import { haproxy, type Balancer } from "./balancer.ts";
import { localFleet } from "./local-fleet.ts";

let baked: BakedExample;
let balancer: Balancer;
const folder = mkdtempSync(join(tmpdir(), "fleet-"));
beforeAll(async () => void (baked = await bakeExample("examples/shop", { apart: true })), 600_000);
afterAll(async () => {
  await balancer?.stop();
  rmSync(folder, { recursive: true, force: true });
  await baked?.dispose();
});

describe("a local fleet", () => {
  it("runs instances that answer through the balancer, and say what they run", async () => {
    const free = createServer().listen(0, "127.0.0.1");
    await once(free, "listening");
    const { port } = free.address() as AddressInfo;
    free.close();
    const fleet: Fleet = {
      name: "shop",
      provider: "local",
      size: 2,
      zones: ["a", "b"],
      runs: { pinned: "shop/release" },
      health: { probe: { kind: "http", path: "/health", port: 80 }, intervalMs: 200, timeoutMs: 5000, healthyAfter: 1, unhealthyAfter: 3 },
      traffic: { listen: port, backend: 80 },
      launch: { files: { "/etc/colour": "blue" }, credentials: {}, environment: {} },
      secrets: [],
    };
    const { store } = baked.bakehouse.parts;
    const cells = await baked.bakehouse.parts.cells();
    const image = readImage(store, "shop/release").entry.digest;
    const withVolume = readImage(store, "shop/release-volume").entry.digest;
    const imageOf = (id: string) => (id === "i-1" ? image : withVolume);
    balancer = haproxy({ folder, listen: port, health: fleet.health });
    const provider = localFleet({ store, cells, balancer, imageOf: (digest) => readImage(store, digest) }, fleet);
    const { signal } = new AbortController();
    const ids = ["i-1", "i-2"];
    await balancer.ensureRunning();
    try {
      for (const id of [...ids, "i-1"]) {
        await provider.launch({ id, zone: id === "i-1" ? "a" : "b", image: imageOf(id) }, signal);
        await provider.admit(id);
      }
      await expect
        .poll(() => provider.observe(ids), { timeout: 90_000 })
        .toMatchObject(ids.map((id) => ({ id, provided: imageOf(id), running: imageOf(id), health: "healthy", serving: true })));
      expect((await fetch(`http://127.0.0.1:${port}/health`)).status).toBe(200);
      await cells.find("shop-i-2").stop({ now: true });
      await expect
        .poll(async () => (await provider.observe(["i-2"]))[0], { timeout: 30_000 })
        .toMatchObject({ running: undefined, health: "unhealthy" });
      expect((await fetch(`http://127.0.0.1:${port}/health`)).status).toBe(200);
    } finally {
      for (const id of ids) await provider.terminate(id);
    }
    expect(await provider.observe(ids)).toEqual([]);
    await expect(provider.launch({ id: "i-1", zone: "a", image }, signal)).rejects.toThrow("no id is used twice");
    expect(cells.list()).toEqual([]);
  }, 300_000);
});
