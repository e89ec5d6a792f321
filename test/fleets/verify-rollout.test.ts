import { mkdtempSync, rmSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { verifyRollout, type VerifiedRollout } from "../../src/engine/verify-rollout.ts";
import { shopImages, Site, type ShopImages } from "./simulated.ts";

let images: ShopImages;
let folder: string;
let file: string;
beforeAll(async () => {
  images = await shopImages();
});
afterAll(() => images.close());
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "bakehouse-verify-"));
  file = join(folder, "fleets.db");
});
afterEach(() => rmSync(folder, { recursive: true }));

const verify = (site: Site, reference?: string): Promise<VerifiedRollout> => site.run(verifyRollout(site.process().parts, reference));

/** Somebody changes the records behind our back. */
const forge = (sql: string, ...values: readonly (string | number)[]): void => {
  const db = new DatabaseSync(file);
  expect(Number(db.prepare(sql).run(...values).changes)).toBeGreaterThan(0);
  db.close();
};

const failing = { health: ({ image }: { readonly image: string }) => (image === images.r2 ? "unhealthy" : "healthy") } as const;

describe("verifying a rollout", () => {
  it("finds the record of one that completed to be what follows from it", async () => {
    const site = new Site(images, { file });
    const { id } = await site.roll();
    const verified = await verify(site);
    expect(verified).toMatchObject({ id, fleet: "shop/web", target: images.r2, status: "completed", over: true, notes: [] });
    expect(verified.difference).toBeUndefined();
    expect(verified.compared).toMatchObject({ actions: 6, deeds: 2 });
    expect(verified.compared.moments).toBe(site.records.open(id).moments().length);
    expect(verified.compared.states).toBe(site.records.open(id).shown().length);
  });

  it("finds one that was halted and rolled back, carried by three processes, the same", async () => {
    const site = new Site(images, { file, world: failing });
    await site.converge();
    const id = await site.begun();
    let looks = 0;
    for (const number of [3, 9]) {
      const process = site.process();
      await site.carry(() => ++looks === number, process);
      process.kill();
    }
    await site.carry();
    const verified = await verify(site, id);
    expect(verified).toMatchObject({ status: "rolled-back", over: true, notes: [] });
    expect(verified.difference).toBeUndefined();
    expect(verified.compared.deeds).toBe(3); // begun, ended, denied
  });

  it("says of one under way that it is", async () => {
    const site = new Site(images, { file });
    await site.converge();
    const id = await site.begun();
    await site.carry(({ rollout }) => (rollout?.state.wave ?? 0) === 1);
    const verified = await verify(site, id);
    expect(verified.over).toBe(false);
    expect(verified.difference).toBeUndefined();
    expect(verified.notes).toEqual(["it is not over: running"]);
  });

  it("says that a command came too late", async () => {
    const site = new Site(images, { file });
    const { id } = await site.roll();
    site.records.command(id, { command: "pause", who: "bea@host" }, "2026-11-02T09:00:00.000Z");
    expect((await verify(site)).notes).toEqual(["1 command was given too late to be read"]);
  });

  it("knows which of two rollouts of the same name the audit log speaks of", async () => {
    const first = new Site(images, { world: failing });
    await first.roll();
    const site = new Site(images, { file, ledger: first.ledger }); // its records were lost, and its rollouts are counted from one again
    await site.clock.pass(60_000);
    const { id } = await site.roll();
    expect((await verify(site, id)).difference).toBeUndefined();
  });

  it("refuses a name that nothing has", async () => {
    const site = new Site(images, { file });
    await expect(verify(site, "web-r9")).rejects.toMatchObject({ code: "ROLLOUT_NOT_FOUND" });
  });

  describe("tells the first difference when", () => {
    const rolled = async (): Promise<Site> => {
      const site = new Site(images, { file });
      await site.roll();
      return site;
    };

    it("a report says something else than it did", async () => {
      const site = await rolled();
      const moments = site.records.open("web-r1").moments();
      const index = moments.findIndex(({ observations }) =>
        observations.some((told) => told.type === "report" && told.running === images.r2 && told.healthy),
      );
      const observations = JSON.stringify(moments[index]?.observations).replaceAll('"healthy":true', '"healthy":false');
      forge("UPDATE moments SET observations = ? WHERE number = ?", observations, index + 1);
      const { difference } = await verify(site);
      expect(difference).toMatchObject({ what: "action 2" });
      expect(difference?.moment).toBeGreaterThan(index + 1);
    });

    it("an action was another one", async () => {
      const site = await rolled();
      const { action } = site.records.open("web-r1").begun()[2] ?? {};
      forge("UPDATE begun SET value = ? WHERE number = 3", JSON.stringify({ ...action, how: "surge" }));
      expect((await verify(site)).difference).toMatchObject({
        what: "action 3",
        at: expect.stringMatching(/^2026-11-02T08:00/) as string,
        recorded: expect.stringContaining("surge") as string,
        replayed: expect.stringContaining("in-place") as string,
      });
    });

    it("there was one action more", async () => {
      const site = await rolled();
      const [first] = site.records.open("web-r1").begun();
      forge("INSERT INTO begun VALUES ('web-r1', 7, 26, '2026-11-02T09:00:00.000Z', ?)", JSON.stringify(first?.action));
      expect((await verify(site)).difference).toMatchObject({ what: "action 7", replayed: "no such action" });
    });

    it("a state was another one", async () => {
      const site = await rolled();
      forge("UPDATE shown SET reason = 'somebody said so' WHERE number = 2");
      expect((await verify(site)).difference).toMatchObject({ what: "state", recorded: "running: somebody said so", replayed: "running" });
    });

    it("it ended another way", async () => {
      const site = await rolled();
      forge("UPDATE rollouts SET status = 'rolled-back'");
      expect((await verify(site)).difference).toMatchObject({ what: "state", recorded: "rolled-back", replayed: "completed" });
    });

    it("moments are missing", async () => {
      const site = await rolled();
      forge("DELETE FROM moments WHERE number > 8");
      expect((await verify(site)).difference).toBeDefined();
    });

    it("the plan was changed after it was approved", async () => {
      const site = await rolled();
      const { origin } = site.records.open("web-r1");
      const plan = { ...origin.plan, policy: { ...origin.plan.policy, onHalt: "hold" } };
      forge("UPDATE rollouts SET origin = ?", JSON.stringify({ ...origin, plan }));
      expect((await verify(site)).difference).toMatchObject({ moment: 0, what: "hash of the plan", recorded: origin.planHash });
    });

    it("the plan and its hash were changed, by the audit log", async () => {
      const site = await rolled();
      const { origin } = site.records.open("web-r1");
      const plan = { ...origin.plan, policy: { ...origin.plan.policy, onHalt: "hold" } };
      forge("UPDATE rollouts SET origin = ?", JSON.stringify({ ...origin, plan }));
      const { difference } = await verify(site);
      forge("UPDATE rollouts SET origin = ?", JSON.stringify({ ...origin, plan, planHash: difference?.replayed }));
      expect((await verify(site)).difference).toMatchObject({ what: "plan in the audit log", recorded: origin.planHash });
    });

    it("there is an answer to what was never asked", async () => {
      const site = await rolled();
      const told = [{ type: "action-failed", key: "web-r1/web-1/7", reason: "made up" }];
      forge("UPDATE moments SET observations = ? WHERE number = 5", JSON.stringify(told));
      expect((await verify(site)).difference).toMatchObject({ moment: 5, what: "an answer" });
    });

    it("time goes back", async () => {
      const site = await rolled();
      forge("UPDATE moments SET now_ms = 1 WHERE number = 4");
      expect((await verify(site)).difference).toMatchObject({ moment: 4, what: "time" });
    });

    it("what was denied is not on the deny list", async () => {
      const site = new Site(images, { file, world: failing });
      await site.roll();
      forge("DELETE FROM denied");
      expect((await verify(site)).difference).toMatchObject({ what: "deny list", replayed: images.r2 });
    });
  });
});
