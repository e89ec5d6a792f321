import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { haproxy } from "./balancer.ts";
import { freePort } from "../local-host/free-port.ts";

const opened: Server[] = [];
async function instance(name: string, delayMs = 0): Promise<number> {
  const server = createServer((_, response) => setTimeout(() => response.end(name), delayMs)).listen(0, "127.0.0.1");
  opened.push(server);
  await once(server, "listening");
  return (server.address() as AddressInfo).port;
}

const folder = mkdtempSync(join(tmpdir(), "balancer-"));
const listen = await freePort();
const balancer = haproxy({
  folder,
  listen,
  health: { probe: { kind: "http", path: "/health", port: 80 }, intervalMs: 100, timeoutMs: 2000, healthyAfter: 1, unhealthyAfter: 2 },
});
afterAll(async () => {
  await balancer.stop();
  for (const server of opened) server.close();
  rmSync(folder, { recursive: true, force: true });
});
const asked = async (): Promise<string> => {
  const response = await fetch(`http://127.0.0.1:${listen}/`);
  return `${response.status} ${await response.text()}`;
};
const health = async (): Promise<Record<string, string>> =>
  Object.fromEntries((await balancer.servers()).map(({ id, health, serving }) => [id, `${health} ${serving}`]));

describe("HAProxy before a fleet", () => {
  it("takes instances in and out while a client asks throughout", async () => {
    expect(await balancer.ensureRunning()).toBe(true);
    expect(await balancer.ensureRunning()).toBe(false);
    expect(await asked()).toMatch(/^503 /);
    const one = await instance("one", 20);
    await balancer.admit({ id: "i-1", port: one, weight: 100 });
    await balancer.admit({ id: "i-1", port: one, weight: 100 });
    await expect.poll(health, { timeout: 20_000 }).toEqual({ "i-1": "healthy true" });
    expect(await asked()).toBe("200 one");

    const answers: string[] = [];
    let asks = true;
    const client = (async () => {
      while (asks) answers.push(await asked().catch((error: unknown) => String(error)));
    })();
    await balancer.admit({ id: "i-2", port: await instance("two"), weight: 100 });
    await expect.poll(health, { timeout: 20_000 }).toEqual({ "i-1": "healthy true", "i-2": "healthy true" });
    await expect.poll(() => answers.includes("200 two"), { timeout: 20_000 }).toBe(true);
    await balancer.admit({ id: "i-2", port: 1, weight: 1 });
    expect(await balancer.drain("i-1", 20_000)).toBe(true);
    await balancer.remove("i-1");
    await balancer.remove("i-1");
    asks = false;
    await client;
    expect([...new Set(answers)].sort()).toEqual(["200 one", "200 two"]);
    expect(await balancer.servers()).toMatchObject([{ id: "i-2", weight: 1 }]);
  }, 120_000);

  it("takes nothing to an instance that ended", async () => {
    const port = await instance("three");
    await balancer.admit({ id: "i-3", port, weight: 100 });
    await expect.poll(async () => (await health())["i-3"], { timeout: 20_000 }).toBe("healthy true");
    opened.pop()?.close();
    await expect.poll(async () => (await health())["i-3"], { timeout: 20_000 }).toBe("unhealthy false");
    expect(await asked()).toBe("200 two");
    await balancer.remove("i-3");
  }, 120_000);

  it("only looks at one that has no weight, until it has", async () => {
    await balancer.admit({ id: "i-5", port: await instance("five"), weight: 0 });
    await expect.poll(async () => (await health())["i-5"], { timeout: 20_000 }).toBe("healthy false");
    for (let times = 0; times < 5; times++) expect(await asked()).toBe("200 two");
    await balancer.admit({ id: "i-5", port: 1, weight: 100 });
    await balancer.admit({ id: "i-2", port: 1, weight: 0 });
    expect(await health()).toMatchObject({ "i-5": "healthy true", "i-2": "healthy false" });
    for (let times = 0; times < 5; times++) expect(await asked()).toBe("200 five");
    await balancer.drain("i-5", 20_000);
    expect((await health())["i-5"]).toBe("healthy false");
    await balancer.admit({ id: "i-5", port: 1, weight: 100 });
    expect(await asked()).toBe("200 five");
  }, 120_000);

  it("is started again after it was killed, with none until they are added", async () => {
    process.kill(Number(readFileSync(join(folder, "haproxy.pid"), "utf8")), "SIGKILL");
    await expect.poll(() => balancer.ensureRunning(), { timeout: 20_000 }).toBe(true);
    expect(await balancer.servers()).toEqual([]);
    await balancer.admit({ id: "i-4", port: await instance("four"), weight: 100 });
    await expect.poll(asked, { timeout: 20_000 }).toBe("200 four");
  }, 120_000);

  it("answers many who ask at the same moment", async () => {
    const ports = await Promise.all(Array.from({ length: 40 }, (_, index) => instance(`many-${index}`)));
    await Promise.all(ports.map((port, index) => balancer.admit({ id: `m-${index}`, port, weight: 100 })));
    expect((await balancer.servers()).filter(({ id }) => id.startsWith("m-"))).toHaveLength(40);
    await Promise.all(ports.map((_, index) => balancer.remove(`m-${index}`)));
    expect((await balancer.servers()).filter(({ id }) => id.startsWith("m-"))).toEqual([]);
  }, 120_000);

  it("refuses a port that another load balancer listens on", async () => {
    const health = { probe: { kind: "tcp", port: 80 }, intervalMs: 100, timeoutMs: 2000, healthyAfter: 1, unhealthyAfter: 2 } as const;
    await balancer.ensureRunning();
    const second = haproxy({ folder: join(folder, "second"), listen, health });
    await expect(second.ensureRunning()).rejects.toMatchObject({ code: "RESOURCE_BUSY" });
    await second.stop();
  });
});
