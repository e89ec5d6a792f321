import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { FleetPolicy } from "../../src/core/fleet/model.ts";
import { planFleetRollout } from "../../src/engine/plan-fleet-rollout.ts";
import type { FleetTurn } from "../../src/engine/carry-fleet.ts";
import { isOver, shopImages, Site, type ShopImages, type SiteOptions } from "./simulated.ts";

let images: ShopImages;
beforeAll(async () => {
  images = await shopImages();
});
afterAll(() => images.close());

const all = (size: number, image: string) => Object.fromEntries(Array.from({ length: size }, (_, index) => [`web-${index + 1}`, image]));
const sizes = (waves: readonly { readonly size: number }[]): readonly number[] => waves.map(({ size }) => size);

/** Of a hundred requests, how many go to what runs an image. */
function shareOf(site: Site, image: string): number {
  const weights = site.world
    .all()
    .map((machine) => ({ to: machine.running, weight: site.world.healthOf(machine) === "healthy" ? (machine.weight ?? 0) : 0 }));
  const sum = (of: typeof weights): number => of.reduce((total, { weight }) => total + weight, 0);
  return (100 * sum(weights.filter(({ to }) => to === image))) / Math.max(1, sum(weights));
}

const isSoaking = ({ rollout }: FleetTurn): boolean => rollout?.waitingFor.startsWith("the soak") === true;

/** Each share that traffic had while a wave soaked. */
async function sharesOf(site: Site, image: string): Promise<readonly number[]> {
  const shares: number[] = [];
  await site.carry((turn) => {
    if (isSoaking(turn)) shares[turn.rollout?.state.wave ?? 0] = Math.round(shareOf(site, image));
    return isOver(turn);
  });
  return shares;
}

describe("rolling", () => {
  it("moves batches one after another, never more out than may be", async () => {
    const site = new Site(images, {
      size: 7,
      rollout: { strategy: { kind: "rolling", batch: { count: 3 }, soakMs: 500 }, maxUnavailable: { count: 2 } },
    });
    const view = await site.roll();
    expect(view.status).toBe("completed");
    expect(sizes(view.waves)).toEqual([3, 3, 1]);
    expect(site.serving).toEqual(all(7, "r2"));
    expect(Math.min(...site.served)).toBe(5);
    expect(site.fleet).toMatchObject({ declared: images.r2, previous: images.r1 });
  });

  it("with surge never has fewer than all, and never more machines than may be", async () => {
    const site = new Site(images, {
      size: 4,
      rollout: { maxSurge: { count: 2 }, maxUnavailable: { count: 0 }, minHealthy: { percent: 100 } },
    });
    await site.converge();
    await site.begun({ image: images.other });
    let most = 0;
    await site.carry((turn) => {
      most = Math.max(most, site.world.all().length);
      return isOver(turn);
    });
    expect(site.serving).toEqual(all(4, "other"));
    expect(site.world.all()).toHaveLength(4);
    expect(Math.min(...site.served)).toBeGreaterThanOrEqual(4);
    expect(most).toBe(6);
  });

  it.each([
    [1, [1]],
    [2, [1, 1]],
    [3, [1, 1, 1]],
    [7, [1, 1, 1, 1, 1, 1, 1]],
  ] as const)("of a fleet of %i by 10 %% moves %j", async (size, waves) => {
    const rollout: Partial<FleetPolicy> = { strategy: { kind: "rolling", batch: { percent: 10 }, soakMs: 100 }, minHealthy: { count: 0 } };
    const site = new Site(images, { size, rollout });
    const view = await site.roll();
    expect(view.status).toBe("completed");
    expect(sizes(view.waves)).toEqual(waves);
    expect(site.serving).toEqual(all(size, "r2"));
    expect(Math.min(...site.served)).toBe(size - 1);
  });
});

