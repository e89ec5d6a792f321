import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { ImageDigest } from "../../src/core/digest.ts";
import type { FleetPolicy } from "../../src/core/fleet/model.ts";
import { verifyRollout } from "../../src/engine/verify-rollout.ts";
import type { StartRolloutOptions } from "../../src/engine/start-rollout.ts";
import { Killed, shopImages, Site, type CrashPoint, type ShopImages, type SiteOptions } from "./simulated.ts";

let images: ShopImages;
beforeAll(async () => {
  images = await shopImages();
});
afterAll(() => images.close());

interface Case {
  readonly name: string;
  readonly site: () => SiteOptions;
  readonly start: () => StartRolloutOptions;
}

const policy = (more: Partial<FleetPolicy>): Partial<FleetPolicy> => more;
const sick = (image: ImageDigest) =>
  ({ health: (about: { readonly image: string }) => (about.image === image ? "unhealthy" : "healthy") }) as const;

const CASES: readonly Case[] = [
  { name: "in place", site: () => ({ size: 3 }), start: () => ({}) },
  { name: "replaced in place", site: () => ({ size: 3 }), start: () => ({ image: images.other }) },
  {
    name: "replaced with surge",
    site: () => ({ size: 3, rollout: policy({ maxSurge: { count: 1 }, maxUnavailable: { count: 0 } }) }),
    start: () => ({ image: images.other }),
  },
  {
    name: "canary by weight",
    site: () => ({
      size: 3,
      rollout: policy({
        strategy: {
          kind: "canary",
          steps: [
            { to: { count: 1 }, weight: 10, soakMs: 500 },
            { weight: 60, soakMs: 500 },
          ],
        },
      }),
    }),
    start: () => ({}),
  },
  {
    name: "blue/green",
    site: () => ({ size: 3, rollout: policy({ strategy: { kind: "blue-green", soakMs: 500, keepOldMs: 1000 } }) }),
    start: () => ({ image: images.other }),
  },
  {
    name: "in place, bad and rolled back",
    site: () => ({ size: 3, rollout: policy({ timeoutMs: 3000 }), world: sick(images.r2) }),
    start: () => ({}),
  },
  {
    name: "replaced, bad and rolled back",
    site: () => ({ size: 3, rollout: policy({ timeoutMs: 3000, maxSurge: { count: 1 } }), world: sick(images.other) }),
    start: () => ({ image: images.other }),
  },
  {
    name: "blue/green, bad and switched back",
    site: () => ({
      size: 3,
      rollout: policy({ strategy: { kind: "blue-green", soakMs: 500, keepOldMs: 5000 } }),
      world: { health: ({ image, ageMs }) => (image === images.other && ageMs > 2500 ? "unhealthy" : "healthy") },
    }),
    start: () => ({ image: images.other }),
  },
];

/** What must be the same, however often whoever carried it died. */
async function endOf(site: Site, id: string): Promise<unknown> {
  await site.carry(({ rollout, underWay, remedies }) => rollout === undefined && underWay === 0 && remedies.length === 0);
  const { status, over, reason } = site.view(id);
  const verified = await site.run(verifyRollout(site.process().parts, id));
  return {
    status,
    over,
    reason: reason.replace(/web-\d/g, "web-N"),
    serving: site.serving,
    machines: site.world.all().length,
    made: new Set(site.world.calls.flatMap(({ what, id: machine }) => (what === "launch" ? [machine] : []))).size,
    declared: site.nameOf(site.fleet.declared),
    previous: site.nameOf(site.fleet.previous),
    denied: site.records.denied("shop/web").map(({ digest }) => site.nameOf(digest)),
    difference: verified.difference,
    notes: verified.notes,
  };
}

/** Each machine was made once, brought to each image at most as often as that was decided, and never two for one decision. */
function expectOnce(site: Site, id: string): void {
  const moves = site.records
    .open(id)
    .begun()
    .flatMap(({ action }) => (action.kind === "move" ? [action] : []));
  expect(new Set(moves.map(({ key }) => key)).size).toBe(moves.length);
  for (const { id: machine, log } of site.world.all()) {
    expect([machine, ...log.filter((line) => line.startsWith("booted"))]).toHaveLength(2);
    // to each image only from another one, and as often as that was decided for its slot
    const activated = log.filter((line) => line.startsWith("activated"));
    const decided = moves.filter(({ id: slot }) => machine.startsWith(`${slot}-`));
    expect(activated.length, `${machine}: ${log.join(", ")}`).toBeLessThanOrEqual(decided.length);
    for (const [index, line] of log.entries()) expect(line.split(" ")[1], log.join(", ")).not.toBe(log[index - 1]?.split(" ")[1]);
  }
}

async function crashed(
  { site: options, start }: Case,
  points: readonly CrashPoint[],
): Promise<{ readonly site: Site; readonly id: string; readonly died: number }> {
  const site = new Site(images, options());
  await site.converge();
  const id = await site.begun(start());
  let died = 0;
  for (const point of points)
    await site
      .carry(({ rollout }) => rollout?.ended !== false, site.process("ann@host", point))
      .catch((error: unknown) => {
        if (!(error instanceof Killed)) throw error;
        died += 1;
      });
  if (!site.view(id).over || site.records.rollouts()[0]?.endedAt === undefined) await site.carry();
  return { site, id, died };
}

describe.each(CASES)("a rollout that is $name", (each) => {
  let expected: unknown;
  let worst: number;
  let points: readonly CrashPoint[];

  beforeAll(async () => {
    const site = new Site(images, each.site());
    await site.converge();
    const id = await site.begun(each.start());
    const process = site.process();
    await site.carry(undefined, process);
    points = (["write", "call"] as const).flatMap((at) =>
      Array.from({ length: process.passed[at] }, (_, index) => index + 1).flatMap((number) => [
        { at, number, when: "before" } as const,
        { at, number, when: "after" } as const,
      ]),
    );
    expected = await endOf(site, id);
    worst = Math.min(...site.served);
    expectOnce(site, id);
  });

  it("ends the same, and nothing is done twice, wherever whoever carries it dies", async () => {
    expect(points.length).toBeGreaterThan(30);
    let died = 0;
    for (const point of points) {
      const { site, id, died: now } = await crashed(each, [point]);
      died += now;
      expect({ point, ...((await endOf(site, id)) as object) }).toEqual({ point, ...(expected as object) });
      expect({ point, worst: Math.min(...site.served) >= worst }).toEqual({ point, worst: true });
      expectOnce(site, id);
    }
    expect(died).toBeGreaterThan(points.length * 0.9); // some calls are made after the end, and nobody waits for them
  });

  it("ends the same when each of those who carry it dies soon", async () => {
    for (const number of [2, 3, 5]) {
      const often = Array.from({ length: 30 }, (_, index) => ({ at: index % 2 === 0 ? "write" : "call", number, when: "after" }) as const);
      const { site, id } = await crashed(each, often);
      expect({ number, ...((await endOf(site, id)) as object) }).toEqual({ number, ...(expected as object) });
      expectOnce(site, id);
    }
  });
});
