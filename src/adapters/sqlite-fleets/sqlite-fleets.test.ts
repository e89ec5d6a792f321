import { execFileSync, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { ImageDigest } from "../../core/digest.ts";
import { DEFAULT_POLICY } from "../../core/fleet/default-policy.ts";
import type { LocalFleet } from "../../core/fleet/model.ts";
import { planRollout, type RolloutPlan } from "../../core/rollout/plan.ts";
import type { FleetRecords, FleetRolloutRecords, NewRollout } from "../../ports/fleet-records.ts";
import type { Owner } from "../../ports/store.ts";
import { openSqliteFleets } from "./sqlite-fleets.ts";

let folder: string;
let file: string;
let records: FleetRecords;
let others: FleetRecords[];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "bakehouse-fleets-"));
  file = join(folder, "fleets.db");
  others = [];
  records = open();
});
afterEach(() => {
  for (const each of others) each.close();
  rmSync(folder, { recursive: true });
});

const NOW = "2026-11-02T08:00:00.000Z";
const open = (options: Parameters<typeof openSqliteFleets>[1] = {}): FleetRecords => {
  const opened = openSqliteFleets(file, { now: () => new Date(NOW), ...options });
  others.push(opened);
  return opened;
};

const digest = (letter: string): ImageDigest => `sha256:${letter.repeat(64)}`;
const KEY = "shop/web";
const fleet: LocalFleet = {
  name: "web",
  provider: "local",
  size: 3,
  zones: ["a"],
  runs: { pinned: "shop" },
  health: { probe: { kind: "tcp", port: 80 }, intervalMs: 1, timeoutMs: 1, healthyAfter: 1, unhealthyAfter: 1 },
  launch: { files: {}, credentials: {}, environment: {} },
  first: [],
  neverFirst: [],
  freeze: [],
  windows: [],
  newRelease: "refuse",
  secrets: ["token"],
};
const SOURCE = new URL("./sqlite-fleets.ts", import.meta.url).href;
const READ = `import { openSqliteFleets } from ${JSON.stringify(SOURCE)};
  const records = openSqliteFleets(process.argv[1], { readOnly: true });
  if (records.fleets().length !== 1) throw new Error("the fleet is not there");`;
const secrets = { token: { env: "TOKEN" }, unused: { env: "OTHER" } } as never;
const declare = (more: Partial<LocalFleet> = {}, from = records) =>
  from.declare({ name: "shop", secrets }, "/shop/bakehouse.yaml", { ...fleet, ...more });

function plan(): RolloutPlan {
  const planned = planRollout({
    ...{ rollout: "web-r1", fleet: KEY, target: digest("b"), back: digest("a"), policy: DEFAULT_POLICY },
    instances: ["web-1", "web-2", "web-3"].map((id) => ({ id, zone: "a", running: digest("a"), healthy: true })),
  });
  if ("problems" in planned) throw new Error(planned.problems.join());
  return planned.plan;
}
const rollout = (id = "web-r1", key = KEY): NewRollout => ({
  id,
  fleet: key,
  plan: plan(),
  origin: { plan: plan(), planHash: "0123456789ab", startedBy: "ann@host", nowMs: 5 },
  bootId: "boot",
  at: NOW,
});
const begun = (id?: string, key?: string): FleetRolloutRecords => {
  expect(records.begin(rollout(id, key))).toBeUndefined();
  return records.open(id ?? "web-r1");
};

describe("fleets", () => {
  it("are kept as they were declared, with the secrets that they use", () => {
    expect(declare()).toEqual({ recipe: "shop", file: "/shop/bakehouse.yaml", fleet, secrets: { token: { env: "TOKEN" } }, size: 3 });
    expect(open().fleets()).toEqual(records.fleets());
  });

  it("declared anew keep what became of them", () => {
    declare();
    records.setDeclared(KEY, digest("a"), undefined);
    records.setDeclared(KEY, digest("b"), digest("a"));
    records.setSize(KEY, 7);
    expect(declare({ size: 4 })).toMatchObject({ size: 7, declared: digest("b"), previous: digest("a"), fleet: { size: 4 } });
    records.setSize(KEY, undefined);
    expect(records.fleets()[0]?.size).toBe(4);
  });

  it("that are forgotten are gone with what was denied and healed, and their rollouts stay", () => {
    declare();
    records.deny(KEY, { digest: digest("b"), reason: "bad", who: "ann@host", at: NOW });
    records.healed(KEY, { slot: "web-1", instance: "x", why: "died", at: NOW });
    begun();
    records.forget(KEY);
    expect(records.fleets()).toEqual([]);
    expect(records.denied(KEY)).toEqual([]);
    expect(records.healings(KEY, "")).toEqual([]);
    expect(records.rollouts()).toHaveLength(1);
  });
});

