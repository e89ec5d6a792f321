import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { ImageDigest } from "../../src/core/digest.ts";
import type { FleetPolicy } from "../../src/core/fleet/model.ts";
import { explainRollout } from "../../src/engine/explain-rollout.ts";
import { followRollout } from "../../src/engine/follow-rollout.ts";
import { planFleetRollout } from "../../src/engine/plan-fleet-rollout.ts";
import { releaseLine, stopLine } from "../../src/engine/stop-line.ts";
import type { FleetTurn } from "../../src/engine/carry-fleet.ts";
import { isOver, shopImages, Site, type ShopImages, type SiteOptions } from "./simulated.ts";

let images: ShopImages;
beforeAll(async () => {
  images = await shopImages();
});
afterAll(() => images.close());

const all = (size: number, image: string) => Object.fromEntries(Array.from({ length: size }, (_, index) => [`web-${index + 1}`, image]));
const runs = (site: Site, image: string): number => Object.values(site.serving).filter((each) => each === image).length;
const is =
  (status: string) =>
  ({ rollout, underWay }: FleetTurn): boolean =>
    rollout?.state.status === status && underWay === 0;
const moved =
  (count: number) =>
  ({ rollout }: FleetTurn): boolean =>
    [...(rollout?.state.roster ?? [])].filter(({ phase }) => phase === "moved").length >= count;
const errors = (count: number): Partial<FleetPolicy> => ({ errors: { allowed: { count }, strict: false, perWave: false } });
const bad = (...slots: readonly string[]): NonNullable<SiteOptions["world"]> => ({
  health: ({ image, slot }) => (image === images.r2 && (slots.length === 0 || slots.includes(slot)) ? "unhealthy" : "healthy"),
});

async function begun(options: SiteOptions = {}, who?: string): Promise<{ readonly site: Site; readonly id: string }> {
  const site = new Site(images, options);
  await site.converge();
  return { site, id: await site.begun({}, who) };
}

/** Lets so much time go by with somebody looking after the fleet. */
const carryFor = async (site: Site, ms: number): Promise<void> => {
  const end = site.clock.elapsedMs() + ms;
  await site.carry(() => site.clock.elapsedMs() >= end);
};

