import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { copyTree, tinyStore } from "../shared-store.ts";
import { type Bake, type CliRun, errorOf, Kitchen } from "./kitchen.ts";

let kitchen: Kitchen;
let calm: Bake;
beforeEach(async () => {
  kitchen = await Kitchen.open();
  kitchen.steps("- name: one\n  run: seq 1 5000 > /srv/one\n- name: two\n  run: wc -l /srv/one > /srv/two");
  calm = await kitchen.bake();
});
afterEach(() => kitchen.close());

/** No stack, a code, and something to do next. */
function expectPlain(run: CliRun): void {
  expect(run.stderr).not.toMatch(/^ +at .*:\d+:\d+/m);
  expect(run.stderr).not.toMatch(/FAULT/);
}

interface Index {
  readonly manifests: readonly { readonly digest: string }[];
}
const blob = (digest: string): string => join(kitchen.store, "oci/blobs/sha256", digest.slice(7));
const json = (path: string): unknown => JSON.parse(readFileSync(path, "utf8"));
const recordOf = (address: string): { readonly diffId: string } =>
  readdirSync(join(kitchen.store, "steps"))
    .map((name) => json(join(kitchen.store, "steps", name)) as { readonly address: string; readonly diffId: string })
    .find((record) => record.address === address) ?? { diffId: "" };

describe("a store with damage", () => {
  it.each([
    ["a layer's blob that is gone", () => rmSync(blob(recordOf("app/two").diffId))],
    [
      "an unpacked diff that is gone",
      () => rmSync(join(kitchen.store, "diffs", recordOf("app/one").diffId.slice(7, 23)), { recursive: true }),
    ],
    [
      "a step's record that is cut off",
      () => readdirSync(join(kitchen.store, "steps")).forEach((name) => truncateSync(join(kitchen.store, "steps", name), 20)),
    ],
    ["no step records at all", () => rmSync(join(kitchen.store, "steps"), { recursive: true })],
    ["no index", () => rmSync(join(kitchen.store, "oci/index.json"))],
    ["a manifest that is gone", () => rmSync(blob(calm.digests["app"] ?? ""))],
    ["no catalog", () => rmSync(join(kitchen.store, "catalog.db"))],
    ["a catalog that is cut off", () => truncateSync(join(kitchen.store, "catalog.db"), 5000)],
    ["a catalog that is something else", () => writeFileSync(join(kitchen.store, "catalog.db"), "x".repeat(9000))],
    ["a lock file that is something else", () => writeFileSync(join(kitchen.store, "locks.db"), "x".repeat(9000))],
    [
      "notes and hashes that are cut off",
      () =>
        [...readdirSync(join(kitchen.store, "plans")).map((name) => `plans/${name}`), "stat-cache.json"].forEach((name) =>
          truncateSync(join(kitchen.store, name), 7),
        ),
    ],
  ])("%s bakes the same image again", async (_, damage) => {
    damage();
    kitchen.steps(
      "- name: one\n  run: seq 1 5000 > /srv/one\n- name: two\n  run: wc -l /srv/one > /srv/two\n- name: three\n  run: echo > /srv/three",
    );
    await kitchen.bake();
    kitchen.steps("- name: one\n  run: seq 1 5000 > /srv/one\n- name: two\n  run: wc -l /srv/one > /srv/two");
    expect((await kitchen.bake()).digests).toEqual(calm.digests);
    expect(await kitchen.inspect()).toMatchObject({ running: 0, misses: 0, problems: [] });
    expect(await kitchen.leftovers()).toEqual([]);
  });

  it("a catalog that is damaged is rebuilt from the images, and kept aside", async () => {
    truncateSync(join(kitchen.store, "catalog.db"), 5000);
    const run = await kitchen.cli(["bakes"]);
    expectPlain(run);
    expect(run.stderr).toMatch(/catalog was damaged.*history of bakes/s);
    expect(readdirSync(kitchen.store).filter((name) => name.startsWith("catalog.db.damaged-"))).toHaveLength(1);
    const { DatabaseSync } = await import("node:sqlite");
    const database = new DatabaseSync(join(kitchen.store, "catalog.db"));
    expect(database.prepare("SELECT count(*) AS count FROM images").get()).toEqual({ count: 2 });
    database.close();
  });

  it("an index that is damaged is told, with what repairs it, and can be repaired", async () => {
    truncateSync(join(kitchen.store, "oci/index.json"), 50);
    const run = await kitchen.cli(["bake", "--json"]);
    expect(errorOf(run)).toMatchObject({ code: "STORE_DAMAGED", hint: "bakehouse verify --repair" });
    expectPlain(run);
    expectPlain(await kitchen.cli(["verify", "--repair"]));
    expect((await kitchen.bake()).digests).toEqual(calm.digests);
    expect((json(join(kitchen.store, "oci/index.json")) as Index).manifests.length).toBeGreaterThanOrEqual(2);
  });

  it.each([
    ["one byte of a layer", (file: string) => flip(file, 700)],
    ["the second half of a layer", (file: string) => truncateSync(file, Math.floor(statSync(file).size / 2))],
  ])("%s is found by verify, repaired, and then baked as before", async (_, damage) => {
    damage(blob(recordOf("app/one").diffId));
    const found = await kitchen.cli(["verify", "--json"]);
    expect(found.code).not.toBe(0);
    expect(found.stdout + found.stderr).toContain(recordOf("app/one").diffId.slice(7, 19));
    expectPlain(await kitchen.cli(["verify", "--repair"]));
    expect((await kitchen.bake()).digests).toEqual(calm.digests);
    expect(await kitchen.cli(["verify"])).toMatchObject({ code: 0 });
  });
});

