import { execFileSync, spawn, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { httpGet } from "../../src/adapters/ssh-fleet/probe.ts";
import { startMachine, type TestMachine } from "../../src/adapters/ssh-fleet/machine.testing.ts";
import { builtCli } from "../shared-store.ts";

const folder = mkdtempSync(join(tmpdir(), "ssh-rollout-"));
const ZONES = ["a", "a", "b"] as const;
let machines: readonly TestMachine[] = [];
let cli = "";

const recipe = (timeout = "10s"): string => `name: shop
layers:
  base: { steps: [rootfs: base] }
  release:
    from: base
    release: { volume: /srv/shop }
    image: { entry: shop.service }
    steps:
      - copy: { from: app, to: /srv/shop }
fleets:
  web:
    provider: ssh
    pinned: shop/release
    identity: key
    health: { http: /, interval: 200ms, healthy: 1 }
    rollout: { strategy: { rolling: { batch: 1, soak: 500ms } }, maxUnavailable: 1, timeout: ${timeout}, onHalt: roll-back }
    hosts:
${machines.map(({ host }, index) => `      - { name: ${host.name}, address: ${host.address}, zone: ${ZONES[index] ?? "b"}, hostKey: ${host.hostKey} }\n`).join("")}`;

beforeAll(async () => {
  execFileSync("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", join(folder, "key")]);
  const names = ZONES.map((_, index) => `web-${index + 1}`);
  machines = await Promise.all(names.map((name) => startMachine(name, { authorizedKey: join(folder, "key.pub") })));
  for (const name of ["base/etc", "base/usr/bin", "app"]) mkdirSync(join(folder, name), { recursive: true });
  cpSync("/bin/busybox", join(folder, "base/usr/bin/busybox"));
  writeFileSync(join(folder, "base/etc/os-release"), "ID=tiny\n");
  writeFileSync(join(folder, "bakehouse.yaml"), recipe());
  cli = await builtCli();
}, 300_000);
afterAll(async () => {
  await Promise.all(machines.map((machine) => machine.close()));
  rmSync(folder, { recursive: true, force: true });
}, 60_000);

function run(...words: readonly string[]): { readonly code: number | null; readonly said: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, [cli, "--store", join(folder, "store"), ...words], {
    cwd: folder,
    encoding: "utf8",
  });
  return { code: status, said: `${stdout}${stderr}` };
}

/** @param page  what machines are to answer; nothing: they answer 404 */
function bake(page?: string, moreBytes = 0): void {
  rmSync(join(folder, "app"), { recursive: true });
  mkdirSync(join(folder, "app"));
  if (moreBytes > 0) writeFileSync(join(folder, "app", "more"), randomBytes(moreBytes));
  writeFileSync(join(folder, "app", page === undefined ? "other.html" : "index.html"), page ?? "");
  expect(run("bake", "--quiet").code).toBe(0);
}

/** How much of a release that is on its way has arrived. */
function partBytes({ root }: TestMachine): number {
  const releases = join(root, "var/lib/bakehouse/releases");
  const parts = readdirSync(releases).filter((name) => name.endsWith(".part"));
  return Math.max(0, ...parts.map((name) => statSync(join(releases, name), { throwIfNoEntry: false })?.size ?? 0));
}

/** A machine asks its own service. */
const ASK_ITSELF = `python3 -c 'import urllib.request as r; print(r.urlopen("http://127.0.0.1/").read().decode(), end="")'`;

const answers = (): Promise<readonly string[]> =>
  Promise.all(
    machines.map(({ host }) =>
      httpGet(host.address, { port: 80, path: "/", timeoutMs: 2000 }).then(
        ({ body }) => body,
        () => "nothing",
      ),
    ),
  );

describe("a rollout to own machines", () => {
  it("begins, goes on to the next release, and comes back from one that is broken", async () => {
    bake("one");
    const begun = run("fleet", "converge");
    expect(begun.code, begun.said).toBe(0);
    expect(await answers()).toEqual(["one", "one", "one"]);

    bake("two");
    const done = run("rollout", "start");
    expect(done.code, done.said).toBe(0);
    expect(done.said).toContain("In place: the machines are given");
    expect(done.said).toContain("3 of 3 moved");
    expect(await answers()).toEqual(["two", "two", "two"]);

    bake();
    const broken = run("rollout", "start");
    expect(broken.code, broken.said).toBe(1);
    expect(broken.said).toContain("rolled-back");
    expect(await answers()).toEqual(["two", "two", "two"]);
  }, 180_000);

  it("moves the others where a machine is off, says what ssh says, and goes on when that machine is there again", async () => {
    await machines[1]?.powerOff();
    bake("three");
    const held = run("rollout", "start");
    expect(held.code, held.said).toBe(1);
    expect(held.said).toContain("web-2 does not answer: moved when it does");
    expect(held.said).toContain("too many instances do not answer: 1, 0 may");
    expect(run("fleet", "ps").said).toMatch(/^web-2 .*unknown .*(Connection refused|No route to host|did not answer)/m);
    expect(await answers()).toEqual(["two", "nothing", "two"]);

    await machines[1]?.boot();
    await expect.poll(answers, { timeout: 30_000 }).toEqual(["two", "two", "two"]);
    const done = run("rollout", "watch", "web", "--carry");
    expect(done.code, done.said).toBe(0);
    expect(await answers()).toEqual(["three", "three", "three"]);
  }, 180_000);

  it("goes on from where a delivery was cut off, and what was there before serves meanwhile", async () => {
    writeFileSync(join(folder, "bakehouse.yaml"), recipe("60s"));
    bake("four", 200_000_000);
    const rollout = spawn(process.execPath, [cli, "--store", join(folder, "store"), "rollout", "start"], { cwd: folder, stdio: "ignore" });
    const ended = once(rollout, "exit");
    const isOnItsWay = (machine: TestMachine): boolean => partBytes(machine) > 20_000_000;
    while (rollout.exitCode === null && !machines.some(isOnItsWay)) await setTimeout(2);
    const cut = machines.find(isOnItsWay);
    if (cut === undefined) throw new Error("nothing was on its way");
    cut.cable("down");
    await setTimeout(12_000); // ssh takes nine seconds to see it
    const arrived = partBytes(cut);
    expect(arrived).toBeGreaterThan(20_000_000);
    expect(arrived).toBeLessThan(200_000_000);
    expect(cut.inside(`exec ${ASK_ITSELF}`)).toBe("three");
    cut.cable("up");
    expect(await ended).toEqual([0, null]);
    expect(await answers()).toEqual(["four", "four", "four"]);
    expect(partBytes(cut)).toBe(0);
  }, 240_000);

  it("leaves machines as they are when the fleet is dissolved: they are not ours to end", async () => {
    const before = await answers();
    const dissolved = run("fleet", "dissolve", "web");
    expect(dissolved.code, dissolved.said).toBe(0);
    expect(await answers()).toEqual(before);
  }, 180_000);
});
