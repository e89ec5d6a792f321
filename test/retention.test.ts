import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Kitchen, errorOf } from "./bad-luck/kitchen.ts";

interface Item {
  readonly kind: string;
  readonly id: string;
  readonly name?: string;
  readonly keep: boolean;
  readonly why: string;
  readonly until?: string;
}

const NOTIFY = "notify: { log: { file: events.jsonl, events: [gc.*] } }\n";
const GRACE = `retention: { keep: 1, grace: 7d }\n${NOTIFY}`;
const COPY = "- copy: { from: app, to: /srv/app }";

let kitchen: Kitchen;
/** Digests of three images of tiny/app, the oldest first. */
let baked: readonly string[];

beforeEach(async () => {
  kitchen = await Kitchen.open();
  const digests: string[] = [];
  for (const text of ["one", "two", "three"]) {
    kitchen.write("app/page", `${text}\n`);
    kitchen.steps(COPY, GRACE);
    digests.push((await kitchen.bake()).digests["app"] ?? "");
  }
  baked = digests;
});
afterEach(() => kitchen.close());

const gc = async (args: readonly string[] = [], env: Readonly<Record<string, string>> = {}) => {
  const run = await kitchen.cli(["gc", "--json", "--recent", "0", ...args], { env });
  if (run.code !== 0) throw new Error(`gc ended with ${run.code}: ${run.stderr}`);
  return JSON.parse(run.stdout) as { readonly items: readonly Item[]; readonly removedBytes: number; readonly notes: readonly string[] };
};
const images = (items: readonly Item[]): readonly string[] =>
  items
    .filter(({ kind, name }) => kind === "image" && name === "tiny/app")
    .map(({ id, keep, until }) => `${baked.indexOf(id)} ${keep ? "stays" : until === undefined ? "goes" : "set aside"}`)
    .toSorted();
const listed = async (): Promise<readonly number[]> => {
  const run = await kitchen.cli(["images", "--json", "--all"]);
  const { images: all } = JSON.parse(run.stdout) as { readonly images: readonly { readonly digest: string; readonly name: string }[] };
  return all.flatMap(({ digest }) => (baked.includes(digest) ? [baked.indexOf(digest)] : [])).toSorted();
};

const NOTE = (): string => join(kitchen.store, "set-aside.json");
/** As if the grace time of everything were over. */
const endGrace = (): void => {
  const note = JSON.parse(readFileSync(NOTE(), "utf8")) as { readonly images: readonly { until: string }[] };
  for (const image of note.images) image.until = "2020-01-01T00:00:00.000Z";
  writeFileSync(NOTE(), JSON.stringify(note));
};
const sound = async (): Promise<void> => {
  expect(await kitchen.leftovers()).toEqual([]);
  expect((await kitchen.inspect()).problems).toEqual([]);
};

