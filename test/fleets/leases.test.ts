import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { followRollout } from "../../src/engine/follow-rollout.ts";
import { startRollout } from "../../src/engine/start-rollout.ts";
import { convergeFleet } from "../../src/engine/converge-fleet.ts";
import type { FleetTurn } from "../../src/engine/carry-fleet.ts";
import { isOver, Killed, shopImages, Site, type ShopImages } from "./simulated.ts";

let images: ShopImages;
beforeAll(async () => {
  images = await shopImages();
});
afterAll(() => images.close());

const never = new AbortController().signal;

describe("two who carry one rollout", () => {
  it("the one that lost its lease writes nothing, and ends", async () => {
    const site = new Site(images);
    await site.converge();
    const id = await site.begun();
    const first = site.process();
    let looks = 0;
    let second: Promise<unknown> | undefined;
    const lost = first.carry(() => {
      looks += 1;
      if (looks === 3) second = site.process().carry(isOver);
      return false;
    });
    await expect(site.run(lost)).rejects.toMatchObject({ code: "LEASE_LOST" });
    await site.run(second ?? Promise.resolve());
    expect(site.view(id).status).toBe("completed");
    const keys = site.records
      .open(id)
      .begun()
      .map(({ action }) => action.key);
    expect(new Set(keys).size).toBe(keys.length);
    expect(keys).toHaveLength(6);
    expect(Object.values(site.serving)).toEqual(Array(6).fill("r2"));
    for (const { log } of site.world.all()) expect(log).toHaveLength(2);
  });

  it("an old epoch can neither append, nor mark, nor show", async () => {
    const site = new Site(images);
    await site.converge();
    const records = site.records.open(await site.begun());
    const old = records.takeLease();
    const now = records.takeLease();
    expect(now).toBeGreaterThan(old);
    const state = { status: "completed", reason: "", waitingFor: "", ended: true } as const;
    for (const write of [
      () => records.append(old, { nowMs: 1, observations: [] }),
      () => records.markDone(old, 1, []),
      () => records.show(old, state),
    ])
      expect(write).toThrow(expect.objectContaining({ code: "LEASE_LOST" }) as Error);
    expect(records.moments()).toEqual([]);
    expect(records.done).toBe(0);
    expect(site.records.rollouts()[0]).toMatchObject({ status: "running" });
    records.append(now, { nowMs: 1, observations: [] });
    expect(records.moments()).toHaveLength(1);
  });

  it("converging is refused while another process is at it, and not after that died", async () => {
    const site = new Site(images);
    const first = site.process();
    first.orDies(convergeFleet(first.parts, { retry: false, timeoutMs: 60_000, signal: never })).catch(() => undefined);
    await expect(site.converge()).rejects.toMatchObject({ code: "RESOURCE_BUSY" });
    first.kill();
    expect(await site.converge()).toMatchObject({ settled: true });
  });

  it("following looks on while another carries, and takes over when that died", async () => {
    const site = new Site(images);
    await site.converge();
    const id = await site.begun();
    const [first, second] = [site.process(), site.process()];
    const views: number[] = [];
    let firstViews = 0;
    first
      .orDies(followRollout(first.parts, { id, signal: never, carries: true, onView: () => ++firstViews === 8 && first.kill() }))
      .catch(() => undefined);
    await site.clock.pass(100);
    const looked = await site.run(
      followRollout(second.parts, { id, signal: never, carries: false, onView: ({ counts }) => views.push(counts.moved) }),
    );
    expect(firstViews).toBe(8);
    expect(looked.over).toBe(false); // nobody carries it any more, and it was not asked to
    const third = site.process();
    const ended = await site.run(followRollout(third.parts, { id, signal: never, carries: true, onView: () => undefined }));
    expect(ended).toMatchObject({ status: "completed", over: true });
    expect(site.records.carrier("shop/web")).toBeUndefined();
  });
});

