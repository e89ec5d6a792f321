import { execFileSync, spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { httpGet } from "../../src/adapters/ssh-fleet/probe.ts";
import { startMachine, type TestMachine } from "../../src/adapters/ssh-fleet/machine.testing.ts";
import { builtCli } from "../shared-store.ts";

const folder = mkdtempSync(join(tmpdir(), "ssh-rollout-"));
const ZONES = ["a", "a", "b"] as const;
let machines: readonly TestMachine[] = [];
let cli = "";

const recipe = (): string => `name: shop
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
    rollout: { strategy: { rolling: { batch: 1, soak: 500ms } }, maxUnavailable: 1, timeout: 10s, onHalt: roll-back }
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
function bake(page?: string): void {
  rmSync(join(folder, "app"), { recursive: true });
  mkdirSync(join(folder, "app"));
  writeFileSync(join(folder, "app", page === undefined ? "other.html" : "index.html"), page ?? "");
  expect(run("bake", "--quiet").code).toBe(0);
}
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

  it("stops where a machine is off, and says what ssh says", async () => {
    await machines[1]?.powerOff();
    bake("three");
    const stopped = run("rollout", "start");
    expect(stopped.code, stopped.said).toBe(1);
    expect(stopped.said).toMatch(/web-2 .*(Connection refused|No route to host|did not answer)/);
    expect(run("fleet", "ps").said).toMatch(/^web-2 .*unknown .*(Connection refused|No route to host|did not answer)/m);
    expect((await answers())[0]).toBe("two");

    await machines[1]?.boot();
    await expect.poll(answers, { timeout: 30_000 }).toEqual(["two", "two", "two"]);

    const dissolved = run("fleet", "dissolve", "web");
    expect(dissolved.code, dissolved.said).toBe(0);
    expect(await answers()).toEqual(["two", "two", "two"]); // the machines are not ours to end
  }, 180_000);
});