describe("what fails", () => {
  it("halts on the first, goes back and is denied: nobody applies it again until it is allowed", async () => {
    const { site, id } = await begun({ world: bad(), rollout: { timeoutMs: 3000 } });
    await site.carry();
    expect(site.view(id)).toMatchObject({ status: "rolled-back", reason: expect.stringMatching(/^1 of 6 failed, 0 may/) as string });
    expect(site.serving).toEqual(all(6, "r1"));
    expect(site.fleet.declared).toBe(images.r1);
    expect(Math.min(...site.served)).toBe(5);
    await expect(site.start()).rejects.toMatchObject({ code: "ROLLOUT_REFUSED", message: expect.stringContaining("deny list") as string });
    expect(site.records.allow("shop/web", images.r2)).toBe(true);
    expect(await site.begun()).toBe("web-r2");
  });

  it("is passed over as far as the limit allows, and stays to be looked at", async () => {
    const { site, id } = await begun({ world: bad("web-2"), rollout: { timeoutMs: 3000, ...errors(1), maxUnavailable: { count: 2 } } });
    await site.carry();
    expect(site.view(id)).toMatchObject({ status: "completed", counts: { moved: 5, failed: 1 } });
    expect(runs(site, "r2")).toBe(5);
  });

  it("holds where that is the policy: what was moved stays, until somebody decides", async () => {
    const { site, id } = await begun({ world: bad("web-2"), rollout: { timeoutMs: 3000, onHalt: "hold" } });
    await site.carry(is("halted"));
    const before = site.serving;
    await carryFor(site, 60_000);
    expect(site.view(id).status).toBe("halted");
    expect(site.serving).toEqual(before);
    await expect(site.command({ command: "resume" })).rejects.toMatchObject({ code: "ROLLOUT_REFUSED" });
    await site.command({ command: "roll-back", reason: "no" });
    await site.carry();
    expect(site.view(id).status).toBe("rolled-back");
    expect(site.serving).toEqual(all(6, "r1"));
  });

  it.each(["fails", "throws"] as const)("is also an activation that %s; the machine runs what it ran", async (does) => {
    const { site, id } = await begun();
    site.world.inject({ on: "activate", does, when: ({ image }) => image === images.r2, why: "the disk is full" });
    await site.carry();
    expect(site.view(id)).toMatchObject({ status: "rolled-back", reason: expect.stringContaining("the disk is full") as string });
    expect(site.serving).toEqual(all(6, "r1"));
  });

  it("is also a launch that cannot be made, and one that hangs", async () => {
    for (const does of ["fails", "hangs"] as const) {
      const site = new Site(images, { size: 3, rollout: { timeoutMs: 3000 } });
      await site.converge();
      const id = await site.begun({ image: images.other });
      site.world.inject({ on: "launch", does, when: ({ image }) => image === images.other, why: "no room" });
      await site.carry();
      await site.converge();
      expect(site.view(id).status).toBe("rolled-back");
      expect(site.serving).toEqual(all(3, "r1"));
      expect(site.world.all()).toHaveLength(3);
    }
  });

  it("is done although the answer was lost", async () => {
    const { site, id } = await begun({ rollout: errors(1) });
    site.world.inject({ on: "activate", does: "does-and-throws", times: 1 });
    await site.carry();
    expect(site.view(id).status).toBe("completed");
  });

  it("is a release that makes machines die, however often healing replaces them", async () => {
    const { site, id } = await begun({ size: 3 });
    await site.carry((turn) => {
      for (const machine of site.world.all())
        if (machine.running === images.r2 && site.clock.elapsedMs() - machine.sinceMs > 700) site.world.kill(machine.id);
      return isOver(turn);
    });
    await site.converge();
    expect(site.view(id).status).toBe("rolled-back");
    expect(site.serving).toEqual(all(3, "r1"));
  });

  it("is an instance that became sick after its turn, once its grace is over", async () => {
    let isBad = false;
    const { site, id } = await begun({ world: { health: ({ image }) => (image === images.r2 && isBad ? "unhealthy" : "healthy") } });
    await site.carry(moved(3));
    isBad = true;
    await site.carry();
    expect(site.view(id)).toMatchObject({
      status: "rolled-back",
      reason: expect.stringContaining("became unhealthy after it was moved") as string,
    });
  });

  it("is no instance that was sick for less than its grace; its soak begins again", async () => {
    const sick: [number, number] = [0, 0];
    const { site, id } = await begun({
      world: { health: ({ image, nowMs }) => (image === images.r2 && nowMs >= sick[0] && nowMs < sick[1] ? "unhealthy" : "healthy") },
    });
    await site.carry(({ rollout }) => rollout?.waitingFor.startsWith("the soak") === true);
    const from = site.clock.elapsedMs();
    [sick[0], sick[1]] = [from + 500, from + 900];
    await site.carry(({ rollout }) => rollout?.state.wave === 1);
    expect(site.clock.elapsedMs() - from).toBeGreaterThanOrEqual(1900);
    await site.carry();
    expect(site.view(id).status).toBe("completed");
  });

  it("is what does not come back: the end says so", async () => {
    const { site, id } = await begun({ world: bad(), rollout: { timeoutMs: 3000 } });
    site.world.inject({ on: "activate", does: "fails", when: ({ image }) => image === images.r1, why: "broken for good" });
    await site.carry();
    expect(site.view(id).status).toBe("rollback-failed");
    expect(site.view(id).instances.filter(({ phase }) => phase === "stuck")).toHaveLength(1);
  });
});

describe("what does not answer", () => {
  it("is no failure, and holds as soon as it is more than may be; it goes on when that answers", async () => {
    const { site, id } = await begun({ rollout: { unreachable: { allowed: { count: 0 }, afterMs: 2000 } } });
    await site.carry(moved(1));
    const [first] = site
      .view(id)
      .instances.filter(({ phase }) => phase === "waiting")
      .slice(-1);
    const machine = site.world.all().find(({ slot }) => slot === first?.id)?.id ?? "";
    site.world.silence(machine);
    await site.carry(is("held"));
    expect(site.view(id)).toMatchObject({ reason: "too many instances do not answer: 1, 0 may", counts: { unreachable: 1, failed: 0 } });
    expect(explainRollout(site.process().parts, id).because.join("\n")).toContain("does not answer");
    site.world.silence(machine, false);
    await site.carry();
    expect(site.view(id)).toMatchObject({ status: "completed", counts: { moved: 6 } });
  });

  it("within the budget is left behind", async () => {
    const { site, id } = await begun({
      world: { can: { replace: true } },
      rollout: { unreachable: { allowed: { count: 1 }, afterMs: 5000 } },
    });
    const machine = site.world.all()[2]?.id ?? "";
    site.world.silence(machine);
    await site.carry();
    expect(site.view(id).status).toBe("completed");
    expect(runs(site, "r2")).toBeGreaterThanOrEqual(5);
  });

  it("is a provider that cannot be looked at for a moment: it is asked again", async () => {
    const { site, id } = await begun();
    await site.carry(moved(2));
    site.world.inject({ on: "observe", does: "throws", times: 5, why: "the API is down" });
    await site.carry();
    expect(site.view(id).status).toBe("completed");
  });

  it("is a provider that cannot be looked at for ten seconds: the process ends, and the next goes on", async () => {
    const { site, id } = await begun();
    await site.carry(moved(2));
    site.world.inject({ on: "observe", does: "throws", times: 50, why: "the API is down" });
    await expect(site.carry()).rejects.toThrow("the API is down");
    await site.carry();
    expect(site.view(id).status).toBe("completed");
  });
});

