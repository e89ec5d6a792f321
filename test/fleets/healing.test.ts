import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { fleetStatus } from "../../src/engine/fleet-status.ts";
import { scaleFleet } from "../../src/engine/scale-fleet.ts";
import { startRollout, type StartedRollout } from "../../src/engine/start-rollout.ts";
import type { FleetTurn } from "../../src/engine/carry-fleet.ts";
import { isOver, shopImages, Site, type ShopImages } from "./simulated.ts";

let images: ShopImages;
beforeAll(async () => {
  images = await shopImages();
});
afterAll(() => images.close());

const isQuiet = ({ rollout, underWay, remedies, left }: FleetTurn): boolean =>
  rollout === undefined && underWay === 0 && remedies.length === 0 && left.length === 0;
const launches = (site: Site): number => site.world.calls.filter(({ what }) => what === "launch").length;
const machineOf = (site: Site, slot: string): string => {
  const found = site.world.all().find((machine) => machine.slot === slot);
  if (found === undefined) throw new Error(`${slot} has no machine`);
  return found.id;
};
const all = (size: number, image: string) => Object.fromEntries(Array.from({ length: size }, (_, index) => [`web-${index + 1}`, image]));

/** Carries it to its end, in which the fleet has so many instances, all of them moved. */
async function expectAllMoved(site: Site, id: string, size: number): Promise<void> {
  await site.carry();
  await site.converge();
  expect(site.view(id)).toMatchObject({ status: "completed", counts: { size } });
  expect(site.serving).toEqual(all(size, "r2"));
  expect(site.world.all()).toHaveLength(size);
}

describe("converging", () => {
  it("fills each slot once with the image that the fleet follows, spread over the zones", async () => {
    const site = new Site(images, { size: 5, zones: ["a", "b", "c"] });
    expect(await site.converge()).toMatchObject({ settled: true });
    expect(site.serving).toEqual(all(5, "r1"));
    expect(launches(site)).toBe(5);
    expect(Object.fromEntries(site.world.all().map(({ slot, zone }) => [slot, zone]))).toEqual({
      "web-1": "a",
      "web-2": "b",
      "web-3": "c",
      "web-4": "a",
      "web-5": "b",
    });
    expect(site.fleet).toMatchObject({ declared: images.r1 });
  });

  it("does nothing where nothing is missing", async () => {
    const site = new Site(images);
    await site.converge();
    const before = site.world.calls.length;
    expect(await site.converge()).toMatchObject({ settled: true });
    expect(site.world.calls).toHaveLength(before);
  });

  it("starts at most four at once in a new fleet", async () => {
    const site = new Site(images, { size: 10 });
    let most = 0;
    await site.converge({ onTurn: ({ underWay }) => void (most = Math.max(most, underWay)) });
    expect(most).toBe(4);
    expect(site.serving).toEqual(all(10, "r1"));
  });

  it("follows a channel, and tells that it points to another image by now without touching anything", async () => {
    await images.point("prod", images.r1);
    const site = new Site(images, { size: 2, fleet: { runs: { layer: "release", channel: "prod" } } });
    await site.converge();
    expect(site.serving).toEqual(all(2, "r1"));
    await images.point("prod", images.r2);
    expect(await site.converge()).toMatchObject({ settled: true, newer: images.r2 });
    expect(site.serving).toEqual(all(2, "r1"));
  });

  it.each([
    ["a channel that points to nothing", { layer: "release", channel: "nowhere" }, "CHANNEL_NOT_FOUND"],
    ["an image that is not there", { pinned: "shop/nothing" }, "IMAGE_NOT_FOUND"],
  ] as const)("refuses %s, and makes nothing", async (_, runs, code) => {
    const site = new Site(images, { fleet: { runs } });
    await expect(site.converge()).rejects.toMatchObject({ code });
    expect(site.world.calls).toEqual([]);
  });

  it("refuses a revoked image", async () => {
    const revoked = await images.volume("shop/revoked-one");
    await images.revoke(revoked, "CVE");
    const site = new Site(images, { fleet: { runs: { pinned: revoked } } });
    await expect(site.converge()).rejects.toMatchObject({ code: "IMAGE_REVOKED" });
  });

  it("refuses a fleet that is not there, with the nearest", async () => {
    const site = new Site(images);
    await expect(site.converge({ fleet: "wep" })).rejects.toMatchObject({ code: "FLEET_NOT_FOUND", help: { hint: "did you mean web?" } });
  });

  it("ends when it is called off, and leaves what is under way to the next", async () => {
    const site = new Site(images);
    const stop = new AbortController();
    let looks = 0;
    const converging = site.converge({ signal: stop.signal, onTurn: () => void (++looks === 2 && stop.abort()) });
    await expect(converging).rejects.toThrow();
    expect(await site.converge()).toMatchObject({ settled: true });
    expect(site.world.all()).toHaveLength(6);
  });
});