describe("what people said", () => {
  it("denied: the first reason stays, and it is taken off once", () => {
    const denied = { digest: digest("b"), reason: "bad", who: "ann@host", at: NOW };
    records.deny(KEY, denied);
    records.deny(KEY, { ...denied, reason: "worse" });
    expect(records.denied(KEY)).toEqual([denied]);
    expect(records.denied("shop/other")).toEqual([]);
    expect(records.allow(KEY, digest("c"))).toBe(false);
    expect(records.allow(KEY, digest("b"))).toBe(true);
    expect(records.allow(KEY, digest("b"))).toBe(false);
    expect(records.denied(KEY)).toEqual([]);
  });

  it("stopped: it is lifted once, and stays in the list", () => {
    const stop = { id: "stop-1", owner: "ann@host", reason: "incident", from: NOW, except: [digest("b")] };
    records.stop(stop);
    expect(open().stops()).toEqual([stop]);
    const lifted = { who: "bea@host", at: NOW, reason: "mended" };
    expect(records.lift("stop-2", lifted)).toBe(false);
    expect(records.lift("stop-1", lifted)).toBe(true);
    expect(records.lift("stop-1", { ...lifted, who: "cem@host" })).toBe(false);
    expect(records.stops()).toEqual([{ ...stop, lifted }]);
  });

  it("healed: since a time, until it is forgiven", () => {
    const healing = (at: string) => ({ slot: "web-1", instance: "x", why: "died", at });
    for (const at of ["2026-01-01T00:00:00.000Z", "2026-01-02T00:00:00.000Z"]) records.healed(KEY, healing(at));
    expect(records.healings(KEY, "2026-01-01T12:00:00.000Z")).toEqual([healing("2026-01-02T00:00:00.000Z")]);
    expect(records.healings("shop/other", "")).toEqual([]);
    records.forgiveHealings(KEY);
    expect(records.healings(KEY, "")).toEqual([]);
  });

  it("asked for, to begin later: in order, and each is taken once", () => {
    const release = (id: string) => ({
      rollout: id,
      target: digest("b"),
      image: digest("b"),
      atMs: 1,
      askedBy: "ann@host",
      supersedes: false,
    });
    for (const id of ["web-r2", "web-r3"]) records.enqueue(KEY, release(id));
    expect(open().queued(KEY)).toEqual([release("web-r2"), release("web-r3")]);
    expect(records.dequeue(KEY, "web-r2")).toBe(true);
    expect(records.dequeue(KEY, "web-r2")).toBe(false);
    expect(records.queued(KEY).map(({ rollout: id }) => id)).toEqual(["web-r3"]);
  });
});