describe("commands", () => {
  it("pause lets what is under way end and begins nothing; resume goes on", async () => {
    const { site, id } = await begun();
    await site.carry(({ rollout }) => rollout?.state.roster.sums.moving === 1);
    await site.command({ command: "pause", reason: "lunch" });
    await site.carry(is("paused"));
    await carryFor(site, 30_000);
    expect(site.view(id)).toMatchObject({ status: "paused", reason: "paused by bea@host: lunch", counts: { moved: 1 } });
    await site.command({ command: "resume" });
    await site.carry();
    expect(site.view(id).status).toBe("completed");
  });

  it("abort leaves everything where it is, and the fleet is declared as before", async () => {
    const { site, id } = await begun();
    await site.carry(moved(2));
    await site.command({ command: "abort", reason: "wrong one" });
    await site.carry();
    expect(site.view(id)).toMatchObject({ status: "abandoned", reason: "given up by bea@host: wrong one" });
    expect(runs(site, "r2") + runs(site, "r1")).toBe(6);
    expect(site.fleet.declared).toBe(images.r1);
    expect(site.records.denied("shop/web")).toEqual([]);
  });

  it("roll-back brings everything back, also of one that is running, and denies nothing", async () => {
    const { site, id } = await begun();
    await site.carry(moved(3));
    await site.command({ command: "roll-back" });
    await site.carry();
    expect(site.view(id).status).toBe("rolled-back");
    expect(site.serving).toEqual(all(6, "r1"));
    expect(site.records.denied("shop/web")).toEqual([]);
  });

  it("skip leaves one out, with a reason; retry moves what failed once more", async () => {
    let isBad = true;
    const { site, id } = await begun({
      world: { health: ({ image, slot }) => (image === images.r2 && slot === "web-1" && isBad ? "unhealthy" : "healthy") },
      rollout: { timeoutMs: 3000, ...errors(1), maxUnavailable: { count: 2 } },
    });
    await expect(site.command({ command: "skip", id: "web-4" })).rejects.toMatchObject({
      message: expect.stringContaining("needs a reason") as string,
    });
    await expect(site.command({ command: "skip", id: "web-9", reason: "x" })).rejects.toMatchObject({
      message: expect.stringContaining("no instance is called web-9") as string,
    });
    await site.command({ command: "skip", id: "web-4", reason: "it is mine" });
    await site.carry(({ rollout }) => rollout?.state.roster.sums.failed === 1);
    isBad = false;
    await site.command({ command: "retry-failed" });
    await site.carry();
    expect(site.view(id)).toMatchObject({ status: "completed", counts: { moved: 5, failed: 0 } });
    expect(site.serving).toEqual({ ...all(6, "r2"), "web-4": "r1" });
  });

  it("approve takes the plan's hash, and not from whoever started it", async () => {
    const { site, id } = await begun({ rollout: { approvals: 2 } });
    const { planHash } = site.view(id);
    await carryFor(site, 5000);
    expect(site.view(id)).toMatchObject({ status: "awaiting-approval", counts: { moved: 0 } });
    await expect(site.command({ command: "approve", planHash: "0".repeat(12) })).rejects.toMatchObject({
      message: expect.stringContaining(planHash) as string,
    });
    await expect(site.command({ command: "approve", planHash }, "ann@host")).rejects.toMatchObject({
      message: expect.stringContaining("somebody else") as string,
    });
    await site.command({ command: "approve", planHash });
    await site.command({ command: "approve", planHash }); // the same person counts once
    await carryFor(site, 5000);
    expect(site.view(id).status).toBe("awaiting-approval");
    await site.command({ command: "approve", planHash }, "cem@host");
    await site.carry();
    expect(site.view(id).status).toBe("completed");
  });

  it("approve lets a wave go on where a gate asks for that, once it has soaked, also when nobody carries the rollout meanwhile", async () => {
    const gates = [{ name: "go-ahead", onError: "hold", onInconclusive: "hold", people: { approvals: 1 } }] as const;
    const canary = { kind: "canary", steps: [{ to: { count: 1 }, soakMs: 500 }] } as const;
    const { site, id } = await begun({ rollout: { strategy: canary, gates } });
    const { planHash } = site.view(id);
    const approve = (wave: number, who?: string) => site.command({ command: "approve", planHash, wave }, who);
    await expect(approve(1)).rejects.toMatchObject({ message: expect.stringContaining("no wave is waiting") as string });
    await carryFor(site, 30_000);
    expect(site.view(id)).toMatchObject({ status: "running", approvals: { wave: 1, by: [], needed: 1 }, counts: { moved: 1 } });
    expect(explainRollout(site.process().parts, id)).toMatchObject({
      because: expect.arrayContaining(["it waits for approvals of wave 1: 0 of 1"]) as string[],
      commands: expect.arrayContaining([`bakehouse rollout approve ${id} --plan ${planHash} --wave 1`]) as string[],
    });
    await expect(approve(2)).rejects.toMatchObject({ message: expect.stringContaining("wave 1 is waiting") as string });
    await expect(approve(1, "ann@host")).rejects.toMatchObject({ message: expect.stringContaining("somebody else") as string });
    await approve(1);
    const follow = { id, signal: new AbortController().signal, carries: true, onView: () => undefined };
    expect(await site.run(followRollout(site.process().parts, follow))).toMatchObject({ status: "completed" });
    expect(site.serving).toEqual(all(6, "r2"));
  });

  it("are refused after the end, and of a rollout that is not there", async () => {
    const { site } = await begun();
    await site.carry();
    await expect(site.command({ command: "pause" })).rejects.toMatchObject({ code: "ROLLOUT_REFUSED" });
    const empty = new Site(images);
    await expect(empty.command({ command: "pause" })).rejects.toMatchObject({ code: "ROLLOUT_NOT_FOUND" });
  });

  it("count once, whoever carries the rollout dies after taking them", async () => {
    for (const when of ["before", "after"] as const)
      for (let number = 1; number < 6; number += 1) {
        const { site, id } = await begun({ size: 3 });
        await site.carry(moved(1));
        await site.command({ command: "pause" });
        await site.carry(is("paused"), site.process("ann@host", { at: "write", number, when })).catch(() => undefined);
        await site.carry(is("paused"));
        await site.command({ command: "resume" });
        await site.carry();
        const told = site.records
          .open(id)
          .moments()
          .flatMap(({ observations }) => observations.flatMap((each) => (each.type === "command" ? [each.command] : [])));
        expect(told).toEqual(["pause", "resume"]);
      }
  });
});