function flip(file: string, at: number): void {
  const bytes = readFileSync(file);
  bytes[at] = (bytes[at] ?? 0) ^ 1;
  writeFileSync(file, bytes);
}

describe("a store that cannot be written", () => {
  it("on a read-only mount: says so for a bake, and still tells that nothing changed, plans and lists", async () => {
    const mounts = await kitchen.privateMounts();
    await mounts.run(`mount --bind ${kitchen.store} ${kitchen.store}; mount -o remount,bind,ro ${kitchen.store}`);
    const { under } = mounts;
    expect((await kitchen.bake([], { under })).digests).toEqual(calm.digests);
    for (const command of [["plan"], ["images"], ["image", "show", "tiny/app"], ["bakes"], ["logs"]]) {
      const run = await kitchen.cli(command, { under });
      expectPlain(run);
      expect([command, run.code]).toEqual([command, 0]);
    }
    kitchen.steps("- run: echo another > /srv/another");
    const run = await kitchen.cli(["bake", "--json"], { under });
    expect(errorOf(run)).toMatchObject({ code: "STORE_READ_ONLY", hint: expect.stringContaining("--store") });
    expect(run.code).toBe(3);
    mounts.end();
  });

  it("by somebody who may not: says so, and plans all the same", async () => {
    chmodSync(kitchen.folder, 0o755);
    const under = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"];
    const plan = await kitchen.cli(["plan", "--json"], { under });
    expectPlain(plan);
    expect([plan.code, plan.stderr]).toEqual([0, ""]);
    kitchen.steps("- run: echo another > /srv/another");
    const run = await kitchen.cli(["bake", "--json"], { under });
    expectPlain(run);
    expect(["STORE_READ_ONLY", "SETUP_INCOMPLETE"]).toContain(errorOf(run).code);
    expect(run.code).toBe(3);
  });
});

describe("a store in an odd place", () => {
  const app = () => calm.digests["app"];

  it("made by a newer Bakehouse is left alone", async () => {
    writeFileSync(join(kitchen.store, "format"), "2\n");
    const run = await kitchen.cli(["bake", "--json"]);
    expect(errorOf(run)).toMatchObject({
      code: "STORE_TOO_NEW",
      message: expect.stringContaining("format 2; this Bakehouse knows up to 1"),
    });
    expect(run.code).toBe(3);
  });

  it("that is no store is left alone", async () => {
    const folder = join(kitchen.folder, "thesis");
    mkdirSync(folder);
    writeFileSync(join(folder, "chapter-1.tex"), "");
    expect(errorOf(await kitchen.cli(["bake", "--json"], { store: folder })).code).toBe("STORE_DAMAGED");
    expect(readdirSync(folder)).toEqual(["chapter-1.tex"]);
  });

  it("that was only begun is finished", async () => {
    const folder = join(kitchen.folder, "begun");
    mkdirSync(join(folder, "oci"), { recursive: true });
    writeFileSync(join(folder, ".tmp-4194305-x-0"), "");
    expect((await kitchen.bake([], { store: folder })).digests).toEqual(calm.digests);
    expect(existsSync(join(folder, ".tmp-4194305-x-0"))).toBe(false);
  });

  it.each([
    ["with spaces, quotes and more: $HOME, 'a' \"b\" \\ `c` *?[x];&|#%"],
    ["ünïcödé 🥖 パン"],
    ["-begins-with-a-hyphen"],
    ["with,commas:and=colons"],
  ])("called %j works", async (name) => {
    const store = join(kitchen.folder, name, "store");
    copyTree(await tinyStore(), store);
    for (const runner of ["bubblewrap", "runc"])
      expect((await kitchen.bake(["--runner", runner, "--from", "app/one"], { store })).digests["app"]).toBe(app());
  });

  it("with a line end in its name is refused", async () => {
    expect(errorOf(await kitchen.cli(["bake", "--json"], { store: join(kitchen.folder, "two\nlines") })).code).toBe("USAGE");
  });

  it("given as a relative path is found from where one stands", async () => {
    renameSync(kitchen.store, join(kitchen.recipe, "my store"));
    expect(await kitchen.bake([], { store: "my store" })).toMatchObject({ baked: 0 });
    expect(await kitchen.bake([], { store: "./my store/../my store/" })).toMatchObject({ baked: 0 });
    renameSync(join(kitchen.recipe, "my store"), kitchen.store);
  });

  it("on a very long path takes a recipe of seventy steps", async () => {
    const store = join(kitchen.folder, "long-".repeat(40), "path-".repeat(40), "store");
    copyTree(await tinyStore(), store);
    kitchen.steps(
      Array.from({ length: 70 }, (_, number) => `- file: { path: /srv/${number}, content: "${number}" }`)
        .map((step, number) => step.replace("- file", `- name: s${number}\n  file`))
        .concat("- run: ls /srv | wc -l | grep -qx 70")
        .join("\n"),
    );
    expect((await kitchen.bake([], { store })).baked).toBe(71);
  }, 120_000);
});