describe("canary", () => {
  it("moves one, a quarter, then the rest", async () => {
    const strategy = {
      kind: "canary",
      steps: [
        { to: { count: 1 }, soakMs: 500 },
        { to: { percent: 25 }, soakMs: 500 },
      ],
    } as const;
    const site = new Site(images, { size: 8, rollout: { strategy, maxUnavailable: { count: 4 } } });
    const view = await site.roll();
    expect(view.status).toBe("completed");
    expect(sizes(view.waves)).toEqual([1, 1, 6]);
    expect(site.serving).toEqual(all(8, "r2"));
  });

  it("begins with those that are always first, and ends with those that are never", async () => {
    const strategy = { kind: "canary", steps: [{ to: { count: 1 }, soakMs: 100 }] } as const;
    const site = new Site(images, { rollout: { strategy }, fleet: { first: ["web-5"], neverFirst: ["web-2"] } });
    const { id } = await site.roll();
    const moves = site.actions(id);
    expect(moves[0]).toContain("web-5");
    expect(moves.at(-1)).toContain("web-2");
  });

  it.each([
    [6, "r2"],
    [3, "r2"],
    [6, "other"],
  ] as const)("by weight gives the share that each step says: %i to %s", async (size, image) => {
    const steps = [
      { to: { count: 1 }, weight: 5, soakMs: 1000 },
      { weight: 50, soakMs: 1000 },
      { to: { count: 2 }, weight: 80, soakMs: 1000 },
    ];
    const site = new Site(images, { size, rollout: { strategy: { kind: "canary", steps } } });
    await site.converge();
    const id = await site.begun({ image: images[image] });
    const shares = await sharesOf(site, images[image]);
    expect(site.view(id).status).toBe("completed");
    for (const [index, { weight }] of steps.entries())
      expect(Math.abs((shares[index] ?? -1) - weight), `step ${index + 1}: ${shares.join(", ")}`).toBeLessThanOrEqual(1);
    expect(shareOf(site, images[image])).toBe(100);
    expect(new Set(site.world.all().map(({ weight }) => weight)).size).toBe(1); // evenly at the end
  });

  it("by weight keeps the share when whoever carries it dies, and takes it away when it halts", async () => {
    const steps = [{ to: { count: 2 }, weight: 10, soakMs: 3000 }];
    const site = new Site(images, {
      rollout: { strategy: { kind: "canary", steps }, onHalt: "hold", graceMs: 500 },
      world: { health: ({ image }) => (image === images.r2 && isBad ? "unhealthy" : "healthy") },
    });
    let isBad = false;
    await site.converge();
    const id = await site.begun();
    const first = site.process();
    await site.carry(isSoaking, first);
    first.kill();
    expect(Math.round(shareOf(site, images.r2))).toBe(10);
    const second = site.process();
    let looks = 0;
    await site.carry(() => ++looks === 3, second);
    second.kill();
    expect(Math.round(shareOf(site, images.r2))).toBe(10);
    isBad = true;
    await site.carry(({ rollout, underWay }) => rollout?.state.status === "halted" && underWay === 0);
    isBad = false;
    expect(shareOf(site, images.r2)).toBe(0);
    expect(site.view(id).status).toBe("halted");
  });

  it("by weight gives those that come back, after a crash, no more than what is moved may have", async () => {
    const steps = [{ to: { count: 3 }, weight: 30, soakMs: 3000 }];
    const site = new Site(images, {
      rollout: { strategy: { kind: "canary", steps }, graceMs: 500 },
      world: { health: ({ image, slot }) => (image === images.r2 && isBad && slot !== "web-1" ? "unhealthy" : "healthy") },
    });
    let isBad = false;
    await site.converge();
    const id = await site.begun();
    await site.carry(isSoaking);
    isBad = true;
    const first = site.process();
    await site.carry(({ rollout }) => rollout?.state.status === "rolling-back", first);
    first.kill();
    isBad = false; // what is bad looks well again
    let most = 0;
    await site.carry((turn) => {
      if (turn.rollout?.ended === false) most = Math.max(most, shareOf(site, images.r2));
      return isOver(turn);
    });
    expect(site.view(id).status).toBe("rolled-back");
    expect(most).toBe(0);
    expect(site.serving).toEqual(all(6, "r1"));
    expect(new Set(site.world.all().map(({ weight }) => weight)).size).toBe(1);
  });
});