describe("a line that is stopped", () => {
  it("and released while nobody carries the rollout holds nothing", async () => {
    const { site, id } = await begun();
    const { id: stop } = await site.run(stopLine(site.process().parts, { reason: "incident 8", except: [] }));
    await carryFor(site, 1000);
    await site.run(releaseLine(site.process().parts, stop, "mended"));
    await site.carry();
    expect(site.view(id).status).toBe("completed");
  });

  it("holds within one look, finishes what is under way, and goes on when it is released", async () => {
    const { site, id } = await begun();
    await site.carry(({ rollout }) => rollout?.state.roster.sums.moving === 1);
    const before = site.records.open(id).begun().length;
    const { id: stop } = await site.run(stopLine(site.process("olga@host").parts, { reason: "incident 7", except: [] }));
    await carryFor(site, 20_000);
    expect(site.records.open(id).begun()).toHaveLength(before);
    expect(site.view(id)).toMatchObject({
      status: "running",
      counts: { moved: 1 },
      waitingFor: expect.stringContaining("incident 7") as string,
    });
    const told = explainRollout(site.process().parts, id);
    expect(told.because.join("\n")).toContain("olga@host stopped the line: incident 7");
    expect(told.commands).toContain(`bakehouse line release ${stop} --reason "…"`);
    await site.run(releaseLine(site.process().parts, stop, "mended"));
    await expect(site.run(releaseLine(site.process().parts, stop, "again"))).rejects.toMatchObject({ code: "INPUT_INVALID" });
    await site.carry();
    expect(site.view(id).status).toBe("completed");
  });

  it("lets through what is exempt, and ends by itself", async () => {
    const { site, id } = await begun();
    const until = new Date(site.clock.now().getTime() + 60_000);
    await site.run(stopLine(site.process().parts, { reason: "all but r2", except: [images.r2], until }));
    await site.carry();
    expect(site.view(id).status).toBe("completed");
    const next = await site.begun({ image: images.r3 });
    await carryFor(site, 20_000);
    expect(site.view(next).counts.moved).toBe(0);
    await site.carry();
    expect(site.view(next).status).toBe("completed");
    expect(site.clock.now().getTime()).toBeGreaterThan(until.getTime());
  });

  it("of another fleet holds nothing here; a time that is over is refused", async () => {
    const { site, id } = await begun();
    site.records.stop({ id: "stop-1", fleet: "shop/other", owner: "o", reason: "r", from: "2026-01-01T00:00:00.000Z", except: [] });
    await site.carry();
    expect(site.view(id).status).toBe("completed");
    const over = stopLine(site.process().parts, { reason: "r", except: [], until: new Date(0) });
    await expect(over).rejects.toMatchObject({ code: "INPUT_INVALID" });
    await expect(site.run(stopLine(site.process().parts, { reason: "r", except: [], fleet: "nope" }))).rejects.toMatchObject({
      code: "FLEET_NOT_FOUND",
    });
  });

  it("does not keep what is bad from going back", async () => {
    const { site, id } = await begun({ world: bad(), rollout: { timeoutMs: 3000 } });
    await site.carry(({ rollout }) => rollout?.state.roster.sums.moving === 1);
    await site.run(stopLine(site.process().parts, { reason: "incident", except: [] }));
    await site.carry();
    expect(site.view(id).status).toBe("rolled-back");
  });
});