describe("retention", () => {
  it("sets aside what its recipe lets go, brings it back, and removes it when the time is over", async () => {
    expect(images((await gc(["--plan"])).items)).toEqual(["0 set aside", "1 set aside", "2 stays"]);
    expect(await listed()).toEqual([0, 1, 2]);
    await gc(["--apply"]);
    expect(await listed()).toEqual([2]);
    const plan = (await gc(["--plan"])).items;
    expect(images(plan)).toEqual(["0 stays", "1 stays", "2 stays"]);
    expect(plan.find(({ id }) => id === baked[0])?.why).toMatch(/^set aside on .* bakehouse gc --restore /);
    const restored = await kitchen.cli(["gc", "--restore", baked[0] ?? ""]);
    expect(restored.stdout).toContain("Brought back tiny/app");
    expect(await listed()).toEqual([0, 2]);
    expect((await kitchen.cli(["gc", "--restore", baked[0] ?? ""])).stdout).toContain("is here already");
    endGrace();
    const last = await gc(["--apply"]);
    expect(images(last.items)).toEqual(["0 stays", "1 goes", "2 stays"]);
    expect(last.items.find(({ id }) => id === baked[0])?.why).toContain("was brought back");
    expect(last.removedBytes).toBeGreaterThan(0);
    const gone = await kitchen.cli(["gc", "--restore", baked[1] ?? "", "--json"]);
    expect([gone.code, errorOf(gone).code]).toEqual([2, "IMAGE_NOT_FOUND"]);
    await sound();
    const told = readFileSync(join(kitchen.recipe, "events.jsonl"), "utf8")
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as object);
    expect(told).toMatchObject([
      { type: "gc.completed", subject: "tiny", data: { removed: [], setAside: expect.arrayContaining([baked[0], baked[1]]) as unknown } },
      { type: "gc.completed", data: { removed: [baked[1]], setAside: [] } },
    ]);
  });

  it("bakes again what is set aside, without a second copy", async () => {
    await gc(["--apply"]);
    kitchen.write("app/page", "one\n");
    const again = await kitchen.bake();
    expect(again.digests["app"]).toBe(baked[0]);
    expect(await listed()).toEqual([0, 2]);
    endGrace();
    // the name is at 0 again, and 2 is the one that has moved on
    expect(images((await gc(["--apply"])).items)).toEqual(["0 stays", "1 goes", "2 set aside"]);
    await sound();
  });

  it("removes at once what has no grace time, keeps what channels need, and counts by channel", async () => {
    kitchen.steps(COPY, `retention: { keep: 1, channels: { dev: 1 } }\nchannels: { dev: {} }\n`);
    for (const digest of baked.slice(0, 2)) await kitchen.cli(["promote", digest, "--to", "dev"]);
    const report = await gc(["--apply"]);
    expect(images(report.items)).toEqual(["0 goes", "1 stays", "2 stays"]);
    expect(report.items.find(({ id }) => id === baked[1])?.why).toBe("tiny/app@dev points to it");
    await sound();
  });

  it("lets nothing go of a recipe that is broken, and forgets the rules of one that is gone", async () => {
    kitchen.write("bakehouse.yaml", "name: tiny\nlayers: [\n");
    const broken = await gc(["--keep", "1"]);
    expect(images(broken.items)).toEqual(["0 stays", "1 stays", "2 stays"]);
    expect(broken.notes.join()).toContain("cannot be read, so nothing of its images goes");
    rmSync(join(kitchen.recipe, "bakehouse.yaml"));
    expect(images((await gc(["--keep", "1"])).items)).toEqual(["0 goes", "1 goes", "2 stays"]);
    expect(images((await gc(["--keep", "1", "--grace", "1d"])).items)).toEqual(["0 set aside", "1 set aside", "2 stays"]);
  });

  it("keeps what is set aside through further runs", async () => {
    await gc(["--apply"]);
    await gc(["--apply"]);
    expect((await kitchen.cli(["gc", "--restore", baked[0] ?? "", "--restore", baked[1] ?? ""])).code).toBe(0);
    expect(await listed()).toEqual([0, 1, 2]);
    await sound();
  });
});

describe("kill -9 of gc", () => {
  it.each(["gc-set-aside", "gc-index-written", "gc-records-removed"])("at %s, while it sets aside: nothing is lost", async (point) => {
    expect((await kitchen.cli(["gc", "--apply", "--recent", "0"], { env: { BAKEHOUSE_CRASH_AT: point } })).code).toBe("SIGKILL");
    await gc(["--apply"]);
    expect(await listed()).toEqual([2]);
    expect((await kitchen.cli(["gc", "--restore", baked[0] ?? "", "--restore", baked[1] ?? ""])).code).toBe(0);
    expect(await listed()).toEqual([0, 1, 2]);
    await sound();
  });

  it.each(["gc-set-aside", "gc-index-written", "gc-records-removed", "gc-blob-removed"])(
    "at %s, while it removes: the next one finishes",
    async (point) => {
      await gc(["--apply"]);
      endGrace();
      expect((await kitchen.cli(["gc", "--apply", "--recent", "0"], { env: { BAKEHOUSE_CRASH_AT: point } })).code).toBe("SIGKILL");
      await gc(["--apply"]);
      const rest = await gc();
      expect(rest.items.filter(({ keep }) => !keep)).toEqual([]);
      expect(await listed()).toEqual([2]);
      expect(existsSync(NOTE()) && readFileSync(NOTE(), "utf8").includes(baked[0] ?? "?")).toBe(false);
      await sound();
      kitchen.write("app/page", "one\n");
      expect((await kitchen.bake()).digests["app"]).toBe(baked[0]);
    },
  );
});
