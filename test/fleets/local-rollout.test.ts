import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { FleetStatus } from "../../src/engine/fleet-status.ts";
import type { RolloutView } from "../../src/engine/show-rollout.ts";
import { finished, ShopFleet } from "./shop-fleet.ts";

const SIZE = 4;
let fleet: ShopFleet;
beforeAll(async () => {
  fleet = await ShopFleet.open(
    SIZE,
    `strategy: { canary: [{ to: 1, soak: 300ms }, { to: "50%", soak: 300ms }] }
     maxUnavailable: 1
     maxSurge: 1
     errors: { allowed: 0 }
     grace: 500ms
     timeout: 20s
     onHalt: roll-back`,
  );
}, 600_000);
afterAll(() => fleet?.close(), 120_000);

const status = async (): Promise<FleetStatus> => {
  const { fleets } = await fleet.json<{ readonly fleets: readonly FleetStatus[] }>("fleet", "status", "web");
  const [only] = fleets;
  if (only === undefined) throw new Error("no fleet");
  return only;
};
/** Digests that run, and how often. */
const running = async (): Promise<readonly number[]> => Object.values((await status()).running);
const only200 = (answers: Readonly<Record<string, number>>): readonly string[] =>
  Object.keys(answers).filter((answer) => !answer.startsWith("200 "));