describe("revoked on the way", () => {
  it("the image: it halts, goes back and is denied", async () => {
    const image = await images.volume("shop/release");
    const site = new Site(images);
    await site.converge();
    const id = await site.begun({ image });
    await site.carry(moved(2));
    await images.revoke(image, "CVE-1");
    await site.carry();
    expect(site.view(id)).toMatchObject({ status: "rolled-back", reason: "the image is revoked: CVE-1" });
    expect(site.serving).toEqual(all(6, "r1"));
    expect(site.records.denied("shop/web")).toMatchObject([{ digest: image }]);
  });

  it("the image to go back to: it holds, and going back is refused", async () => {
    const back = await images.volume("shop/release");
    const site = new Site(images, { fleet: { runs: { pinned: back } } });
    await site.converge();
    const id = await site.begun();
    await site.carry(moved(2));
    await images.revoke(back, "CVE-2");
    await site.carry(is("held"));
    expect(site.view(id).reason).toContain("CVE-2");
    await expect(site.command({ command: "roll-back" })).rejects.toMatchObject({ code: "ROLLOUT_REFUSED" });
    await site.command({ command: "resume" });
    await site.carry();
    expect(site.view(id).status).toBe("completed");
  });
});

describe("gates", () => {
  const gate = { name: "errors", onError: "hold", onInconclusive: "halt", probe: { kind: "windows", windows: [] } } as const;
  const say = (verdict: string) => () => ({ verdict, detail: "because" }) as never;

  it("that fail halt, that do not answer hold until they do or are skipped with a reason", async () => {
    const { site, id } = await begun({ rollout: { gates: [gate] } });
    site.gate = say("error");
    await site.carry(is("held"));
    expect(site.view(id).reason).toBe("gate errors: error: because");
    await expect(site.command({ command: "skip-gate" })).rejects.toMatchObject({ code: "ROLLOUT_REFUSED" });
    await site.command({ command: "skip-gate", reason: "known" });
    await site.carry(({ rollout }) => rollout?.state.wave === 1);
    site.gate = say("failed");
    await site.carry();
    expect(site.view(id)).toMatchObject({ status: "rolled-back", reason: "gate errors: failed: because" });
  });

  it("are told who was moved and since when, also after whoever asked died", async () => {
    const { site } = await begun({ rollout: { gates: [gate] } });
    let asked = 0;
    site.gate = () => {
      asked += 1;
      if (asked === 1) site.processes.at(-1)?.kill();
      return say("passed")();
    };
    const lost = site.process();
    await site.carry(isOver, lost).catch(() => undefined);
    await site.carry();
    expect(site.asked[1]?.subjects).toMatchObject({ moved: { length: 2 }, untouched: { length: 4 } });
    for (const { sinceMs } of site.asked[1]?.subjects.moved ?? []) expect(sinceMs).toBeGreaterThanOrEqual(1000);
    expect(asked).toBe(4); // one of three once more
  });

  it("that pass bad data let nothing begin", async () => {
    const site = new Site(images, { rollout: { gates: [gate] } });
    await site.converge();
    site.selfTest = say("error");
    await expect(site.start()).rejects.toMatchObject({
      code: "ROLLOUT_REFUSED",
      message: expect.stringContaining("errors: because") as string,
    });
    expect(site.records.rollouts()).toEqual([]);
  });
});

