import { createHash } from "node:crypto";
import { appendFileSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parseLock, sealLock, serialiseLock } from "../../src/core/lock/lock-file.ts";
import type { Lock } from "../../src/core/lock/model.ts";
import { createBakehouse } from "../../src/presets/create-bakehouse.ts";
import { copyTree, debianPackages } from "../shared-store.ts";
import { type Bake, bakeOf, errorOf, Kitchen, type RunningCli } from "./kitchen.ts";

const hash = (text: string) => `sha256:${createHash("sha256").update(text).digest("hex")}` as const;

/** A network namespace with nothing but a loopback that is down. */
const OFFLINE = ["unshare", "--net", "--"];

describe("a real Debian", () => {
  let kitchen: Kitchen;
  let calm: Bake;
  let packages: Awaited<ReturnType<typeof debianPackages>>;
  const lockFile = () => join(kitchen.recipe, "bakehouse.lock");

  beforeAll(async () => {
    packages = await debianPackages();
    kitchen = await Kitchen.open(packages.store);
    rmSync(kitchen.recipe, { recursive: true });
    copyTree(packages.recipe, kitchen.recipe);
  });
  afterAll(() => kitchen.close());

  it("is baked without any network when lock and packages are there", async () => {
    calm = bakeOf(await kitchen.cli(["bake", "--json"], { under: OFFLINE }));
    expect(calm).toMatchObject({ hits: 0, baked: 2 });
    expect(await kitchen.leftovers()).toEqual([]);
  }, 120_000);

  it("killed in the middle of its steps, again and again, is finished with the same digests", async () => {
    const store = join(kitchen.folder, "killed");
    copyTree(packages.store, store);
    for (const [step, progress] of [
      ["foundation/debian", 2],
      ["foundation/debian", 5],
      ["base/apt", 1],
    ] as const) {
      const bake = kitchen.start(["bake", "--events"], { store });
      await progressOf(bake, step, progress);
      bake.child.kill("SIGKILL");
      expect((await bake.ended).code).toBe("SIGKILL");
      expect(await kitchen.leftovers()).toEqual([]);
    }
    const finished = await kitchen.bake([], { store });
    expect(finished).toEqual({ digests: calm.digests, hits: 1, baked: 1 });
    expect(readdirSync(join(store, "work"))).toEqual([]);
  }, 180_000);

  it("stopped by Ctrl-C in the middle of dpkg ends cleanly", async () => {
    const bake = kitchen.start(["bake", "--events", "--from", "base/apt"]);
    await progressOf(bake, "base/apt", 1);
    bake.child.kill("SIGINT");
    expect((await bake.ended).code).toBe(130);
    expect(await kitchen.leftovers()).toEqual([]);
    expect((await kitchen.bake()).digests).toEqual(calm.digests);
  });

  describe("whose lock changed", () => {
    const change = (edit: (lock: Lock) => Lock): void => {
      const text = readFileSync(join(packages.recipe, "bakehouse.lock"), "utf8");
      const { lockVersion: _version, integrity: _integrity, ...content } = edit(parseLock(text, { file: "bakehouse.lock", hash }));
      writeFileSync(lockFile(), serialiseLock(sealLock(content, hash)));
    };
    const withJq = (lock: Lock, changed: { readonly version?: string; readonly sha256?: `sha256:${string}` }): Lock => {
      const apt = lock.steps["base/apt"];
      if (apt === undefined) throw new Error("no base/apt in the lock");
      const list = (apt.packages ?? []).map((item) => (item.name === "jq" ? { ...item, ...changed } : item));
      return { ...lock, steps: { ...lock.steps, "base/apt": { ...apt, packages: list } } };
    };

    it("in a version bakes that step anew, and says so", async () => {
      change((lock) => withJq(lock, { version: "99.0" }));
      const bakehouse = createBakehouse({ store: kitchen.store });
      const plan = bakehouse.plan(bakehouse.load(kitchen.recipe));
      await bakehouse.close();
      expect(plan.layers.flatMap((layer) => layer.steps).map((step) => [step.address, step.hit])).toEqual([
        ["foundation/debian", true],
        ["base/apt", false],
      ]);
      expect(plan.layers[1]?.steps[0]?.reason).toMatchObject({
        kind: "inputs-changed",
        changes: [{ input: "package.jq", after: expect.stringContaining("99.0 amd64") }],
      });
    });

    it("by hand is refused", async () => {
      copyTree(join(packages.recipe, "bakehouse.lock"), lockFile());
      writeFileSync(lockFile(), readFileSync(lockFile(), "utf8").replace(/"name":"jq","version":"[^"]+"/, '"name":"jq","version":"99.0"'));
      const run = await kitchen.cli(["bake", "--json"]);
      expect(errorOf(run)).toMatchObject({
        code: "LOCK_INVALID",
        message: expect.stringMatching(/jq|by hand|integrity/),
        hint: expect.stringContaining("bakehouse lock"),
      });
      expect(run.code).toBe(2);
    });

    it("to bytes that no mirror has, without a network, names the package", async () => {
      change((lock) => withJq(lock, { sha256: `sha256:${"0".repeat(64)}` }));
      const run = await kitchen.cli(["bake", "--json"], { under: OFFLINE });
      expect(errorOf(run)).toMatchObject({ code: "MIRROR_UNAVAILABLE", message: expect.stringContaining("jq") });
      expect(run.stderr).not.toMatch(/^ +at .*:\d+:\d+|FAULT/m);
      expect(await kitchen.leftovers()).toEqual([]);
    });

    it("is missing: says what to do", async () => {
      rmSync(lockFile());
      const run = await kitchen.cli(["bake", "--json"]);
      expect(errorOf(run)).toMatchObject({ code: "LOCK_MISSING", hint: expect.stringContaining("bakehouse lock") });
      copyTree(join(packages.recipe, "bakehouse.lock"), lockFile());
    });
  });

  it("whose package was changed in the store is not baked from it", async () => {
    const jq = (parseLock(readFileSync(lockFile(), "utf8"), { file: "bakehouse.lock", hash }).steps["base/apt"]?.packages ?? []).find(
      (item) => item.name === "jq",
    );
    const files = readdirSync(join(kitchen.store, "packages"), { recursive: true, encoding: "utf8" }).filter((path) =>
      path.includes(jq?.sha256.slice(7) ?? "?"),
    );
    for (const file of files) appendFileSync(join(kitchen.store, "packages", file), "x");
    expect(files).not.toEqual([]);
    const run = await kitchen.cli(["bake", "--json", "--from", "base/apt"], { under: OFFLINE });
    expect(["DIGEST_MISMATCH", "MIRROR_UNAVAILABLE"]).toContain(errorOf(run).code);
    expect(errorOf(run).message).toContain("jq");
    expect(run.stderr).not.toMatch(/^ +at .*:\d+:\d+|FAULT/m);
  });
});

/** Resolves with the n-th progress that a step reports. */
const progressOf = (bake: RunningCli, step: string, count: number): Promise<void> =>
  bake.said(new RegExp(`(?:"type":"step-progress"[^\\n]*"step":"${step}"[^\\n]*\\n[\\s\\S]*?){${count}}`));