describe("what was denied", () => {
  it("stays without traffic after a halted canary was given up, and converging says so", async () => {
    const gate = { name: "errors", onError: "hold", onInconclusive: "halt", probe: { kind: "windows", windows: [] } } as const;
    const strategy = { kind: "canary", steps: [{ to: { count: 1 }, weight: 10, soakMs: 500 }] } as const;
    const site = new Site(images, { rollout: { strategy, gates: [gate], onHalt: "hold" } });
    site.gate = () => ({ verdict: "failed", detail: "wrong answers" }) as never;
    await site.converge();
    const id = await site.begun();
    await site.carry(({ rollout, underWay }) => rollout?.state.status === "halted" && underWay === 0);
    await site.command({ command: "abort" });
    await site.carry();
    const { settled, turn } = await site.converge();
    expect(site.view(id).status).toBe("abandoned");
    expect(shareOf(site, images.r2)).toBe(0);
    expect(settled).toBe(false);
    expect(turn.left).toMatchObject([{ why: expect.stringContaining("deny list") as string }]);
  });
});

describe("blue/green", () => {
  const rollout: Partial<FleetPolicy> = { strategy: { kind: "blue-green", soakMs: 1000, keepOldMs: 5000 } };

  it("makes a second set, switches at once, keeps the old one for its time and retires it", async () => {
    const site = new Site(images, { size: 4, rollout });
    await site.converge();
    const id = await site.begun();
    const shares = new Set<number>();
    let most = 0;
    let both = 0;
    await site.carry((turn) => {
      shares.add(shareOf(site, images.r2));
      most = Math.max(most, site.world.all().length);
      if (shareOf(site, images.r2) === 100 && site.world.all().length === 8) both ||= site.clock.elapsedMs();
      return isOver(turn);
    });
    expect(site.view(id)).toMatchObject({
      status: "completed",
      method: { kind: "replace", why: "blue/green needs a second set of machines" },
    });
    expect(site.serving).toEqual(all(4, "r2"));
    expect(site.world.all()).toHaveLength(4);
    expect(most).toBe(8);
    expect([...shares].toSorted((a, b) => a - b)).toEqual([0, 100]);
    expect(Math.min(...site.served)).toBeGreaterThanOrEqual(4);
    const retired = site.world.calls.find(({ what }) => what === "terminate");
    expect((retired?.atMs ?? 0) - both).toBeGreaterThanOrEqual(4500);
  });

  it("switches nothing when the new set is bad, and ends it", async () => {
    const site = new Site(images, {
      size: 4,
      rollout: { ...rollout, timeoutMs: 3000 },
      world: { health: ({ image }) => (image === images.r2 ? "unhealthy" : "healthy") },
    });
    await site.converge();
    const before = site.world.all().map(({ id }) => id);
    const id = await site.begun();
    await site.carry();
    await site.converge();
    expect(site.view(id).status).toBe("rolled-back");
    expect(site.world.all().map((machine) => machine.id)).toEqual(before);
    expect(site.serving).toEqual(all(4, "r1"));
    expect(Math.min(...site.served)).toBe(4);
    expect(site.records.denied("shop/web")).toMatchObject([{ digest: images.r2 }]);
  });

  it("switches back when it fails while the old set is kept", async () => {
    let isBad = false;
    const site = new Site(images, {
      size: 4,
      rollout,
      world: { health: ({ image }) => (image === images.r2 && isBad ? "unhealthy" : "healthy") },
    });
    await site.converge();
    const id = await site.begun();
    await site.carry(({ rollout: now }) => now?.waitingFor === "the time for which the old set is kept");
    expect(shareOf(site, images.r2)).toBe(100);
    isBad = true;
    const from = site.clock.elapsedMs();
    let backAt = 0;
    await site.carry((turn) => {
      if (shareOf(site, images.r1) === 100) backAt ||= site.clock.elapsedMs();
      return isOver(turn);
    });
    expect(site.view(id).status).toBe("rolled-back");
    expect(backAt - from).toBeLessThan(1000 + 1000); // the grace, and then under a second
    expect(site.serving).toEqual(all(4, "r1"));
    await site.converge();
    expect(site.world.all()).toHaveLength(4);
    expect(site.fleet.declared).toBe(images.r1);
  });

  it("leaves alone what ran the image before, also when it goes back", async () => {
    const site = new Site(images, { size: 3, rollout: { strategy: { kind: "blue-green", soakMs: 500, keepOldMs: 600_000 } } });
    await site.converge();
    const [settled] = site.world.all();
    site.world.change(settled?.id ?? "", { running: images.r2, provided: images.r2 });
    const id = await site.begun();
    await site.carry(({ rollout: now }) => now?.waitingFor === "the time for which the old set is kept");
    expect(shareOf(site, images.r2)).toBe(100);
    await site.command({ command: "roll-back" });
    await site.carry();
    expect(site.view(id).status).toBe("rolled-back");
    expect(Math.min(...site.served)).toBe(3);
    expect(site.serving).toEqual({ ...all(3, "r1"), [settled?.slot ?? ""]: "r2" });
  });
});