describe("healing", () => {
  it("replaces one that died by the declared image, and ends what is left of it", async () => {
    const site = new Site(images);
    await site.converge();
    const dead = machineOf(site, "web-3");
    site.world.kill(dead);
    expect((await site.converge()).turn.left).toEqual([]);
    expect(site.serving).toEqual(all(6, "r1"));
    expect(machineOf(site, "web-3")).not.toBe(dead);
    expect(site.world.all()).toHaveLength(6);
    expect(site.records.healings("shop/web", "")).toMatchObject([{ slot: "web-3" }]);
  });

  it("gives what is sick half a minute, and then another machine", async () => {
    const site = new Site(images, { world: { health: ({ id }) => (sick.has(id) ? "unhealthy" : "healthy") } });
    const sick = new Set<string>();
    await site.converge();
    const one = machineOf(site, "web-2");
    sick.add(one);
    const from = site.clock.elapsedMs();
    await site.carry((turn) => {
      if (site.clock.elapsedMs() - from < 29_000) expect(machineOf(site, "web-2")).toBe(one);
      return site.clock.elapsedMs() - from > 35_000 && isQuiet(turn);
    });
    expect(machineOf(site, "web-2")).not.toBe(one);
    expect(site.serving).toEqual(all(6, "r1"));
  });

  it("leaves one alone that gets well by itself", async () => {
    const site = new Site(images);
    await site.converge();
    const one = machineOf(site, "web-2");
    site.world.silence(one);
    const from = site.clock.elapsedMs();
    await site.carry(() => site.clock.elapsedMs() - from > 20_000);
    site.world.silence(one, false);
    await site.carry(() => site.clock.elapsedMs() - from > 60_000);
    expect(machineOf(site, "web-2")).toBe(one);
    expect(launches(site)).toBe(6);
  });

  it("stops after three replacements of one slot: that is flapping; --retry goes on", async () => {
    const site = new Site(images, { world: { health: ({ slot }) => (slot === "web-2" && isBad ? "unhealthy" : "healthy") } });
    let isBad = false;
    await site.converge();
    isBad = true;
    const converged = await site.converge({ timeoutMs: 900_000 });
    expect(converged.settled).toBe(false);
    expect(converged.turn.left).toMatchObject([{ slot: "web-2", why: expect.stringMatching(/^flapping: replaced 3 times/) as string }]);
    expect(launches(site)).toBe(6 + 3);
    await site.carry(() => site.clock.elapsedMs() > 300_000);
    expect(launches(site)).toBe(9);
    isBad = false;
    expect(await site.converge({ retry: true })).toMatchObject({ settled: true });
    isBad = true;
    await site.converge({ timeoutMs: 100_000 });
    expect(launches(site)).toBeGreaterThan(9);
  });

  it("tries again what the provider could not make, and says why", async () => {
    const site = new Site(images, { size: 2 });
    site.world.inject({ on: "launch", does: "fails", times: 2, why: "no room" });
    expect(await site.converge()).toMatchObject({ settled: true });
    expect(site.serving).toEqual(all(2, "r1"));
    expect(site.world.all()).toHaveLength(2);
  });

  it.each(["throws", "does-and-throws"] as const)("goes on when a call of the provider %s", async (does) => {
    const site = new Site(images, { size: 2 });
    for (const on of ["launch", "admit", "drain", "terminate"] as const) site.world.inject({ on, does, times: 1 });
    await site.converge();
    site.world.kill(machineOf(site, "web-1"));
    expect(await site.converge()).toMatchObject({ settled: true });
    expect(site.serving).toEqual(all(2, "r1"));
    expect(site.world.all()).toHaveLength(2);
  });

  it("does not wait for ever for a launch that hangs", async () => {
    const site = new Site(images, { size: 2 });
    site.world.inject({ on: "launch", does: "hangs", times: 1 });
    expect(await site.converge({ timeoutMs: 1_800_000 })).toMatchObject({ settled: true });
    expect(site.serving).toEqual(all(2, "r1"));
    expect(site.world.all()).toHaveLength(2);
  });

  it("nor for one of the calls that cannot be called off, also when it is ended itself", async () => {
    const site = new Site(images, { size: 2 });
    site.world.inject({ on: "admit", does: "hangs", times: 1 });
    expect(await site.converge({ timeoutMs: 1_800_000 })).toMatchObject({ settled: true });
    site.world.kill(machineOf(site, "web-1"));
    site.world.inject({ on: "admit", does: "hangs" });
    const from = site.clock.elapsedMs();
    expect(await site.converge({ timeoutMs: 5000 })).toMatchObject({ settled: false });
    expect(site.clock.elapsedMs() - from).toBeLessThan(30_000);
  });

  it("shows a machine that runs another image than the provider says", async () => {
    const site = new Site(images, { size: 2 });
    await site.converge();
    site.world.change(machineOf(site, "web-1"), { provided: images.r2 });
    const status = await fleetStatus(site.process().parts, site.fleet);
    expect(status.instances.filter(({ conflict }) => conflict).map(({ slot }) => slot)).toEqual(["web-1"]);
    expect(status).toMatchObject({ healthy: 2, serving: 2, running: { [images.r1]: 2 }, empty: [] });
  });
});

