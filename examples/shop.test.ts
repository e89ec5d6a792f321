import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { bakeExample, type BakedExample } from "../test/cells/bake-example.ts";
import { bootCell, type Cell } from "../test/cells/boot-cell.ts";

describe("the shop", () => {
  let baked: BakedExample;
  beforeAll(async () => void (baked = await bakeExample("examples/shop")));
  afterAll(() => baked?.dispose());

  it("gives an image for each layer, and a volume", () => {
    expect(baked.result.images.map(({ layer, kind, hermetic }) => [layer, kind, hermetic])).toEqual([
      ["foundation", "image", true],
      ["base", "image", true],
      ["base-app", "image", true],
      ["release", "image", true],
      ["release-volume", "volume", true],
    ]);
  });

  it("has nothing to bake afterwards", async () => {
    expect(baked.bakehouse.plan(baked.loaded).misses).toBe(0);
    expect(await baked.bakehouse.bake(baked.loaded)).toMatchObject({
      baked: 0,
      images: baked.result.images.map(({ digest }) => ({ digest, cached: true })),
    });
  });

  describe.each([["shop/release"], ["shop/release-volume"]])("%s", (image) => {
    let cell: Cell;
    beforeAll(async () => void (cell = await bootCell({ store: baked.bakehouse.parts.store, image })));
    afterAll(() => cell?.stop());

    it("answers through nginx", async () => {
      const health = await cell.fetch("http://127.0.0.1/health");
      expect(JSON.parse(health.body)).toEqual({ status: "ok", version: "1.0.0", products: 1990 });
      expect((await cell.fetch("http://127.0.0.1/products/00/0001")).body).toContain("<h1>Small wheat loaf no. 1</h1>");
      expect(JSON.parse((await cell.fetch("http://127.0.0.1/api/search?q=plum")).body)).toMatchObject({ count: 199 });
    });

    it("has every unit running", async () => {
      expect(await cell.booted()).toBe("running");
    });

    it("made ssh host keys of its own, which the image has not", async () => {
      expect(await cell.run("sh", "-c", "ls /etc/ssh/ssh_host_*_key")).toContain("/etc/ssh/ssh_host_ed25519_key");
      expect((await cell.run("systemctl", "is-active", "ssh.service")).trim()).toBe("active");
    });
  });

  it("gives each machine its own host keys", async () => {
    const key = async (): Promise<string> => {
      const cell = await bootCell({ store: baked.bakehouse.parts.store, image: "shop/release" });
      try {
        await cell.booted();
        return await cell.run("cat", "/etc/ssh/ssh_host_ed25519_key.pub");
      } finally {
        await cell.stop();
      }
    };
    expect(await key()).not.toBe(await key());
  });
});
