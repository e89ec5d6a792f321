import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { bakeOf, Kitchen } from "./kitchen.ts";

let kitchen: Kitchen;
beforeEach(async () => {
  kitchen = await Kitchen.open();
});
afterEach(() => kitchen.close());

/** How often each step was baked, over all bakes, by what the log says that its script printed. */
const timesBaked = (): Readonly<Record<string, number>> => {
  const counts: Record<string, number> = {};
  for (const bake of kitchen.logs()) {
    const events = readFileSync(join(kitchen.store, "logs", bake, "events.jsonl"), "utf8")
      .trim()
      .split("\n");
    for (const event of events.map((line) => JSON.parse(line) as { type: string; step?: string }))
      if (event.type === "step-baked" && event.step !== undefined) counts[event.step] = (counts[event.step] ?? 0) + 1;
  }
  return counts;
};

describe("two bakes at once on one store", () => {
  it("of the same recipe bake each step once and give the same digests", async () => {
    kitchen.steps([1, 2, 3].map((number) => `- name: step-${number}\n  run: sleep 0.3; echo ${number} > /srv/${number}`).join("\n"));
    const runs = await Promise.all([0, 1, 2].map(() => kitchen.cli(["bake", "--json"])));
    expect(runs.map((run) => run.code)).toEqual([0, 0, 0]);
    const [first, ...others] = runs.map((run) => bakeOf(run).digests);
    for (const other of others) expect(other).toEqual(first);
    expect(timesBaked()).toMatchObject({ "app/step-1": 1, "app/step-2": 1, "app/step-3": 1 });
    expect(await kitchen.leftovers()).toEqual([]);
    expect(await kitchen.inspect()).toEqual({ images: 2, running: 0, misses: 0, problems: [] });
  });

  it("make a new store together", async () => {
    kitchen.steps("- run: echo 1 > /srv/1");
    for (const store of ["new-1", "new-2"].map((name) => join(kitchen.folder, name))) {
      const runs = await Promise.all([0, 1, 2, 3].map(() => kitchen.cli(["bake", "--json", "--layer", "os"], { store })));
      expect(runs.map((run) => [run.code, run.stderr.includes('"error"')])).toEqual(Array(4).fill([0, false]));
    }
  });

  it("of different recipes that share a base bake what they share once", async () => {
    const other = join(kitchen.folder, "other");
    mkdirSync(other);
    kitchen.layers(
      "base:\n  from: os\n  steps:\n    - run: sleep 0.5; echo base > /srv/base\napp:\n  from: base\n  steps:\n    - run: echo one > /srv/app",
    );
    writeFileSync(
      join(other, "bakehouse.yaml"),
      readFileSync(join(kitchen.recipe, "bakehouse.yaml"), "utf8").replace("name: tiny", "name: other").replace("echo one", "echo two"),
    );
    writeFileSync(join(other, "root.tar"), readFileSync(join(kitchen.recipe, "root.tar")));
    const runs = await Promise.all([kitchen.cli(["bake", "--json"]), kitchen.cli(["bake", "--json", other])]);
    expect(runs.map((run) => [run.code, run.stderr.includes("error")])).toEqual([
      [0, false],
      [0, false],
    ]);
    expect(timesBaked()).toMatchObject({ "base/run": 1, "app/run": 2 });
    expect(await kitchen.inspect()).toMatchObject({ images: 6, running: 0, problems: [] });
  });

  it("share what one of them is just baking, and take over when it is killed", async () => {
    kitchen.steps("- run: { file: slow.sh }");
    kitchen.write("slow.sh", "echo begun; sleep 2; echo done > /srv/done\n");
    const first = kitchen.start(["bake", "-v"]);
    await first.said(/begun/);
    const second = kitchen.start(["bake", "--json", "-v"]);
    await second.said(/app\/run: waiting for process \d+/);
    first.child.kill("SIGKILL");
    const run = await second.ended;
    expect(run.code).toBe(0);
    expect(run.stderr).toMatch(/begun/);
    expect(bakeOf(run).baked).toBe(1);
    await kitchen.bake();
    expect(await kitchen.leftovers()).toEqual([]);
    expect(await kitchen.inspect()).toEqual({ images: 2, running: 0, misses: 0, problems: [] });
  });

  it("takes over when the one that it waits for fails, and fails for itself", async () => {
    kitchen.steps("- run: echo begun; sleep 1; exit 9");
    const first = kitchen.start(["bake", "-v"]);
    await first.said(/begun/);
    const second = kitchen.start(["bake", "-v"]);
    await second.said(/waiting/);
    expect([(await first.ended).code, (await second.ended).code]).toEqual([1, 1]);
    expect(await kitchen.leftovers()).toEqual([]);
  });

  it("of independent layers in one recipe go on side by side, and one's failure stops the other", async () => {
    kitchen.layers(
      "a:\n  from: os\n  steps:\n    - run: echo begun-a; sleep 30\nb:\n  from: os\n  steps:\n    - run: echo begun-b; sleep 1; exit 4",
    );
    const bake = kitchen.start(["bake", "-v"]);
    await Promise.all([bake.said(/begun-a/), bake.said(/begun-b/)]);
    const run = await bake.ended;
    expect(run.code).toBe(1);
    expect(run.stderr).toMatch(/error STEP_FAILED b\/run/);
    expect(await kitchen.leftovers()).toEqual([]);
  });
});
