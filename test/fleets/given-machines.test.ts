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

  it("counts one that is silent from the beginning as unreachable: what is more than may be holds, and it goes on when that answers", async () => {
    for (const [allowed, status] of [
      [0, "held"],
      [1, "completed"],
    ] as const) {
      const site = given({
        rollout: { maxUnavailable: { count: 2 }, minHealthy: { count: 0 }, unreachable: { allowed: { count: allowed }, afterMs: 60_000 } },
      });
      await site.converge();
      site.world.silence("web-2");
      const id = await site.begun();
      await site.carry(({ rollout }) => rollout?.state.status === status);
      expect(site.view(id)).toMatchObject({ status, counts: { failed: 0, unreachable: 1 } });
      expect(site.world.calls.some(({ what, id: called, image }) => what === "activate" && called === "web-2" && image === images.r2)).toBe(
        false,
      );
      if (status === "completed") continue;
      site.world.silence("web-2", false);
      await site.carry();
      expect(site.view(id)).toMatchObject({ status: "completed", counts: { moved: 3 } });
      expect(site.serving).toEqual(all("r2"));
    }
  });

  it("takes none for silent that answers, and was not looked at often enough to say how it is", async () => {
    let isNew = false;
    const site = given({ world: { health: () => (isNew ? "unknown" : "healthy") } });
    await site.converge();
    isNew = true;
    const id = await site.begun();
    isNew = false;
    expect(site.view(id).counts).toMatchObject({ unreachable: 0 });
    await site.carry();
    expect(site.view(id)).toMatchObject({ status: "completed", counts: { moved: 3 } });
  });

  it("asks one that falls silent while it is moved again, until it answers", async () => {
    const site = given();
    await site.converge();
    const id = await site.begun();
    await site.carry(({ rollout }) => rollout?.state.roster.sums.moving === 1);
    const [first] = site.view(id).instances.filter(({ phase }) => phase === "moving");
    site.world.silence(first?.id ?? "");
    const end = site.clock.elapsedMs() + 5000;
    await site.carry(() => site.clock.elapsedMs() > end);
    expect(site.view(id)).toMatchObject({ status: "running", counts: { failed: 0, moved: 0 } });
    site.world.silence(first?.id ?? "", false);
    await site.carry();
    expect(site.view(id)).toMatchObject({ status: "completed", counts: { moved: 3 } });
  });

  it("leaves one that stays silent when the time for its move is over, as unreachable and not as failed", async () => {
    const site = given({
      rollout: {
        maxUnavailable: { count: 2 },
        minHealthy: { count: 0 },
        timeoutMs: 20_000,
        unreachable: { allowed: { count: 1 }, afterMs: 60_000 },
      },
    });
    await site.converge();
    const id = await site.begun();
    await site.carry(({ rollout }) => rollout?.state.roster.sums.moving === 1);
    const [first] = site.view(id).instances.filter(({ phase }) => phase === "moving");
    site.world.silence(first?.id ?? "");
    await site.carry();
    expect(site.view(id)).toMatchObject({ status: "completed", counts: { failed: 0, moved: 2, unreachable: 1 } });
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