describe("starting a rollout", () => {
  it("twice at the same moment begins exactly one", async () => {
    const site = new Site(images);
    await site.converge();
    const started = await site.run(
      Promise.allSettled([images.r2, images.r3, images.r2].map((image) => startRollout(site.process().parts, { image }))),
    );
    expect(started.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
    for (const one of started) if (one.status === "rejected") expect(one.reason).toMatchObject({ code: "ROLLOUT_REFUSED" });
    expect(site.records.rollouts()).toHaveLength(1);
  });

  it("is there although whoever started it died at once, and in the audit log by its name", async () => {
    const site = new Site(images);
    await site.converge();
    const process = site.process("ann@host", { at: "write", number: 1, when: "after" });
    await expect(site.run(process.orDies(startRollout(process.parts, { image: images.r2 })))).rejects.toBeInstanceOf(Killed);
    expect(await site.ledger.records()).toEqual([]);
    await site.carry(isOver, site.process("bea@host"));
    expect(site.view("web-r1").status).toBe("completed");
    expect((await site.ledger.records()).map(({ action, who }) => `${action} ${who}`)).toEqual([
      "rollout-started ann@host",
      "rollout-ended bea@host",
    ]);
  });

  it("is refused while another one is under way, and begun when that has ended", async () => {
    const site = new Site(images);
    await site.converge();
    await site.begun();
    await expect(site.start({ image: images.r3 })).rejects.toMatchObject({
      code: "ROLLOUT_REFUSED",
      message: expect.stringContaining("web-r1") as string,
    });
    await site.carry();
    expect(await site.begun({ image: images.r3 })).toBe("web-r2");
  });

  it("begins nothing where every instance runs it already", async () => {
    const site = new Site(images);
    await site.converge();
    const started = await site.start({ image: images.r1 });
    expect(started.id).toBeUndefined();
    expect(started.settled).toBe(6);
    expect(site.records.rollouts()).toEqual([]);
  });
});

describe("the audit log", () => {
  const gates = [
    { name: "go-ahead", onError: "hold", onInconclusive: "hold", people: { approvals: 1, waves: [1] } },
    { name: "metrics", onError: "hold", onInconclusive: "hold", probe: { kind: "log", pattern: "panic", atMost: 0, lines: 1 } },
  ] as const;
  const rollout = { gates, onHalt: "hold", strategy: { kind: "canary", steps: [{ to: { count: 1 }, soakMs: 500 }] } } as const;
  const seen = async (site: Site): Promise<readonly string[]> =>
    (await site.ledger.records()).flatMap(({ action, details }) =>
      action === "rollout-commanded" || !("what" in details) ? [] : [`${details.what.split(":")[0] ?? ""}: ${details.reason ?? ""}`],
    );
  const EXPECTED = [
    "web-r1: ",
    "web-r1 waits: approvals of wave 1",
    "web-r1 held: gate metrics: error: no answer",
    "web-r1 halted: gate metrics: failed: panic",
  ];

  it.each([0, 1, 2, 3, 4, 5, 6, 7, 8])("has each stop and each wait for approvals once, whoever dies at write %i", async (number) => {
    const site = new Site(images, { size: 3, rollout });
    await site.converge();
    const id = await site.begun();
    const until = (reached: (turn: FleetTurn) => boolean) => async (): Promise<void> => {
      if (number > 0) await site.carry(reached, site.process("dan@host", { at: "write", number, when: "after" })).catch(() => undefined);
      await site.carry(reached);
      await site.carry(reached, site.process("cem@host")); // another one begins where it stands
    };
    await until(({ rollout: { state } = {} }) => state?.asksFor !== undefined)();
    site.gate = () => ({ verdict: "error", detail: "no answer", data: {} });
    await site.command({ command: "approve", planHash: site.view(id).planHash });
    await until(({ rollout: { state } = {} }) => state?.status === "held")();
    site.gate = () => ({ verdict: "failed", detail: "panic", data: {} });
    await site.command({ command: "resume" });
    await until(({ rollout: { state } = {} }) => state?.status === "halted")();
    expect(await seen(site)).toEqual(EXPECTED);
  });
});

describe("a release while another rollout is under way", () => {
  it("waits for its turn, and begins by itself", async () => {
    const site = new Site(images, { fleet: { newRelease: "queue" } });
    await site.converge();
    await site.begun();
    expect(await site.start({ image: images.r3 })).toMatchObject({ id: "web-r2", queued: "the end of web-r1" });
    await site.carry(({ rollout }) => rollout?.id === "web-r2" && rollout.ended);
    expect(site.view("web-r1").status).toBe("completed");
    expect(Object.values(site.serving)).toEqual(Array(6).fill("r3"));
    expect(site.records.queued("shop/web")).toEqual([]);
  });

  it("waits a little longer when the fleet cannot be looked at as its turn comes", async () => {
    const site = new Site(images, { fleet: { newRelease: "queue" } });
    await site.converge();
    const first = await site.begun();
    await site.start({ image: images.r3 });
    let looks = 0;
    const isOfPlan = (): boolean =>
      site.view(first).status === "completed" && site.records.openRollout("shop/web") === undefined && ++looks === 2;
    site.world.inject({ on: "observe", does: "throws", times: 1, when: isOfPlan });
    await site.carry(({ rollout }) => rollout?.id === "web-r2" && rollout.ended);
    expect(looks).toBe(2);
    expect(Object.values(site.serving)).toEqual(Array(6).fill("r3"));
  });

  it("supersedes it: what is under way is finished, and nothing more is begun", async () => {
    const site = new Site(images, { fleet: { newRelease: "supersede" } });
    await site.converge();
    await site.begun();
    await site.carry(({ rollout }) => rollout?.state.roster.sums.moving === 1);
    await site.start({ image: images.r3 });
    await site.carry(({ rollout }) => rollout?.id === "web-r2" && rollout.ended);
    expect(site.view("web-r1")).toMatchObject({ status: "abandoned", reason: "superseded by web-r2", counts: { moved: 1 } });
    expect(Object.values(site.serving)).toEqual(Array(6).fill("r3"));
  });

  it("that cannot begin any more when its turn comes is left out, and that is recorded", async () => {
    const bad = await images.volume("shop/release");
    const site = new Site(images, { fleet: { newRelease: "queue" } });
    await site.converge();
    await site.begun();
    await site.start({ image: bad });
    site.records.deny("shop/web", { digest: bad, reason: "bad", who: "ann@host", at: "2026-11-02T08:00:00.000Z" });
    await site.carry(({ rollout }) => rollout === undefined);
    expect(site.records.queued("shop/web")).toEqual([]);
    expect((await site.ledger.records()).at(-1)).toMatchObject({
      action: "rollout-ended",
      details: { rollout: "web-r2", what: "web-r2 was not begun" },
    });
  });
});
