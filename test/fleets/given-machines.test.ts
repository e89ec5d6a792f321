import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { scaleFleet } from "../../src/engine/scale-fleet.ts";
import { shopImages, Site, type ShopImages, type SiteOptions } from "./simulated.ts";

let images: ShopImages;
beforeAll(async () => {
  images = await shopImages();
});
afterAll(() => images.close());

const HOSTS = ["web-1", "web-2", "web-3"].map((slot) => ({ id: slot, slot, zone: "a" }));
const given = (options: SiteOptions = {}): Site =>
  new Site(images, { size: 3, zones: ["a"], ...options, world: { can: { replace: false }, hosts: HOSTS, ...options.world } });
const all = (image: string) => ({ "web-1": image, "web-2": image, "web-3": image });

describe("a fleet of given machines", () => {
  it("is brought to the image that it follows, and moved in place", async () => {
    const site = given();
    expect(await site.converge()).toMatchObject({ settled: true });
    expect(site.serving).toEqual(all("r1"));
    const id = await site.begun();
    await site.carry();
    expect(site.view(id)).toMatchObject({
      status: "completed",
      method: { kind: "activate", why: expect.stringContaining("given") as string },
    });
    expect(site.serving).toEqual(all("r2"));
    expect(site.world.calls.filter(({ what }) => what === "launch" || what === "terminate")).toEqual([]);
  });

  it("goes back in place when the release is bad", async () => {
    const site = given({ rollout: { timeoutMs: 3000 }, world: { health: ({ image }) => (image === images.r2 ? "unhealthy" : "healthy") } });
    await site.converge();
    const id = await site.begun();
    await site.carry();
    expect(site.view(id).status).toBe("rolled-back");
    expect(site.serving).toEqual(all("r1"));
  });

  it("has the size that its hosts make", async () => {
    const site = given();
    await expect(scaleFleet(site.process().parts, "web", 5)).rejects.toMatchObject({ code: "INPUT_INVALID" });
  });

  it("refuses a second set", async () => {
    const site = given({ rollout: { strategy: { kind: "blue-green", soakMs: 0, keepOldMs: 0 } } });
    await site.converge();
    await expect(site.start()).rejects.toMatchObject({ code: "ROLLOUT_REFUSED", message: expect.stringContaining("second set") as string });
  });
});
