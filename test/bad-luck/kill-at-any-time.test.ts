import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type Bake, Kitchen } from "./kitchen.ts";

let kitchen: Kitchen;
beforeEach(async () => {
  kitchen = await Kitchen.open();
});
afterEach(() => kitchen.close());

const LAYERS = `app:
  from: os
  steps:
    - copy: { from: app, to: /srv/app }
    - run: for n in 1 2 3 4 5 6 7 8; do seq 1 20000 > /srv/$n; done; rm -rf /var/lib
    - file: { path: /etc/motd, content: "baked\\n" }
side:
  from: os
  steps:
    - run: head -c 8000000 /dev/zero > /srv/zeros
content:
  from: app
  release: { volume: /srv/content }
  steps:
    - copy: { from: app, to: /srv/content }`;

/** Kills of one run; where they strike is left to chance, and told if something is found. */
const KILLS = 14;

describe("kill -9 at any time", () => {
  it(`${KILLS} times over, leaves nothing that counts and nothing that stays`, async () => {
    for (let number = 0; number < 300; number++) kitchen.write(`app/page-${number}.html`, `<p>${"text ".repeat(number * 5)}</p>`);
    kitchen.layers(LAYERS);
    const calm: Bake = await kitchen.bake();
    const startedMs = performance.now();
    await kitchen.bake(["--no-cache"]);
    const takesMs = performance.now() - startedMs;
    const kills: string[] = [];
    for (let kill = 0; kill < KILLS; kill++) {
      const waitMs = Math.random() * takesMs;
      const runner = kill % 3 === 2 ? "runc" : "bubblewrap";
      const bake = kitchen.start(["bake", "--no-cache", "--events", "--runner", runner]);
      await new Promise((resolve) => setTimeout(resolve, waitMs));
      bake.child.kill("SIGKILL");
      const { stdout } = await bake.ended;
      kills.push(`${runner} after ${Math.round(waitMs)} ms: ${stdout.trim().split("\n").at(-1)?.slice(0, 200) ?? ""}`);
      expect(
        await kitchen.leftovers({ except: "work/" }).then((left) => left.filter((text) => !isFile(text) && !text.startsWith("cgroup"))),
        kills.join("\n"),
      ).toEqual([]);
    }
    expect((await kitchen.bake(["--no-cache"])).digests, kills.join("\n")).toEqual(calm.digests);
    expect(await kitchen.leftovers(), kills.join("\n")).toEqual([]);
    expect(await kitchen.inspect(), kills.join("\n")).toEqual({ images: 4, running: 0, misses: 0, problems: [] });
  }, 300_000);
});

/** Files on their way to their place wait for the next run, and so do the cgroups of runc. */
const isFile = (left: string): boolean => !/^(process|mount|loop device) /.test(left);

describe("kill -9 while runc runs a step", () => {
  it("the next bake removes the cgroups that runc left", async () => {
    kitchen.steps("- run: touch /srv/here; sleep 600");
    const bake = kitchen.start(["bake", "--events", "--runner", "runc"]);
    const cgroups = async () => (await kitchen.leftovers({ except: "work/", tries: 0 })).filter((left) => left.startsWith("cgroup"));
    while ((await cgroups()).length === 0) await new Promise((resolve) => setTimeout(resolve, 50));
    bake.child.kill("SIGKILL");
    await bake.ended;
    expect(await cgroups()).not.toEqual([]);
    kitchen.steps("- run: touch /srv/here");
    await kitchen.bake();
    expect(await kitchen.leftovers()).toEqual([]);
  }, 120_000);
});

describe("kill -9 while the lock is written", () => {
  const lock = () => join(kitchen.recipe, "bakehouse.lock");
  const files = () => readdirSync(kitchen.recipe).filter((name) => name.includes("lock"));

  it.each(["lock-resolved", "lock-text-written"])(
    "%s: the lock is the old one or the new one, and the next run leaves no other file",
    async (point) => {
      kitchen.steps("- run: echo 1 > /srv/1");
      expect((await kitchen.cli(["lock"])).code).toBe(0);
      const before = readFileSync(lock(), "utf8");
      kitchen.layers(
        "app:\n  from: os\n  steps:\n    - run: echo 1 > /srv/1\nother:\n  from: image:tiny/os\n  steps:\n    - run: echo 2 > /srv/2",
      );
      const killed = await kitchen.cli(["lock"], { env: { BAKEHOUSE_CRASH_AT: point } });
      expect(killed.code).toBe("SIGKILL");
      expect(readFileSync(lock(), "utf8")).toBe(before);
      expect((await kitchen.cli(["lock"])).code).toBe(0);
      expect(readFileSync(lock(), "utf8")).not.toBe(before);
      expect(files()).toEqual(["bakehouse.lock"]);
      expect(existsSync(lock())).toBe(true);
    },
  );
});