describe("a local fleet, by the command line", () => {
  it("begins with the image that it is pinned to, and is measured", async () => {
    const converged = await fleet.run("fleet", "converge", "web");
    expect(converged).toMatchObject({ code: 0, out: expect.stringContaining(`${SIZE} of ${SIZE} healthy`) });
    const { instances, fleet: known } = await status();
    expect(instances.map(({ slot, zone, health, serving }) => ({ slot, zone, health, serving }))).toEqual(
      ["a", "b", "a", "b"].map((zone, index) => ({ slot: `web-${index + 1}`, zone, health: "healthy", serving: true })),
    );
    expect(new Set(instances.map(({ running: digest }) => digest))).toEqual(new Set([known.declared]));
    expect(await fleet.run("fleet", "converge", "web")).toMatchObject({ code: 0, err: "" });
  }, 300_000);

  it("comes to a new release volume in place, wave by wave, and nobody notices", async () => {
    const before = await status();
    await fleet.bake("2.0.0");
    const plan = await fleet.json<{
      readonly hash: string;
      readonly plan: { readonly method: { readonly kind: string }; readonly waves: readonly unknown[] };
    }>("rollout", "plan", "web");
    expect(plan.plan).toMatchObject({ method: { kind: "activate" }, waves: [{ to: 1 }, { to: 2 }, { to: 4 }] });
    expect(await fleet.run("rollout", "start", "web", "--plan", "000000000000")).toMatchObject({
      code: 4,
      err: expect.stringContaining(plan.hash),
    });
    const client = fleet.ask();
    const view = await fleet.json<RolloutView>("rollout", "start", "web", "--plan", plan.hash);
    const answers = await client.stop();
    expect(view).toMatchObject({ status: "completed", counts: { moved: SIZE, failed: 0 } });
    expect(only200(answers)).toEqual([]);
    expect(Object.keys(answers).sort()).toEqual(["200 1.0.0", "200 2.0.0"]);
    const after = await status();
    expect(after.instances.map(({ id, bootedAt }) => [id, bootedAt])).toEqual(before.instances.map(({ id, bootedAt }) => [id, bootedAt]));
    expect(await fleet.versions()).toEqual(Array(SIZE).fill("2.0.0"));
  }, 300_000);

  it("halts on a broken release, goes back by itself, and refuses it from then on", async () => {
    await fleet.bake("3.0.0", { broken: true });
    const { declared } = (await status()).fleet;
    const client = fleet.ask();
    const view = await fleet.json<RolloutView>("rollout", "start", "web");
    const answers = await client.stop();
    expect(view).toMatchObject({ status: "rolled-back", reason: expect.stringContaining("1 of 4 failed, 0 may") });
    expect(Object.keys(answers)).toEqual(["200 2.0.0"]);
    expect(view.instances.filter(({ attempts }) => attempts > 0)).toHaveLength(1);
    const after = await status();
    expect(after.running).toEqual({ [declared ?? ""]: SIZE });
    expect(after.denied).toMatchObject([{ digest: view.target, who: "rollout" }]);
    expect(await fleet.run("rollout", "start", "web")).toMatchObject({ code: 4, err: expect.stringContaining("deny list") });
  }, 300_000);

  it("comes to another root image by other machines", async () => {
    await fleet.bake("4.0.0");
    const before = await status();
    const client = fleet.ask();
    const view = await fleet.json<RolloutView>("rollout", "start", "web", "--image", "shop/release");
    const answers = await client.stop();
    expect(view).toMatchObject({ status: "completed", method: { kind: "replace" } });
    expect(only200(answers)).toEqual([]);
    const after = await status();
    expect(after.instances.map(({ slot }) => slot)).toEqual(before.instances.map(({ slot }) => slot));
    expect(after.instances.filter(({ id }) => before.instances.some((old) => old.id === id))).toEqual([]);
    expect(await fleet.versions()).toEqual(Array(SIZE).fill("4.0.0"));
  }, 300_000);

  it("replaces an instance that died", async () => {
    const [victim] = (await status()).instances;
    await fleet.run("stop", "--now", victim?.id ?? "");
    expect((await fleet.run("fleet", "status", "web")).out).toContain(`${SIZE - 1} of ${SIZE} healthy`);
    expect(await fleet.run("fleet", "converge", "web")).toMatchObject({ code: 0 });
    const { instances } = await status();
    expect(instances.filter(({ id }) => id === victim?.id)).toEqual([]);
    expect(instances.map(({ health }) => health)).toEqual(Array(SIZE).fill("healthy"));
  }, 300_000);

  it("goes on where it was after kill -9 at any moment, and HAProxy killed meanwhile", async () => {
    await fleet.bake("5.0.0");
    const started = fleet.start({}, "rollout", "start", "web", "--image", "shop/release-volume");
    const ran = finished(started);
    await expect.poll(running, { timeout: 60_000 }).toHaveLength(2); // at least one is moved
    started.kill("SIGKILL");
    expect((await ran).code).toBe("SIGKILL");
    expect((await fleet.run("rollout", "explain", "web")).out).toContain("no process carries it on");
    const haproxy = Number(readFileSync(join(fleet.store, "fleets/shop/web/haproxy.pid"), "utf8"));
    process.kill(haproxy, "SIGKILL");
    for (let kills = 0; kills < 3; kills++) {
      const carried = fleet.start({}, "rollout", "watch", "web", "--carry");
      await new Promise((resolve) => setTimeout(resolve, 300 + Math.random() * 900));
      carried.kill("SIGKILL");
      await finished(carried);
    }
    const view = await fleet.json<RolloutView>("rollout", "watch", "web", "--carry");
    expect(view).toMatchObject({ status: "completed", counts: { failed: 0 } });
    expect(view.instances.map(({ attempts }) => attempts)).toEqual(Array(SIZE).fill(1));
    expect(await fleet.versions()).toEqual(Array(SIZE).fill("5.0.0"));
    expect((await status()).instances).toHaveLength(SIZE);
    expect((await fetch(`http://127.0.0.1:${fleet.port}/health`)).status).toBe(200);
  }, 300_000);

  it.each(["rollout-begun", "rollout-ticked"])(
    "is finished by the next process when the first dies at %s",
    async (point) => {
      await fleet.bake(`5.1.0-${point}`);
      const started = fleet.start({ BAKEHOUSE_CRASH_AT: point }, "rollout", "start", "web", "--image", "shop/release-volume");
      expect((await finished(started)).code).toBe("SIGKILL");
      const view = await fleet.json<RolloutView>("rollout", "watch", "web", "--carry");
      expect(view).toMatchObject({ status: "completed", counts: { failed: 0 } });
      expect(view.instances.map(({ attempts }) => attempts)).toEqual(Array(SIZE).fill(1));
      expect(await fleet.versions()).toEqual(Array(SIZE).fill(`5.1.0-${point}`));
      expect(await fleet.run("rollout", "verify", "web")).toMatchObject({ code: 0 });
    },
    300_000,
  );

  it("begins one of two rollouts that are started at the same moment", async () => {
    await fleet.bake("6.0.0");
    const both = await Promise.all([fleet.run("rollout", "start", "web"), fleet.run("rollout", "start", "web")]);
    const codes = both.map(({ code }) => code).sort();
    expect(codes, both.map(({ err }) => err).join("\n---\n")).toEqual([0, 4]);
    expect(both.find(({ code }) => code === 4)?.err).toMatch(/one rollout at a time/);
    expect(await fleet.versions()).toEqual(Array(SIZE).fill("6.0.0"));
  }, 300_000);

  it("becomes larger and smaller, and tells mistakes from what is not there", async () => {
    await fleet.run("fleet", "scale", "web", "2");
    expect(await fleet.run("fleet", "converge", "web")).toMatchObject({ code: 0, out: expect.stringContaining("2 of 2 healthy") });
    expect((await status()).instances.map(({ slot }) => slot)).toEqual(["web-1", "web-2"]);
    await fleet.run("fleet", "scale", "web", "recipe");
    expect(await fleet.run("fleet", "converge", "web")).toMatchObject({
      code: 0,
      out: expect.stringContaining(`${SIZE} of ${SIZE} healthy`),
    });
    for (const [words, code, message] of [
      [["fleet", "status", "wep"], 2, "did you mean"],
      [["fleet", "scale", "web", "0"], 2, "from 1 to 1000"],
      [["rollout", "plan", "web", "--image", "shop/relese"], 2, "did you mean"],
      [["rollout", "watch", "nope"], 2, "No rollout is called"],
      [["rollout", "resume", "web"], 4, "the rollout is over"],
      [["fleet", "logs", "web", "web-9"], 2, "no running instance"],
      [["line", "stop"], 2, "--reason is missing"],
    ] as const)
      expect(await fleet.run(...words)).toMatchObject({ code, err: expect.stringContaining(message) });
  }, 300_000);
});