describe("all at once", () => {
  it("moves everything in one wave", async () => {
    const site = new Site(images, { rollout: { strategy: { kind: "all-at-once", soakMs: 100 }, minHealthy: { count: 0 } } });
    const view = await site.roll();
    expect(view.status).toBe("completed");
    expect(sizes(view.waves)).toEqual([6]);
    expect(Math.min(...site.served)).toBe(0);
    expect(site.serving).toEqual(all(6, "r2"));
  });
});

describe("how an instance comes to the image", () => {
  const methodOf = async (image: string, options: SiteOptions = {}, started = true) => {
    const site = new Site(images, options);
    if (started) await site.converge();
    return (await site.run(planFleetRollout(site.process().parts, { image }))).plan.method;
  };

  it("in place where only the release volume differs", async () => {
    expect(await methodOf(images.r2)).toEqual({ kind: "activate", why: "only the release volume differs" });
  });

  it.each([
    ["another root", () => images.other, {}, /root image differs/],
    ["a whole image", () => images.root, {}, /whole image/],
    ["a provider that cannot", () => images.r2, { world: { can: { activate: false } } }, /provider cannot/],
    ["a second set", () => images.r2, { rollout: { strategy: { kind: "blue-green", soakMs: 0, keepOldMs: 0 } } }, /second set/],
    [
      "no instance that may be out",
      () => images.r2,
      { rollout: { maxUnavailable: { count: 0 }, maxSurge: { count: 1 } } },
      /maxUnavailable/,
    ],
  ] as const)("by another machine for %s", async (_, image, options, why) => {
    expect(await methodOf(image(), options)).toMatchObject({ kind: "replace", why: expect.stringMatching(why) as string });
  });

  it("does what it says: the machines stay, or are others", async () => {
    for (const [image, stay] of [
      [images.r2, true],
      [images.other, false],
    ] as const) {
      const site = new Site(images, { size: 3 });
      await site.converge();
      const before = site.world.all().map(({ id }) => id);
      await site.begun({ image });
      await site.carry();
      expect(site.world.all().filter(({ id }) => before.includes(id))).toHaveLength(stay ? 3 : 0);
      expect(site.world.all()).toHaveLength(3);
    }
  });
});
