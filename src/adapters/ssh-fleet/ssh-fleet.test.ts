import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { mkdtempSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { hexOf } from "../../core/digest.ts";
import type { InstanceReport } from "../../core/fleet/instance.ts";
import type { FleetProvider } from "../../ports/fleet-provider.ts";
import { openLocalStore } from "../local-store/local-store.ts";
import { digestOf, openTestFleet, type TestFleet } from "./fleet.testing.ts";
import type { TestMachine } from "./machine.testing.ts";
import { sshFleet } from "./ssh-fleet.ts";

const never = new AbortController().signal;
const MB = 1_000_000;
/** A service that was just started may not answer yet. */
const PATIENT = { timeout: 30_000 };

const reportOf = async (provider: FleetProvider, id: string): Promise<InstanceReport | undefined> =>
  (await provider.observe()).find((report) => report.id === id);
const says = (provider: FleetProvider, id: string): Promise<string> =>
  provider.http(id, { port: 80, path: "/", timeoutMs: 5000 }).then(({ body }) => body.trim(), String);

describe("a fleet of own machines", () => {
  let fleet: TestFleet;
  let provider: FleetProvider;
  let machine: TestMachine;
  let releases: string;
  beforeAll(async () => {
    fleet = await openTestFleet(["web-1"]);
    provider = fleet.provider;
    machine = fleet.machine("web-1");
    releases = join(machine.root, "opt/bakehouse/releases");
  }, 120_000);
  afterAll(() => fleet.close(), 60_000);

  it("says why a machine runs nothing yet", async () => {
    await expect
      .poll(() => reportOf(provider, "web-1"), PATIENT)
      .toMatchObject({
        provided: undefined,
        running: undefined,
        health: "unhealthy",
        why: expect.stringMatching(/^it runs no release yet; http :80\/: connect ECONNREFUSED/) as string,
        serving: false,
      });
    expect(existsSync(join(machine.root, "opt/bakehouse"))).toBe(false);
    await expect(provider.launch({ id: "web-9", slot: "web-9", zone: "a" }, fleet.release("x"), never)).rejects.toMatchObject({
      code: "INSTANCE_FAILED",
    });
  });

  it("goes on serving when the connection is cut, and the next try sends the rest", async () => {
    const [one, large] = [fleet.release("one"), fleet.release("large", 200 * MB)];
    await provider.activate("web-1", one, never);
    const part = join(releases, `${hexOf(large.volume.blob)}.erofs.part`);
    const cutter = setInterval(() => {
      if ((statSync(part, { throwIfNoEntry: false })?.size ?? 0) > 20 * MB) machine.cable("down");
    }, 2);
    await expect(provider.activate("web-1", large, never)).rejects.toMatchObject({
      code: "INSTANCE_UNREACHABLE",
      message: expect.stringMatching(
        /^web-1 \(.*\) cannot be brought to shop\/release-large: .* MB more of 200\.\d MB were handed/,
      ) as string,
    });
    clearInterval(cutter);
    const arrived = statSync(part).size;
    expect(arrived).toBeGreaterThan(20 * MB);
    expect(arrived).toBeLessThan(200 * MB);
    machine.cable("up");
    await expect.poll(() => says(provider, "web-1"), PATIENT).toBe("one");
    await expect
      .poll(() => reportOf(provider, "web-1"), PATIENT)
      .toMatchObject({ provided: one.image, running: one.image, health: "healthy" });

    await provider.activate("web-1", large, never);
    expect(fleet.sent.at(-1)?.fromBytes).toBeGreaterThanOrEqual(arrived);
    await expect.poll(() => says(provider, "web-1"), PATIENT).toBe("large");
    expect(existsSync(part)).toBe(false);
  }, 120_000);

  it("sends from the beginning what turns out to be something else", async () => {
    const release = fleet.release("not rubbish", 5 * MB);
    machine.inside(`head -c 4000000 /dev/zero > /opt/bakehouse/releases/${hexOf(release.volume.blob)}.erofs.part`);
    await provider.activate("web-1", release, never);
    expect(fleet.sent.slice(-2).map(({ fromBytes }) => fromBytes)).toEqual([4_000_000, 0]);
    await expect.poll(() => says(provider, "web-1"), PATIENT).toBe("not rubbish");
  }, 60_000);

  it("keeps the release before, for the way back without sending, and none that is older", async () => {
    const [one, two] = [fleet.release("first"), fleet.release("second")];
    await provider.activate("web-1", one, never);
    await provider.activate("web-1", two, never);
    const hexes = [one, two].map(({ volume }) => hexOf(volume.blob));
    expect(readdirSync(releases).sort()).toEqual(hexes.flatMap((hex) => [hex, `${hex}.erofs`, `${hex}.stamp`]).sort());
    const sent = fleet.sent.length;
    await provider.activate("web-1", one, never);
    expect(fleet.sent).toHaveLength(sent);
    await expect.poll(() => says(provider, "web-1"), PATIENT).toBe("first");
  }, 60_000);

  it("mounts the release again when the machine comes up", async () => {
    const two = fleet.release("after the reboot");
    await provider.activate("web-1", two, never);
    await provider.admit("web-1", 100);
    const before = await reportOf(provider, "web-1");
    await machine.powerOff();
    const off = await reportOf(provider, "web-1");
    expect(off).toMatchObject({ provided: two.image, running: undefined, health: "unknown", serving: false });
    expect(off?.why).toMatch(/did not answer within 5 s|No route to host|Connection (refused|timed out)/);
    await expect(provider.activate("web-1", two, never)).rejects.toMatchObject({ code: "INSTANCE_UNREACHABLE" });
    await machine.boot();
    await expect.poll(() => reportOf(provider, "web-1"), PATIENT).toMatchObject({ running: two.image, health: "healthy", serving: true });
    expect(Date.parse((await reportOf(provider, "web-1"))?.bootedAt ?? "")).toBeGreaterThan(Date.parse(before?.bootedAt ?? ""));
    await expect.poll(() => says(provider, "web-1"), PATIENT).toBe("after the reboot");
  }, 120_000);

  it("refuses a machine with another host key, and sends nothing to it", async () => {
    const [host] = fleet.fleet.hosts;
    const key = `ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI${"B".repeat(42)}E`;
    const wary = fleet.reopen({ hosts: [{ ...(host as typeof machine.host), hostKey: key }] });
    const sent = fleet.sent.length;
    const report = await reportOf(wary, "web-1");
    expect(report).toMatchObject({ running: undefined, health: "unknown", serving: false });
    expect(report?.why).toMatch(/^its host key \(SHA256:\S+\) is not the one in the recipe; nothing was sent to it$/);
    await expect(wary.activate("web-1", fleet.release("secret"), never)).rejects.toMatchObject({
      code: "INSTANCE_UNREACHABLE",
      message: expect.stringContaining("is not the one in the recipe; nothing was sent") as string,
    });
    expect(fleet.sent).toHaveLength(sent);
  }, 60_000);

  it("tells of a full disk how much is missing, and leaves nothing there", async () => {
    const one = fleet.release("in little room");
    const roomy = fleet.reopen({ root: "/srv/small" });
    machine.inside("systemctl stop shop; rm /srv/shop; mkdir -p /srv/small; mount -t tmpfs -o size=8m none /srv/small");
    await roomy.activate("web-1", one, never);
    const large = fleet.release("too large", 20 * MB);
    await expect(roomy.activate("web-1", large, never)).rejects.toMatchObject({
      code: "INSTANCE_FAILED",
      message: expect.stringMatching(/its disk is full: 1\d\.\d MB are missing \(2\d\.\d MB are needed, 8\.\d MB free\)$/) as string,
    });
    // and when it fills up meanwhile
    const middling = fleet.release("just about", 6 * MB);
    const filling = sshFleet(
      {
        store: fleet.store,
        folder: join(fleet.store.root, ".."),
        onSend: () => void machine.inside("head -c 5000000 /dev/zero > /srv/small/other"),
      },
      "shop",
      { ...fleet.fleet, root: "/srv/small" },
    );
    await expect(filling.activate("web-1", middling, never)).rejects.toMatchObject({
      message: expect.stringMatching(/its disk is full: [34]\.\d MB are missing/) as string,
    });
    await filling.dissolve();
    expect(machine.inside("ls /srv/small/releases")).not.toContain("part");
    await expect.poll(() => reportOf(roomy, "web-1"), PATIENT).toMatchObject({ running: one.image, health: "healthy" });
    await expect.poll(() => says(provider, "web-1"), PATIENT).toBe("in little room");
    machine.inside("systemctl stop shop; umount -l /srv/small/releases/* /srv/small; rm /srv/shop");
  }, 60_000);

  it("ends in one state when two are brought there at once, by one process or by two that share nothing", async () => {
    const [one, two] = [fleet.release("left", 30 * MB), fleet.release("right", 30 * MB)];
    const folder = mkdtempSync(join(tmpdir(), "ssh-other-"));
    const store = openLocalStore(join(folder, "store"));
    writeFileSync(join(folder, "copy"), readFileSync(fleet.store.blobs.path(two.volume.blob)));
    store.blobs.adopt(join(folder, "copy"), two.volume.blob);
    const stranger = sshFleet({ store, folder: join(fleet.store.root, "..") }, "shop", fleet.fleet);
    const all = [
      provider.activate("web-1", one, never),
      fleet.reopen().activate("web-1", one, never),
      stranger.activate("web-1", two, never),
    ];
    await Promise.all(all);
    await expect.poll(() => says(provider, "web-1"), PATIENT).toMatch(/left|right/);
    const says1 = await says(provider, "web-1");
    const last = says1 === "left" ? one : two;
    await provider.activate("web-1", last, never);
    await expect.poll(() => reportOf(provider, "web-1"), PATIENT).toMatchObject({ running: last.image, health: "healthy" });
    const kept = [one, two].map(({ volume }) => hexOf(volume.blob));
    expect(
      readdirSync(releases)
        .filter((name) => name.endsWith(".erofs"))
        .sort(),
    ).toEqual(kept.map((hex) => `${hex}.erofs`).sort());
    await stranger.dissolve();
    store.close();
    rmSync(folder, { recursive: true });
  }, 120_000);

  it("goes back when the entry cannot be started", async () => {
    const good = fleet.release("good");
    await provider.activate("web-1", good, never);
    const bad = fleet.release("bad", 0, { entry: "nothing-of-that-name.service" });
    await expect(provider.activate("web-1", bad, never)).rejects.toMatchObject({
      code: "INSTANCE_FAILED",
      message: expect.stringMatching(/nothing-of-that-name\.service cannot be started: Failed to restart/) as string,
    });
    await expect.poll(() => reportOf(provider, "web-1"), PATIENT).toMatchObject({ provided: good.image, running: good.image });
    await provider.activate("web-1", good, never);
    await expect.poll(() => says(provider, "web-1"), PATIENT).toBe("good");
  }, 60_000);

  it("measures: a release that was changed on the machine is not that release, and is brought again", async () => {
    const good = fleet.release("genuine");
    await provider.activate("web-1", good, never);
    const file = `/opt/bakehouse/releases/${hexOf(good.volume.blob)}.erofs`;
    machine.inside(`printf x | dd of=${file} bs=1 seek=5000 conv=notrunc status=none`);
    await expect
      .poll(() => reportOf(provider, "web-1"), PATIENT)
      .toMatchObject({
        provided: good.image,
        running: undefined,
        why: expect.stringContaining("the release was changed since it arrived") as string,
      });
    await provider.activate("web-1", good, never);
    await expect.poll(() => reportOf(provider, "web-1"), PATIENT).toMatchObject({ running: good.image });

    machine.inside("rm /srv/shop; mkdir /srv/shop; echo mine > /srv/shop/index.html");
    expect((await reportOf(provider, "web-1"))?.why).toContain("/srv/shop leads to /srv/shop and not to the release");
    await expect(provider.activate("web-1", good, never)).rejects.toThrow("/srv/shop is a folder with something in it");
    machine.inside("rm -r /srv/shop");
    await provider.activate("web-1", good, never);
    await expect.poll(() => reportOf(provider, "web-1"), PATIENT).toMatchObject({ running: good.image });
  }, 60_000);

  it("tells an image by its root, where the machine says what that is", async () => {
    const [lower, other] = [digestOf("lower"), digestOf("other")];
    const fits = fleet.release("on its root", 0, { diffs: [lower] });
    machine.inside(`mkdir -p /etc/bakehouse; echo ${lower} > /etc/bakehouse/root`);
    await provider.activate("web-1", fits, never);
    await expect.poll(() => reportOf(provider, "web-1"), PATIENT).toMatchObject({ running: fits.image });
    await expect(provider.activate("web-1", { ...fits, image: other, diffs: [lower, other] }, never)).rejects.toMatchObject({
      code: "INSTANCE_FAILED",
      message: expect.stringMatching(/root differs: its diff 2 is none, that of the release [0-9a-f]{12}$/) as string,
    });
    await expect.poll(() => reportOf(provider, "web-1"), PATIENT).toMatchObject({ running: fits.image });
    machine.inside(`echo ${other} > /etc/bakehouse/root`);
    await expect.poll(() => reportOf(provider, "web-1"), PATIENT).toMatchObject({ provided: fits.image, running: undefined });
    machine.inside("rm -r /etc/bakehouse");
    await expect(provider.activate("web-1", { image: other, name: "shop/base", diffs: [] }, never)).rejects.toThrow(
      /has no release volume/,
    );
  }, 60_000);

  it("waits for open connections when it drains, and runs the hooks of the recipe", async () => {
    const hooks = {
      drain: ["sh", "-c", 'echo "out $(test -e /opt/bakehouse/serving && echo serving)" >> /tmp/balancer'],
      admit: ["sh", "-c", 'echo "in $(test -e /opt/bakehouse/serving && echo serving)" >> /tmp/balancer'],
    };
    const balanced = fleet.reopen({ hooks });
    machine.inside("rm -f /opt/bakehouse/serving");
    await balanced.admit("web-1", 100);
    await expect.poll(() => reportOf(balanced, "web-1"), PATIENT).toMatchObject({ serving: true });
    const client = connect({ host: machine.host.address, port: 80 });
    await once(client, "connect");
    expect(await balanced.drain("web-1", 1000, never)).toBe(false);
    await expect.poll(() => reportOf(balanced, "web-1"), PATIENT).toMatchObject({ health: "healthy", serving: false });
    client.destroy();
    expect(await balanced.drain("web-1", 5000, never)).toBe(true);
    expect(machine.inside("cat /tmp/balancer")).toBe("in \nout \nout \n");

    const broken = fleet.reopen({ hooks: { ...hooks, admit: ["sh", "-c", "echo no such server >&2; exit 3"] } });
    await expect(broken.admit("web-1", 100)).rejects.toThrow(/web-1 .*no such server/);
    await expect.poll(() => reportOf(broken, "web-1"), PATIENT).toMatchObject({ serving: false });
  }, 60_000);

  it("asks a program inside for its health, and says what it said", async () => {
    const health = { ...fleet.fleet.health, probe: { kind: "command" as const, argv: ["sh", "-c", "cat /run/well"] } };
    const asked = fleet.reopen({ health });
    await expect
      .poll(() => reportOf(asked, "web-1"), PATIENT)
      .toMatchObject({ health: "unhealthy", why: expect.stringContaining("No such file") as string });
    machine.inside("touch /run/well");
    await expect.poll(() => reportOf(asked, "web-1"), PATIENT).toMatchObject({ health: "healthy" });
    const tcp = fleet.reopen({ health: { ...health, probe: { kind: "tcp", port: 81 } } });
    await expect
      .poll(() => reportOf(tcp, "web-1"), PATIENT)
      .toMatchObject({ health: "unhealthy", why: expect.stringContaining("ECONNREFUSED") as string });
  }, 60_000);

  it("is stopped when it is asked to, and finished by asking again", async () => {
    const release = fleet.release("stopped once", 100 * MB);
    const stop = new AbortController();
    const part = join(releases, `${hexOf(release.volume.blob)}.erofs.part`);
    const stopper = setInterval(() => {
      if ((statSync(part, { throwIfNoEntry: false })?.size ?? 0) > 5 * MB) stop.abort();
    }, 2);
    await expect(provider.activate("web-1", release, stop.signal)).rejects.toMatchObject({ code: "CANCELLED" });
    clearInterval(stopper);
    await provider.activate("web-1", release, never);
    expect(fleet.sent.at(-1)?.fromBytes).toBeGreaterThan(0);
    await expect.poll(() => says(provider, "web-1"), PATIENT).toBe("stopped once");
    await provider.terminate("web-1");
    await expect.poll(() => reportOf(provider, "web-1"), PATIENT).toMatchObject({ provided: undefined, running: release.image });
  }, 60_000);
});

describe("a machine that cannot mount erofs, and where root does not log in", () => {
  let fleet: TestFleet;
  beforeAll(async () => void (fleet = await openTestFleet(["box"], { erofs: false, user: "deploy" })), 120_000);
  afterAll(() => fleet.close(), 60_000);

  it("gets a folder with the same content, is measured by it, and goes back", async () => {
    const { provider } = fleet;
    const machine = fleet.machine("box");
    const [one, two] = [fleet.release("one", 5 * MB), fleet.release("two", 5 * MB)];
    for (const release of [one, two, one]) {
      await provider.activate("box", release, never);
      await expect
        .poll(() => reportOf(provider, "box"), PATIENT)
        .toMatchObject({ provided: release.image, running: release.image, health: "healthy" });
      await expect.poll(() => says(provider, "box"), PATIENT).toBe(release.says);
    }
    expect(fleet.sent).toHaveLength(2);
    expect(machine.inside("stat -c '%A %U' /srv/shop/sub/script")).toBe("-rwsr-xr-x root\n");
    const [program = "", ...argv] = await provider.commandLine("box", ["sh", "-c", 'id -un; echo "$0" "$1"', "it's", "a b"]);
    expect(execFileSync(program, argv, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] })).toBe("root\nit's a b\n");
    await machine.powerOff();
    await machine.boot();
    await expect.poll(() => reportOf(provider, "box"), PATIENT).toMatchObject({ running: one.image, health: "healthy" });
    machine.inside("echo mine > /srv/shop/index.html");
    await expect.poll(() => reportOf(provider, "box"), PATIENT).toMatchObject({ provided: one.image, running: undefined });
    await provider.activate("box", one, never);
    await expect.poll(() => says(provider, "box"), PATIENT).toBe("one");
  }, 120_000);
});