describe("rollouts", () => {
  it("begin one at a time for each fleet", () => {
    begun();
    expect(records.begin(rollout("web-r2"))).toMatchObject({ id: "web-r1", status: "running" });
    expect(records.begin(rollout("api-r2", "shop/api"))).toBeUndefined();
    const one = records.open("web-r1");
    one.show(one.takeLease(), { status: "completed", reason: "", waitingFor: "", ended: true });
    expect(records.begin(rollout("web-r3"))).toBeUndefined();
    expect(records.rollouts(KEY).map(({ id, endedAt }) => [id, endedAt])).toEqual([
      ["web-r3", undefined],
      ["web-r1", NOW],
    ]);
    expect(() => records.open("web-r9")).toThrow(expect.objectContaining({ code: "ROLLOUT_NOT_FOUND" }) as Error);
  });

  it("keep moments, what was begun and what was shown, in order", () => {
    const one = begun();
    const epoch = one.takeLease();
    const told = [{ type: "report", id: "web-1", sequence: 1, running: digest("a"), healthy: true }] as const;
    one.append(epoch, { nowMs: 10.5, observations: told });
    const action = { kind: "deny", key: "web-r1//deny", digest: digest("b"), reason: "x" } as const;
    one.markDone(epoch, 1, [action]);
    one.show(epoch, { status: "running", reason: "r", waitingFor: "w", ended: false });
    one.append(epoch, { nowMs: 11, observations: [] });
    one.markDone(epoch, 3, [
      { ...action, key: "2" },
      { ...action, key: "3" },
    ]);
    const again = open().open("web-r1");
    expect(again.moments()).toEqual([
      { nowMs: 10.5, observations: told },
      { nowMs: 11, observations: [] },
    ]);
    expect(again.momentTimes()).toEqual([NOW, NOW]);
    expect(again.done).toBe(3);
    expect(again.begun().map(({ number, moment, action: { key } }) => [number, moment, key])).toEqual([
      [1, 1, "web-r1//deny"],
      [2, 2, "2"],
      [3, 2, "3"],
    ]);
    expect(again.shown()).toEqual([{ moment: 1, status: "running", reason: "r", waitingFor: "w", at: NOW }]);
    expect(again).toMatchObject({ id: "web-r1", bootId: "boot", origin: rollout().origin });
  });

  it("of two connections, only the one that took the lease last writes", () => {
    const one = begun();
    const old = one.takeLease();
    const two = open().open("web-r1");
    const epoch = two.takeLease();
    for (const write of [
      () => one.append(old, { nowMs: 1, observations: [] }),
      () => one.markDone(old, 1, []),
      () => one.show(old, { status: "completed", reason: "", waitingFor: "", ended: true }),
    ])
      expect(write).toThrow(expect.objectContaining({ code: "LEASE_LOST" }) as Error);
    two.append(epoch, { nowMs: 1, observations: [] });
    expect(one.moments()).toHaveLength(1);
    expect(one.done).toBe(0);
    expect(records.rollouts()[0]).toMatchObject({ status: "running" });
  });

  it("take each command exactly once, in the order in which they were given", () => {
    const one = begun();
    const other = open();
    records.command("web-r1", { command: "pause", who: "ann@host" }, NOW);
    other.command("web-r1", { command: "resume", who: "bea@host", reason: "go" }, NOW);
    other.command("web-r2", { command: "abort", who: "eve@host" }, NOW);
    const given = one.pending();
    expect(given.map(({ command }) => command)).toEqual(["pause", "resume"]);
    const epoch = one.takeLease();
    const [first] = given;
    if (first === undefined) throw new Error("nothing was given");
    const stale = epoch - 1;
    expect(() => one.append(stale, { nowMs: 1, observations: [{ type: "command", ...first }] })).toThrow();
    expect(one.pending()).toHaveLength(2); // neither written nor taken
    one.append(epoch, { nowMs: 1, observations: [{ type: "command", ...first }] });
    expect(
      open()
        .open("web-r1")
        .pending()
        .map(({ command }) => command),
    ).toEqual(["resume"]);
    expect(one.moments()[0]?.observations).toMatchObject([{ type: "command", command: "pause", who: "ann@host" }]);
  });

  it("write all that belongs together, or nothing", () => {
    const failing = (): void =>
      records.atOnce(() => {
        records.begin(rollout());
        records.setSize(KEY, 9);
        throw new Error("in the middle");
      });
    declare();
    expect(failing).toThrow("in the middle");
    expect(records.rollouts()).toEqual([]);
    expect(records.fleets()[0]?.size).toBe(3);
    expect(records.atOnce(() => records.begin(rollout()))).toBeUndefined();
    expect(records.rollouts()).toHaveLength(1);
  });
});

describe("who carries a fleet", () => {
  const owner = (pid: number): Owner => ({ pid, startTime: pid, bootId: "b", host: "h", what: `process ${pid}` });

  it("is one at a time, until it lets go or is dead", () => {
    const alive = new Set([1, 2]);
    const isAlive = ({ pid }: Owner): boolean => alive.has(pid);
    const one = open({ isAlive });
    const two = open({ isAlive });
    expect(one.carry(KEY, owner(1), isAlive)).toEqual(owner(1));
    expect(two.carry(KEY, owner(2), isAlive)).toEqual(owner(1));
    two.letGo(KEY, owner(2)); // it was not its own
    expect(two.carrier(KEY)).toEqual(owner(1));
    alive.delete(1);
    expect(two.carrier(KEY)).toBeUndefined();
    expect(two.carry(KEY, owner(2), isAlive)).toEqual(owner(2));
    one.letGo(KEY, owner(1));
    expect(one.carrier(KEY)).toEqual(owner(2));
    two.letGo(KEY, owner(2));
    expect(one.carrier(KEY)).toBeUndefined();
  });
});

