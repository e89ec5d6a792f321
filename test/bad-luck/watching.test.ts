import { mkdirSync, openSync, closeSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Kitchen } from "./kitchen.ts";

let kitchen: Kitchen;
beforeEach(async () => {
  kitchen = await Kitchen.open();
  kitchen.write("app/file", "one");
  kitchen.steps("- copy: { from: app, to: /srv/app }");
});
afterEach(() => kitchen.close());

const save = (text: string): void => kitchen.write("app/file", text);

describe("bake --watch", () => {
  it("bakes at every save, waits out what is broken, and ends with Ctrl-C", async () => {
    const watching = kitchen.start(["bake", "--watch", "--no-cache"]);
    await watching.said(/baked in[\s\S]*Watching tiny/);
    for (let count = 0; count < 10; count++) save(`quickly ${count}`);
    await watching.said(/app\/file: \S+ → \S+/);
    kitchen.steps("- cpoy: { from: app, to: /srv/app }");
    await watching.said(/error RECIPE_INVALID .*did you mean "copy"\?\)\nWatching/);
    kitchen.steps("- copy: { from: app, to: /srv/app }");
    rmSync(join(kitchen.recipe, "app"), { recursive: true });
    await watching.said(/error INPUT_INVALID .*bakehouse\.yaml:\d+:\d+: app\/copy: app: there is no such file/);
    mkdirSync(join(kitchen.recipe, "app"));
    save("again");
    await watching.said(/there is no such file[\s\S]*baked in[\s\S]*Watching/);
    watching.child.kill("SIGINT");
    const { code, stdout } = await watching.ended;
    expect(code).toBe(0);
    expect(stdout).toMatch(/^tiny\/app sha256:/m);
    expect((await kitchen.bake()).baked).toBe(0);
    expect(await kitchen.leftovers()).toEqual([]);
  });

  it("takes its own log in the recipe's folder for no change, and is silent when nothing changed", async () => {
    const log = join(kitchen.recipe, "watch.log");
    const output = openSync(log, "w");
    const watching = kitchen.start(["bake", "--watch"], {}, { stdio: ["ignore", output, output] });
    closeSync(output);
    const told = async (pattern: RegExp): Promise<string> => {
      for (;;) {
        const text = readFileSync(log, "utf8");
        if (pattern.test(text)) return text;
        await pause(50);
      }
    };
    await told(/Watching tiny/);
    save("one"); // the same again
    await pause(1000);
    save("two");
    const text = await told(/app\/file: [\s\S]*Watching tiny/);
    await pause(500);
    expect(readFileSync(log, "utf8")).toBe(text);
    expect(text.match(/Watching/g)).toHaveLength(2);
    watching.child.kill("SIGINT");
    await watching.ended;
  });
});