describe("scaling", () => {
  it("up fills the new slots, down ends the last ones and nothing else", async () => {
    const site = new Site(images, { size: 3 });
    await site.converge();
    expect(await scaleFleet(site.process().parts, "web", 5)).toMatchObject({ before: 3, size: 5 });
    await site.converge();
    expect(site.serving).toEqual(all(5, "r1"));
    expect(launches(site)).toBe(5);
    await scaleFleet(site.process().parts, "web", 2);
    await site.converge();
    expect(site.serving).toEqual(all(2, "r1"));
    expect(site.world.all()).toHaveLength(2);
    expect(launches(site)).toBe(5);
    await scaleFleet(site.process().parts, "web", undefined);
    await site.converge();
    expect(site.serving).toEqual(all(3, "r1"));
  });

  it("down drains before it ends", async () => {
    const site = new Site(images, { size: 3 });
    await site.converge();
    const id = machineOf(site, "web-3");
    await scaleFleet(site.process().parts, "web", 2);
    await site.converge();
    expect(site.world.calls.filter((call) => call.id === id).map(({ what }) => what)).toEqual(["launch", "admit", "drain", "terminate"]);
  });

  it("down ends a machine whose requests never end once its time is over", async () => {
    const site = new Site(images, { size: 3 });
    await site.converge();
    site.world.neverDrains(machineOf(site, "web-3"));
    await scaleFleet(site.process().parts, "web", 2);
    await site.converge();
    expect(site.world.all()).toHaveLength(2);
  });

  it.each(["terminate", "drain"] as const)("tries to end what is not needed once a second at most, where %s fails", async (on) => {
    const site = new Site(images, { size: 3 });
    await site.converge();
    await scaleFleet(site.process().parts, "web", 2);
    site.world.inject({ on, does: "fails" });
    const end = site.clock.elapsedMs() + 10_000;
    await site.carry(() => site.clock.elapsedMs() >= end);
    const tries = site.world.calls.filter(({ what }) => what === on).length;
    expect(tries).toBeGreaterThan(5);
    expect(tries).toBeLessThanOrEqual(11);
  });

  it("tells no rollout of machines that could not be ended before it began", async () => {
    const site = new Site(images, { size: 3 });
    await site.converge();
    site.world.inject({ on: "terminate", does: "fails" });
    await scaleFleet(site.process().parts, "web", 2);
    const began = site.clock.elapsedMs();
    let started: Promise<StartedRollout> | undefined;
    await site.carry((turn) => {
      if (site.clock.elapsedMs() > began + 5000) started ??= startRollout(site.process().parts, { image: images.r2 });
      return isOver(turn);
    });
    const { id = "" } = (await started) ?? {};
    expect(
      site.records
        .open(id)
        .moments()[0]
        ?.observations.filter(({ type }) => type === "action-failed"),
    ).toEqual([]);
  });

  it("up during a rollout: new ones come with what is declared, and move with the wave that is open", async () => {
    const site = new Site(images, { size: 4 });
    await site.converge();
    const id = await site.begun();
    await site.carry(({ rollout }) => rollout?.state.wave === 1);
    await scaleFleet(site.process().parts, "web", 6);
    await site.carry();
    expect(site.view(id)).toMatchObject({ status: "completed", counts: { size: 6, moved: 6 } });
    expect(site.serving).toEqual(all(6, "r2"));
    const made = site.world.calls.filter(({ what, id: machine }) => what === "launch" && /^web-[56]-/.test(machine));
    expect(made.map(({ image }) => site.nameOf(image))).toEqual(["r1", "r1"]);
  });

  it("up during a rollout whose carrier dies while they start", async () => {
    const site = new Site(images, { size: 4 });
    await site.converge();
    const id = await site.begun();
    await scaleFleet(site.process().parts, "web", 6);
    const process = site.process();
    await site.carry(({ slots, underWay }) => slots.length === 6 && underWay > 1, process);
    process.kill();
    await site.carry();
    expect(site.view(id)).toMatchObject({ status: "completed", counts: { size: 6, moved: 6 } });
    await site.converge();
    expect(site.world.all()).toHaveLength(6);
  });

  it("down during a rollout: those that left are not waited for, also when they were being moved", async () => {
    const site = new Site(images, { size: 6 });
    await site.converge();
    const id = await site.begun();
    await site.carry(({ rollout }) => [...(rollout?.state.roster ?? [])].some(({ phase }) => phase === "moving"));
    const moving = site.view(id).instances.find(({ phase }) => phase === "moving");
    expect(moving).toBeDefined();
    await scaleFleet(site.process().parts, "web", 2);
    await expectAllMoved(site, id, 2);
  });

  it.each(["at once", "when its machines are gone"])(
    "down and up again during a rollout, %s: what came back is moved, too",
    async (when) => {
      const site = new Site(images, { size: 6 });
      await site.converge();
      const id = await site.begun();
      await site.carry(({ rollout }) => rollout?.state.wave === 1);
      await scaleFleet(site.process().parts, "web", 1);
      await site.carry(({ rollout }) => rollout?.state.roster.sums.size === 1);
      if (when !== "at once") for (const slot of ["web-4", "web-5", "web-6"]) site.world.kill(machineOf(site, slot));
      await scaleFleet(site.process().parts, "web", 6);
      await expectAllMoved(site, id, 6);
    },
  );

  it("an instance that dies during a rollout comes back as what its turn says", async () => {
    const site = new Site(images, { size: 6, rollout: { errors: { allowed: { count: 1 }, strict: false, perWave: false } } });
    await site.converge();
    const id = await site.begun();
    await site.carry(({ rollout }) => rollout?.state.wave === 1);
    const [waiting] = site
      .view(id)
      .instances.filter(({ phase }) => phase === "waiting")
      .slice(-1);
    site.world.kill(machineOf(site, waiting?.id ?? ""));
    await site.carry();
    await site.converge();
    expect(site.view(id).status).toBe("completed");
    expect(site.serving).toEqual(all(6, "r2"));
    expect(site.world.all()).toHaveLength(6);
  });
});

describe("a machine that dies again and again", () => {
  it("is replaced three times, and its slot then stays empty until somebody says --retry", async () => {
    const site = new Site(images, { size: 2 });
    await site.converge();
    const end = site.clock.elapsedMs() + 60_000;
    await site.carry(() => {
      for (const { id, slot, bootedMs } of site.world.all()) if (slot === "web-1" && bootedMs !== undefined) site.world.kill(id);
      return site.clock.elapsedMs() > end;
    });
    expect(launches(site)).toBe(2 + 3);
    expect(site.serving).toEqual({ "web-2": "r1" });
    const { settled, turn } = await site.converge();
    expect({ settled, left: turn.left.map(({ slot }) => slot) }).toEqual({ settled: false, left: ["web-1"] });
    expect(await site.converge({ retry: true })).toMatchObject({ settled: true });
  });
});