describe("the file", () => {
  it("of a newer Bakehouse is refused and left alone", () => {
    const db = new DatabaseSync(join(folder, "newer.db"));
    db.exec("PRAGMA user_version = 99");
    db.close();
    for (const readOnly of [true, false])
      expect(() => openSqliteFleets(join(folder, "newer.db"), { readOnly })).toThrow(
        expect.objectContaining({ code: "STORE_TOO_NEW" }) as Error,
      );
  });

  it("is read where it cannot be written, also while another process writes", () => {
    declare();
    begun();
    const reading = open({ readOnly: true });
    expect(reading.fleets()).toHaveLength(1);
    expect(reading.rollouts()).toHaveLength(1);
    records.setSize(KEY, 8);
    expect(reading.fleets()[0]?.size).toBe(8);
    expect(() => reading.setSize(KEY, 9)).toThrow(/readonly/);
    expect(records.fleets()[0]?.size).toBe(8);
  });

  it("that is not there yet is empty where nothing can be written, and is not made", () => {
    const none = openSqliteFleets(join(folder, "none.db"), { readOnly: true });
    expect(none.fleets()).toEqual([]);
    expect(none.rollouts()).toEqual([]);
    expect(none.stops()).toEqual([]);
    expect(() => none.stop({ id: "s", owner: "o", reason: "r", from: NOW, except: [] })).toThrow(/readonly/);
    none.close();
    expect(() => new DatabaseSync(join(folder, "none.db"), { readOnly: true })).toThrow();
  });

  it("on a file system that cannot be written is read", () => {
    declare();
    for (const each of others.splice(0)) each.close();
    execFileSync("unshare", [
      ...["-m", "sh", "-ec", 'mount --bind "$1" "$1"; mount -o remount,ro,bind "$1"; shift; exec "$@"', "sh", folder],
      ...[process.execPath, "--input-type=module", "-e", READ, file],
    ]);
  });

  it("loses nothing when two processes write at once", async () => {
    declare();
    const script = join(folder, "writer.mjs");
    writeFileSync(
      script,
      `import { openSqliteFleets } from ${JSON.stringify(SOURCE)};
       const records = openSqliteFleets(process.argv[2]);
       for (let index = 0; index < 100; index += 1) {
         records.command("web-r1", { command: "pause", who: process.argv[3] + index }, "2026-01-01T00:00:00.000Z");
         records.begin(${JSON.stringify(rollout("web-r1"))});
       }
       records.close();`,
    );
    const write = (who: string): Promise<number | null> =>
      new Promise((resolve) => spawn(process.execPath, [script, file, who], { stdio: "inherit" }).on("close", resolve));
    expect(await Promise.all([write("a"), write("b")])).toEqual([0, 0]);
    const given = records.open("web-r1").pending();
    expect(given).toHaveLength(200);
    expect(new Set(given.map(({ number }) => number)).size).toBe(200);
    expect(records.rollouts()).toHaveLength(1);
  });
});

describe("a full disk", () => {
  it("is told as that, loses nothing, and is over as soon as there is room", () => {
    const small = join(folder, "small");
    mkdirSync(small);
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=512k", "tmpfs", small]);
    const full = openSqliteFleets(join(small, "fleets.db"));
    try {
      declare({}, full);
      const fill = join(small, "fill");
      try {
        writeFileSync(fill, Buffer.alloc(1 << 20));
      } catch {
        // that is what it is for
      }
      const many = Array.from({ length: 500 }, (_, index) => ({
        slot: `web-${index}`,
        instance: "x".repeat(1000),
        why: "it died",
        at: NOW,
      }));
      const heal = (): void => full.atOnce(() => many.forEach((each) => full.healed(KEY, each)));
      expect(heal).toThrow(expect.objectContaining({ code: "STORE_FULL" }) as Error);
      expect(() => full.atOnce(() => full.setSize(KEY, 5))).not.toThrow(/transaction/);
      expect(full.healings(KEY, "")).toEqual([]);
      rmSync(fill);
      full.setSize(KEY, 7);
      expect(full.fleets()[0]?.size).toBe(7);
    } finally {
      full.close();
      execFileSync("umount", [small]);
    }
  });
});

describe("what untouched instances said to a gate", () => {
  it("is there for the next process, whatever numbers it has, and goes with the fleet", () => {
    const baseline = { readings: [{ from: "web-1", numbers: [0.25, Number.NaN, Infinity, -Infinity] }], instances: 3, at: NOW };
    records.keepBaseline(KEY, "latency", { ...baseline, instances: 1 });
    records.keepBaseline(KEY, "latency", baseline);
    expect(open().baseline(KEY, "latency")).toEqual(baseline);
    expect(open().baseline(KEY, "other")).toBeUndefined();
    expect(open().baseline("shop/other", "latency")).toBeUndefined();
    records.forget(KEY);
    expect(open().baseline(KEY, "latency")).toBeUndefined();
  });
});