describe("a plan is refused", () => {
  const refusal = async (options: SiteOptions, image: string, start: { readonly back?: string } = {}): Promise<unknown> => {
    const site = new Site(images, options);
    await site.converge();
    const error: unknown = await site.run(planFleetRollout(site.process().parts, { image, ...start })).then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    return error;
  };

  it.each([
    [
      "nothing may be out, and nothing more be there",
      { maxUnavailable: { count: 0 }, maxSurge: { count: 0 } },
      /maxUnavailable 0 of 6 is 0/,
    ],
    ["all must be healthy, and one has to be out", { minHealthy: { percent: 100 } }, /minHealthy 100 % of 6 is 6/],
    ["more must be healthy than there are", { minHealthy: { count: 9 } }, /minHealthy 9 is more than the 6/],
    ["a share of 0 instances", { maxUnavailable: { percent: 10 } }, /maxUnavailable 10 % of 6 is 0/],
  ] as const)("when %s", async (_, rollout, message) => {
    expect(await refusal({ rollout }, images.r2)).toMatchObject({
      code: "ROLLOUT_REFUSED",
      message: expect.stringMatching(message) as string,
    });
  });

  it("for an image or channel that is not there, and for one that is revoked", async () => {
    const revoked = await images.volume("shop/release");
    await images.revoke(revoked, "CVE-3");
    expect(await refusal({}, "shop/nothing")).toMatchObject({ code: "IMAGE_NOT_FOUND" });
    expect(await refusal({}, "shop/release@nowhere")).toMatchObject({ code: "CHANNEL_NOT_FOUND" });
    expect(await refusal({}, revoked)).toMatchObject({ code: "IMAGE_REVOKED" });
  });

  it("when what it would go back to is revoked, gone, denied, or the same", async () => {
    const back = async (
      spoil: (digest: ImageDigest, site: Site) => Promise<void> | void,
      start: { readonly back?: string } = {},
    ): Promise<unknown> => {
      const digest = await images.volume("shop/release");
      const site = new Site(images, { fleet: { runs: { pinned: digest } } });
      await site.converge();
      await spoil(digest, site);
      return site.run(planFleetRollout(site.process().parts, { image: images.r2, ...start })).then(
        () => undefined,
        (thrown: unknown) => thrown,
      );
    };
    const refused = (message: RegExp) => ({ code: "ROLLOUT_REFUSED", message: expect.stringMatching(message) as string });
    expect(await back((digest) => images.revoke(digest, "CVE-4"))).toMatchObject(refused(/go back to is revoked.*CVE-4/));
    expect(await back((digest) => images.parts.store.images.remove([digest]))).toMatchObject(refused(/go back to is not there/));
    expect(
      await back((digest, site) => site.records.deny("shop/web", { digest, reason: "bad", who: "w", at: "2026-01-01T00:00:00.000Z" })),
    ).toMatchObject(refused(/go back to is on the deny list/));
    expect(await back(() => undefined, { back: images.r2 })).toMatchObject(refused(/go back to is the one that is rolled out/));
    expect(await back(() => undefined)).toBeUndefined();
  });

  it("when it changed since it was seen", async () => {
    const site = new Site(images);
    await site.converge();
    const { hash } = await site.run(planFleetRollout(site.process().parts, { image: images.r2 }));
    expect((await site.run(planFleetRollout(site.process().parts, { image: images.r2 }))).hash).toBe(hash);
    site.declare({ rollout: { maxUnavailable: { count: 2 } } });
    await expect(site.start({ planHash: hash })).rejects.toMatchObject({
      code: "ROLLOUT_REFUSED",
      message: expect.stringContaining(hash) as string,
    });
  });

  it("for a fleet that has no instances yet", async () => {
    const site = new Site(images);
    await expect(site.start()).rejects.toMatchObject({ code: "ROLLOUT_REFUSED" });
  });
});
