import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { fixtureStore, put, type FixtureStore } from "../../test/image-store.ts";
import type { ImageDigest } from "../core/digest.ts";
import { openImages, type ImageParts } from "../presets/images.ts";
import { collectGarbage, type CollectGarbageOptions, type GarbageItem, type GarbageReport } from "./collect-garbage.ts";
import { mountImage, unmountImage } from "./mount-image.ts";
import { verifyStore } from "./verify-store.ts";

let fixture: FixtureStore;
let images: ImageParts;
let base: ImageDigest;
let releases: readonly ImageDigest[];

const OLD = "2020-01-01T00:00:00.000Z";

beforeEach(async () => {
  fixture = fixtureStore();
  base = await fixture.bake({
    name: "shop/base",
    steps: [{ address: "base/copy", bakedAt: OLD, change: (upper) => put(upper, { "etc/motd": "hello\n" }) }],
  });
  const made: ImageDigest[] = [];
  for (const version of [1, 2, 3, 4, 5]) {
    made.push(
      await fixture.bake({
        name: "shop/release",
        parent: base,
        bakedAt: `2026-01-0${version}T00:00:00.000Z`,
        steps: [{ address: "release/copy", bakedAt: OLD, change: (upper) => put(upper, { "srv/app": 1000 * version }) }],
      }),
    );
  }
  releases = made;
  images = openImages({ store: fixture.store.root });
});

afterEach(async () => {
  await images.close();
  fixture.remove();
});

const collect = async (options: Partial<CollectGarbageOptions> = {}): Promise<GarbageReport> =>
  collectGarbage(
    {
      store: images.store,
      contents: await images.contents(),
      mounts: await images.mounts(),
      cells: await images.cells(),
      clock: images.clock,
      catalog: images.catalog,
    },
    {
      apply: false,
      keep: 3,
      recentMs: 0,
      packagesOlderThanMs: 30 * 86_400_000,
      packages: false,
      signal: new AbortController().signal,
      ...options,
    },
  );

const going = ({ items }: GarbageReport, kind?: GarbageItem["kind"]): string[] =>
  items.filter((item) => !item.keep && (kind === undefined || item.kind === kind)).map(({ id }) => id);
const whyOf = ({ items }: GarbageReport, id: string): string | undefined => items.find((item) => item.id === id)?.why;
const isSound = async (): Promise<boolean> =>
  (
    await verifyStore(
      { store: images.store, contents: await images.contents(), clock: images.clock, catalog: images.catalog },
      { deep: true, repair: false, signal: new AbortController().signal, onProgress: () => undefined },
    )
  ).sound;

