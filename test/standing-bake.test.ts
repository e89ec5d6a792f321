import { readdirSync, readFileSync, renameSync, rmSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Kitchen } from "./bad-luck/kitchen.ts";

let kitchen: Kitchen;
const STEPS = '- copy: { from: app, to: /srv/app }\n- run: echo "{{version}}" > /srv/version';
const PARAMETERS = "parameters:\n  version: { type: string, default: one }\n";

beforeEach(async () => {
  kitchen = await Kitchen.open();
  kitchen.write("app/a.txt", "a");
  kitchen.write("app/b.txt", "b");
  kitchen.steps(STEPS, PARAMETERS);
});
afterEach(() => kitchen.close());

const noteOf = (): string => readdirSync(join(kitchen.store, "plans")).find((name) => name.startsWith("standing-")) ?? "";
const result = async (...args: readonly string[]): Promise<Record<string, unknown>> => {
  const { durationMs: _, ...rest } = JSON.parse((await kitchen.cli(["bake", "--json", ...args])).stdout) as Record<string, unknown>;
  return rest;
};

/** Notes a digest that no bake gave, so that whoever believes the note says it. */
function forge(): string {
  const file = join(kitchen.store, "plans", noteOf());
  const note = JSON.parse(readFileSync(file, "utf8")) as { hits: number };
  writeFileSync(file, JSON.stringify({ ...note, hits: 77 }));
  return file;
}

describe("a bake with nothing to do", () => {
  it("believes the note of the last one, and gives what it would give without", async () => {
    await kitchen.bake();
    const believed = await result();
    expect(believed).toMatchObject({ hits: 3, baked: 0 });
    rmSync(join(kitchen.store, "plans", noteOf()));
    expect(await result()).toEqual(believed);
    expect(noteOf()).not.toBe(""); // noted again
    forge();
    expect(await result()).toMatchObject({ hits: 77 });
    expect(await result("--set", "version=one")).toMatchObject({ hits: 3 });
  });

  it.each<readonly [string, () => unknown]>([
    ["a file has other bytes", () => kitchen.write("app/a.txt", "A")],
    ["a file came", () => kitchen.write("app/c.txt", "c")],
    ["a file went", () => rmSync(join(kitchen.recipe, "app/b.txt"))],
    ["a file became a link", () => (rmSync(join(kitchen.recipe, "app/b.txt")), symlinkSync("a.txt", join(kitchen.recipe, "app/b.txt")))],
    ["the recipe has another text", () => kitchen.steps(`${STEPS} # more`, PARAMETERS)],
    ["a lock came", () => kitchen.write("bakehouse.lock", "{}")],
    ["a blob is gone", () => rmSync(join(kitchen.store, "oci/blobs/sha256", String(standing().diffs.at(-1)).slice(7)))],
    ["an unpacked diff is gone", () => rmSync(join(kitchen.store, "diffs"), { recursive: true })],
    ["a name is another image's", () => editIndex((text) => text.replaceAll("tiny/app", "tiny/other"))],
    ["the index is gone", () => rmSync(join(kitchen.store, "oci/index.json"))],
    ["the note is cut off", () => truncateSync(join(kitchen.store, "plans", noteOf()), 40)],
    ["another build wrote it", () => editNote((text) => text.replace(/"build":"[^"]*"/, '"build":"x"'))],
  ])("does not believe it when %s", async (_, change) => {
    await kitchen.bake();
    forge();
    change();
    expect((await kitchen.cli(["bake", "--json"])).stdout).not.toContain('"hits": 77');
  });

  it("is not noted where warnings would be lost, nor used where a step is to be baked again", async () => {
    await kitchen.bake();
    forge();
    expect(await result("--from", "app/run")).toMatchObject({ baked: 1 });
    expect(await result("--no-cache")).toMatchObject({ baked: 3 });
    kitchen.steps(STEPS, `${PARAMETERS}  idle: { type: string, default: x }\n`);
    for (let turn = 0; turn < 3; turn++) expect((await kitchen.cli(["bake"])).stderr).toContain("nothing uses this parameter");
  });

  it("is told apart by recipe file", async () => {
    await kitchen.bake();
    renameSync(join(kitchen.recipe, "bakehouse.yaml"), join(kitchen.recipe, "other.yaml"));
    expect((await kitchen.cli(["bake", "--json"])).code).toBe(2);
    expect(await result("other.yaml")).toMatchObject({ hits: 3, recipe: "other.yaml" });
  });
});

const standing = (): { readonly diffs: readonly string[] } =>
  JSON.parse(readFileSync(join(kitchen.store, "plans", noteOf()), "utf8")) as { readonly diffs: readonly string[] };

function edit(file: string, change: (text: string) => string): void {
  writeFileSync(file, change(readFileSync(file, "utf8")));
}
const editIndex = (change: (text: string) => string): void => edit(join(kitchen.store, "oci/index.json"), change);
const editNote = (change: (text: string) => string): void => edit(join(kitchen.store, "plans", noteOf()), change);