describe("collecting garbage", () => {
  it("only says what would go, and why each thing is kept or goes", async () => {
    const before = fixture.store.blobs.list();
    const report = await collect();
    expect(report).toMatchObject({ applied: false, running: [] });
    expect(going(report, "image").sort()).toEqual(releases.slice(0, 2).sort());
    expect(whyOf(report, releases[4]!)).toBe("has a name");
    expect(whyOf(report, releases[3]!)).toBe("among the newest 3 of shop/release");
    expect(whyOf(report, releases[0]!)).toMatch(/moved on/);
    expect(whyOf(report, base)).toBe("has a name");
    expect(report.items.every(({ why }) => why !== "")).toBe(true);
    expect(report.removedBytes).toBeGreaterThan(0);
    expect(fixture.store.blobs.list()).toEqual(before);
    expect(fixture.store.images.entries()).toHaveLength(6);
  });

  it("removes images, records, diffs and blobs that nothing refers to, and nothing else", async () => {
    const goingDiffs = releases.slice(0, 2).map((image) => fixture.store.diffs.name(fixture.diffsOf(image)[1]!));
    const report = await collect({ apply: true });
    expect(going(report, "diff").sort()).toEqual(goingDiffs.sort());
    expect(fixture.store.diffs.list()).toHaveLength(4);
    expect(
      fixture.store.images
        .entries()
        .map(({ digest }) => digest)
        .sort(),
    ).toEqual([base, ...releases.slice(2)].sort());
    expect(fixture.store.steps.all()).toHaveLength(4);
    expect(fixture.store.blobs.list()).toHaveLength(4 * 3);
    expect(await isSound()).toBe(true);
    expect(going(await collect({ apply: true }))).toEqual([]);
  });

  it("keeps what an image was baked onto, also when its own name has moved on", async () => {
    for (const motd of ["two", "three"])
      await fixture.bake({
        name: "shop/base",
        steps: [{ address: "base/copy", bakedAt: OLD, change: (upper) => put(upper, { "etc/motd": motd }) }],
      });
    const report = await collect({ apply: true, keep: 1 });
    expect(whyOf(report, base)).toMatch(/shop\/release .* stands on it/);
    expect(await isSound()).toBe(true);
  });

  it("keeps a volume's root, and the volume's own blob", async () => {
    const root = await fixture.bake({
      name: "site/base",
      steps: [{ address: "base/copy", bakedAt: OLD, change: (upper) => put(upper, { a: "a" }) }],
    });
    await fixture.bakeVolume({ name: "site/release", root, path: "/srv", change: (directory) => put(directory, { b: "b" }) });
    await fixture.bake({
      name: "site/base",
      bakedAt: "2030-01-01T00:00:00.000Z",
      steps: [{ address: "base/copy", bakedAt: OLD, change: (upper) => put(upper, { a: "other" }) }],
    });
    const report = await collect({ apply: true, keep: 1 });
    expect(whyOf(report, root)).toMatch(/site\/release .* stands on it/);
    expect(await isSound()).toBe(true);
  });

  it("keeps steps that no image is made of yet while they are recent, with what they brought", async () => {
    const fresh = await fixture.bake({
      name: "half/one",
      steps: [{ address: "one/copy", change: (upper) => put(upper, { half: "done" }) }],
    });
    const [diff] = fixture.diffsOf(fresh);
    await fixture.store.images.remove([fresh]);
    await collect({ apply: true, recentMs: 86_400_000 });
    expect(fixture.store.diffs.has(diff!)).toBe(true);
    expect(fixture.store.blobs.has(diff!)).toBe(true);
    const report = await collect({ apply: true });
    expect(going(report, "step")).toHaveLength(1);
    expect(fixture.store.diffs.has(diff!)).toBe(false);
    expect(fixture.store.blobs.has(diff!)).toBe(false);
  });

  it("removes neither blobs nor diffs while a bake runs, which may have just taken them from the cache", async () => {
    const catalog = await images.catalog();
    await catalog.startBake({
      id: "20260101-000000-abcdef",
      recipe: "shop",
      file: "/x",
      startedAt: new Date().toISOString(),
      outcome: "running",
      by: "me",
    });
    const before = [fixture.store.blobs.list(), fixture.store.diffs.list(), fixture.store.steps.all().length];
    const report = await collect({ apply: true });
    expect(report.running).toEqual(["20260101-000000-abcdef"]);
    expect(report.notes).toEqual([expect.stringContaining("is running")]);
    expect([fixture.store.blobs.list(), fixture.store.diffs.list(), fixture.store.steps.all().length]).toEqual(before);
    await catalog.endBake("20260101-000000-abcdef", { outcome: "completed", endedAt: new Date().toISOString() }, []);
    await collect({ apply: true });
    expect(fixture.store.diffs.list()).toHaveLength(4);
  });

  it("keeps what a mount stands on", async () => {
    const directory = mkdtempSync(join(tmpdir(), "bakehouse-gc-"));
    const mounting = { store: images.store, clock: images.clock, trees: await images.trees(), mounts: await images.mounts() };
    await mountImage(mounting, releases[0]!, directory);
    try {
      const report = await collect({ apply: true, keep: 1 });
      expect(report.items.find(({ kind }) => kind === "mount")).toMatchObject({ keep: true, why: `mounted at ${directory}` });
      expect(fixture.store.diffs.has(fixture.diffsOf(base)[0]!)).toBe(true);
      expect(report.items.find(({ kind, why }) => kind === "diff" && why.includes(directory))).toMatchObject({ keep: true });
    } finally {
      await unmountImage(mounting, "all");
      rmSync(directory, { recursive: true });
    }
  });

  it("keeps the work of living processes and kept failures with what they stand on, and removes that of dead ones", async () => {
    const [oldest] = releases;
    const diffs = fixture.diffsOf(oldest!);
    fixture.store.workFolder("20260101-000001-failed");
    fixture.store.keepWorkFolder("20260101-000001-failed", { folder: "x", address: "release/run", lowers: diffs, recipe: "/x" });
    fixture.store.workFolder("20260101-000002-alive");
    mkdirSync(fixture.store.path("work", "20260101-000003-dead"));
    writeFileSync(
      fixture.store.path("work", "20260101-000003-dead", "owner.json"),
      JSON.stringify({ pid: 999_999, startTime: 1, bootId: "another", host: hostname(), what: "bake" }),
    );
    const dry = await collect();
    expect(
      dry.items
        .filter(({ kind }) => kind === "work")
        .map(({ id, keep }) => [id, keep])
        .sort(),
    ).toEqual([
      ["20260101-000001-failed", true],
      ["20260101-000002-alive", true],
      ["20260101-000003-dead", false],
    ]);
    await collect({ apply: true, keep: 1 });
    expect(fixture.store.diffs.has(diffs[1]!)).toBe(true);
    fixture.store.releaseWorkFolder("20260101-000001-failed");
    fixture.store.releaseWorkFolder("20260101-000002-alive");
    await collect({ apply: true, keep: 1 });
    expect(fixture.store.diffs.has(diffs[1]!)).toBe(false);
  });

  it("removes what failed steps left when nobody looked at it for long", async () => {
    const folder = fixture.store.workFolder("20260101-000001-failed");
    fixture.store.keepWorkFolder("20260101-000001-failed", { folder: "x", address: "release/run", lowers: [], recipe: "/x" });
    const owner = fixture.store.path("work", "20260101-000001-failed", "owner.json");
    writeFileSync(owner, JSON.stringify({ pid: 999_999, startTime: 1, bootId: "another", host: hostname(), what: "bake" }));
    expect(whyOf(await collect({ recentMs: 60_000 }), "20260101-000001-failed")).toMatch(/kept for a look at a failed step/);
    expect(going(await collect({ apply: true, recentMs: 0 }), "work")).toEqual(["20260101-000001-failed"]);
    expect(existsSync(folder)).toBe(false);
    expect(fixture.store.kept()).toEqual([]);
  });

  it("removes packages that were not used for long, or all when asked", async () => {
    const folder = fixture.store.path("packages", "ab");
    mkdirSync(folder, { recursive: true });
    const young = join(folder, `${"ab".repeat(32)}.deb`);
    writeFileSync(young, "young");
    expect(going(await collect(), "packages")).toEqual([]);
    expect((await collect()).items.find(({ kind }) => kind === "packages")?.why).toMatch(/used in the last 30 days; locks may name it/);
    expect(going(await collect({ packagesOlderThanMs: 0, apply: false }), "packages")).toEqual([`packages/ab/${"ab".repeat(32)}.deb`]);
    await collect({ apply: true, packages: true });
    expect((await collect()).items.filter(({ kind }) => kind === "packages")).toEqual([]);
  });

  it("removes machines to clone whose image is gone or that nobody used for long, and none that an instance runs from", async () => {
    const kept = (key: string, image: ImageDigest): void => {
      mkdirSync(fixture.store.path("vm-snapshots", key), { recursive: true });
      writeFileSync(fixture.store.path("vm-snapshots", key, "memory"), "x".repeat(1000));
      fixture.store.writeNote(`vm-snapshots/${key}/snapshot.json`, { image });
    };
    const gone: ImageDigest = `sha256:${"9".repeat(64)}`;
    kept("gone", gone);
    kept("runs", gone);
    kept("there", releases[4] ?? base);
    mkdirSync(fixture.store.path("fleets", "shop", "web", "instances"), { recursive: true });
    fixture.store.writeNote("fleets/shop/web/instances/web-1-ab.json", { id: "web-1-ab", snapshot: "runs" });
    fixture.store.writeNote("fleets/shop/web/instances/web-2-cd.json", { id: "web-2-cd", snapshot: "gone", endedAt: OLD });
    const report = await collect();
    expect(going(report, "snapshots")).toEqual(["vm-snapshots/gone"]);
    expect(whyOf(report, "vm-snapshots/runs")).toBe("machine to clone: web-1-ab runs from it");
    expect(whyOf(report, "vm-snapshots/gone")).toBe("machine to clone: the image is gone");
    expect(going(await collect({ packagesOlderThanMs: 0, apply: true }), "snapshots")).toEqual(["vm-snapshots/gone", "vm-snapshots/there"]);
    expect(readdirSync(fixture.store.path("vm-snapshots"))).toEqual(["runs"]);
  });

  it("refuses to guess when the index cannot be read", async () => {
    writeFileSync(fixture.store.path("oci", "index.json"), "{");
    await expect(collect({ apply: true })).rejects.toMatchObject({ code: "STORE_DAMAGED" });
    expect(fixture.store.diffs.list()).toHaveLength(6);
  });

  it("removes half-written files of others only when they are old", async () => {
    const file = fixture.store.path("steps", ".tmp-1-x-0");
    writeFileSync(file, "half");
    expect(going(await collect(), "temporary")).toEqual([]);
    utimesSync(file, 1, 1);
    // the inode's own time cannot be set back, so it still counts as used just now
    expect((await collect()).items.find(({ kind }) => kind === "temporary")).toMatchObject({ keep: true });
  });
});
