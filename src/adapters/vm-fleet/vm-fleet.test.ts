import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { promisify } from "node:util";
import { afterAll, describe, expect, it } from "vitest";
import { bakeExample, type BakedExample } from "../../../test/cells/bake-example.ts";
import type { VmFleet } from "../../core/fleet/model.ts";
import { fleetRelease } from "../../engine/fleet-release.ts";
import { readImage } from "../../engine/image-content.ts";
import type { FleetProvider } from "../../ports/fleet-provider.ts";
import { fleetProviderContract, type FleetUnderTest } from "../../ports/fleet-provider.contract.ts";
import type { Store } from "../../ports/store.ts";
import { openImages, type ImageParts } from "../../presets/images.ts";
import { vmFleet } from "./vm-fleet.ts";
import { freePort } from "../local-host/free-port.ts";

/** On a busy machine without KVM the one boot takes minutes. */
const PATIENT_MS = 400_000;

/** The site of `examples/machine` as a release volume, which becomes the second drive. */
const SITE = `
  site:
    from: release
    release: { volume: /srv/site }
    steps:
      - file: { path: /srv/site/version, content: "1\\n" }
    image: { entry: nginx.service, ports: [80] }
`;
const NGINX = `      - file: { path: /var/www/html/health, content: "ok\\n" }
      - file:
          path: /etc/nginx/sites-available/default
          content: "server { listen 80; root /var/www/html; location /version { root /srv/site; } }\\n"
      - file:
          path: /etc/systemd/system/nginx.service.d/launch.conf
          content: "[Service]\\nLoadCredential=api\\nExecStartPost=/bin/sh -c 'echo \\"$$COLOUR\\" >/run/told'\\n"
`;

interface Baked {
  readonly baked: BakedExample;
  readonly parts: ImageParts;
}
let opened: Promise<Baked> | undefined;
const bakeOnce = (): Promise<Baked> =>
  (opened ??= (async () => {
    const baked = await bakeExample("examples/machine");
    const recipe = join(baked.folder, "clones.yaml");
    const text = readFileSync(join(baked.folder, "bakehouse.yaml"), "utf8").replace("name: machine", "name: clones");
    writeFileSync(recipe, `${text.replace(/ {6}- file: \{ path: \/var\/www.*\n/, NGINX).trimEnd()}\n${SITE}`);
    const clones = baked.bakehouse.load(recipe);
    await baked.bakehouse.lock(clones);
    await baked.bakehouse.bake(clones);
    return { baked, parts: openImages({ store: baked.bakehouse.parts.store.root }) };
  })());
afterAll(async () => {
  const made = await opened;
  await made?.parts.close();
  await made?.baked.dispose();
}, PATIENT_MS);

const FLEET: VmFleet = {
  name: "web",
  provider: "vm",
  memoryMiB: 256,
  size: 2,
  zones: ["a", "b"],
  runs: { pinned: "clones/site" },
  health: { probe: { kind: "http", path: "/health", port: 80 }, intervalMs: 200, timeoutMs: 5000, healthyAfter: 1, unhealthyAfter: 3 },
  launch: { files: { "/etc/colour": "blue\n" }, credentials: { api: "s3cret" }, environment: { COLOUR: `sky "blue" 100%` } },
  secrets: [],
  first: [],
  neverFirst: [],
  freeze: [],
  windows: [],
  newRelease: "refuse",
};

async function open(fleet: VmFleet): Promise<{ readonly store: Store; make(): FleetProvider }> {
  const { parts } = await bakeOnce();
  const machines = await parts.imageMachines();
  const { store } = parts;
  const epochSeconds = (image: string): number => readImage(store, image).epochSeconds;
  return { store, make: () => vmFleet({ ...machines, store, epochSeconds, secrets: () => new Map() }, "clones", fleet) };
}

interface Note {
  readonly process?: { readonly pid: number };
  readonly machineId: string;
}
const noteOf = (store: Store, id: string, fleet = "web"): Note => store.readNote(`fleets/clones/${fleet}/instances/${id}.json`) as Note;

async function endAll(provider: FleetProvider): Promise<void> {
  for (const { id } of await provider.observe()) await provider.terminate(id);
  await provider.dissolve();
}

async function openForContract(): Promise<FleetUnderTest> {
  const fleet: VmFleet = { ...FLEET, name: "contract", traffic: { listen: await freePort(), backend: 80 } };
  const { store, make } = await open(fleet);
  const provider = make();
  return {
    provider,
    reopen: make,
    releases: [
      { ...fleetRelease(store, "clones/site"), says: "1" },
      { ...fleetRelease(store, "clones/release"), says: "404" },
    ],
    places: [
      { id: "web-1-aaaa", slot: "web-1", zone: "a" },
      { id: "web-2-bbbb", slot: "web-2", zone: "b" },
    ],
    ask: { port: 80, path: "/version", answer: (body) => body.trim() },
    crash: (id) => {
      process.kill(noteOf(store, id, "contract").process?.pid ?? 0, "SIGKILL");
      return Promise.resolve();
    },
    close: () => endAll(provider),
  };
}

fleetProviderContract("a fleet of virtual machines", openForContract, PATIENT_MS);

describe("virtual machines of one snapshot", () => {
  const never = new AbortController().signal;
  const place = (id: string) => ({ id, slot: id, zone: "a" });
  const run = async (provider: FleetProvider, id: string, script: string): Promise<string> => {
    const [program = "", ...words] = await provider.commandLine(id, ["sh", "-c", script]);
    return (await promisify(execFile)(program, words, { timeout: 60_000 })).stdout.trim();
  };

  it("are different ones: name, machine id, random numbers; each has the time and what it is given", { timeout: PATIENT_MS }, async () => {
    const { store, make } = await open(FLEET);
    const provider = make();
    const ids = ["twin-1", "twin-2"];
    for (const id of ids) await provider.launch(place(id), fleetRelease(store, "clones/site"), never);
    const facts = await Promise.all(
      ids.map(async (id) => {
        await expect
          .poll(async () => (await provider.observe()).find((report) => report.id === id)?.health, { timeout: 60_000 })
          .toBe("healthy");
        const script = `hostname; cat /etc/machine-id /proc/sys/kernel/random/uuid; date +%s; cat /etc/colour
          cat /run/told /run/credentials/nginx.service/api; echo; ls /run/log/journal
          grep ' / \\| /srv' /proc/mounts | cut -d' ' -f1-3`;
        return (await run(provider, id, script)).split("\n");
      }),
    );
    for (const [index, fact] of facts.entries()) {
      const [name, machineId, , seconds, ...given] = fact;
      const id = ids[index]!;
      expect([name, machineId]).toEqual([id, noteOf(store, id).machineId]);
      expect(Math.abs(Date.now() / 1000 - Number(seconds))).toBeLessThan(60);
      expect(given.slice(0, 3)).toEqual(["blue", `sky "blue" 100%`, "s3cret"]);
      expect(given).toContain(machineId);
      expect(given.slice(-2)).toEqual(["overlay / overlay", "/dev/vdb /srv/site erofs"]);
    }
    for (const at of [0, 1, 2]) expect(facts[0]?.[at]).not.toBe(facts[1]?.[at]);
    expect(readdirSync(store.path("vm-snapshots"))).toHaveLength(1);
  });

  it("run programs with their input, output and exit code, several at once", { timeout: PATIENT_MS }, async () => {
    const { make } = await open(FLEET);
    const [program = "", ...words] = await make().commandLine("twin-1", ["sh", "-c", `cat; echo "it's" >&2; exit 3`]);
    const bytes = Buffer.from(Array.from({ length: 5000 }, (_, index) => (index * 7919) % 256));
    const results = await Promise.all(
      Array.from({ length: 4 }, async () => {
        const child = spawn(program, words, { stdio: "pipe" });
        child.stdin.end(bytes);
        const [out, err]: Buffer[][] = [[], []];
        child.stdout.on("data", (chunk: Buffer) => out!.push(chunk));
        child.stderr.on("data", (chunk: Buffer) => err!.push(chunk));
        const [code] = (await once(child, "close")) as [number];
        return { code, same: Buffer.concat(out!).equals(bytes), err: Buffer.concat(err!).toString() };
      }),
    );
    expect(results).toEqual(Array.from({ length: 4 }, () => ({ code: 3, same: true, err: "it's\n" })));
  });

  it("are asked inside whether a port is open: QEMU opens it for one that nobody listens on", { timeout: PATIENT_MS }, async () => {
    const healthBy = async (probe: VmFleet["health"]["probe"]) => {
      const provider = (await open({ ...FLEET, health: { ...FLEET.health, probe, unhealthyAfter: 1 } })).make();
      return (await provider.observe()).find(({ id }) => id === "twin-1");
    };
    expect(await healthBy({ kind: "tcp", port: 80 })).toMatchObject({ health: "healthy" });
    expect(await healthBy({ kind: "tcp", port: 81 })).toMatchObject({ health: "unhealthy", why: "port 81: refused" });
    expect(await healthBy({ kind: "command", argv: ["systemctl", "is-active", "nginx"] })).toMatchObject({ health: "healthy" });
    expect(await healthBy({ kind: "command", argv: ["false"] })).toMatchObject({ health: "unhealthy" });
  });

  it("take no traffic while a program inside says that they are not well", { timeout: PATIENT_MS }, async () => {
    const listen = await freePort();
    const probe = { kind: "command", argv: ["test", "-e", "/run/well"] } as const;
    const health = { ...FLEET.health, probe, unhealthyAfter: 1 };
    const provider = (await open({ ...FLEET, health, traffic: { listen, backend: 80 } })).make();
    const seen = async () => (await provider.observe()).find(({ id }) => id === "twin-1");
    const answer = async () => (await fetch(`http://127.0.0.1:${listen}/version`)).status;
    await provider.admit("twin-1", 100);
    expect(await seen()).toMatchObject({ serving: false });
    expect(await answer()).toBe(503);
    await run(provider, "twin-1", "touch /run/well");
    await expect.poll(async () => (await seen())?.serving, { timeout: 60_000 }).toBe(true);
    expect(await answer()).toBe(200);
    await provider.drain("twin-1", 5000, never);
    await provider.dissolve();
  });

  it("run what their process has open, whatever the note says", { timeout: PATIENT_MS }, async () => {
    const { store, make } = await open(FLEET);
    const [site, release] = [fleetRelease(store, "clones/site"), fleetRelease(store, "clones/release")];
    const path = "fleets/clones/web/instances/twin-2.json";
    const note = store.readNote(path) as object;
    store.writeNote(path, { ...note, image: release.image });
    const found = (await make().observe()).find(({ id }) => id === "twin-2");
    store.writeNote(path, note);
    expect(found).toMatchObject({ provided: release.image, running: site.image });
  });

  it("live on when bakehouse is killed, and one that it had begun is finished by the next", { timeout: PATIENT_MS }, async () => {
    const { store, make } = await open(FLEET);
    const owner = spawn(
      process.execPath,
      ["--input-type=module", "--eval", OWNER, import.meta.dirname, store.root, JSON.stringify(FLEET)],
      {
        stdio: ["ignore", "inherit", "inherit"],
      },
    );
    const folder = store.path("fleets/clones/web/machines/begun");
    while (!existsSync(join(folder, "qemu.pid")) && owner.exitCode === null) await delay(5);
    owner.kill("SIGKILL");
    await once(owner, "exit");
    const provider = make();
    const begun = (await provider.observe()).find(({ id }) => id === "begun");
    expect(begun).toMatchObject({ health: "unknown", running: undefined, serving: false });
    await provider.launch(place("begun"), fleetRelease(store, "clones/site"), never);
    expect(processesOf(folder)).toEqual([noteOf(store, "begun").process?.pid]);
    expect((await make().observe()).map(({ id, running }) => [id, running !== undefined])).toEqual([
      ["begun", true],
      ["twin-1", true],
      ["twin-2", true],
    ]);
    const pids = ["begun", "twin-1", "twin-2"].map((id) => noteOf(store, id).process?.pid);
    await endAll(provider);
    for (const pid of pids) expect(isThere(pid)).toBe(false);
    expect(readdirSync(store.path("fleets/clones/web/machines"))).toEqual([]);
  });
});

const isThere = (pid: number | undefined): boolean => {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
};

const processesOf = (folder: string): readonly number[] =>
  readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0").includes(join(folder, "qemu.pid"));
      } catch {
        return false;
      }
    })
    .map(Number);

/** Launches a machine until it is killed. */
const OWNER = `const [, here, store, fleet] = process.argv;
const { openImages } = await import(here + "/../../presets/images.ts");
const { readImage } = await import(here + "/../../engine/image-content.ts");
const { fleetRelease } = await import(here + "/../../engine/fleet-release.ts");
const { vmFleet } = await import(here + "/vm-fleet.ts");
const parts = openImages({ store });
const machines = await parts.imageMachines();
const epochSeconds = (image) => readImage(parts.store, image).epochSeconds;
const provider = vmFleet({ ...machines, store: parts.store, epochSeconds, secrets: () => new Map() }, "clones", JSON.parse(fleet));
await provider.launch({ id: "begun", slot: "begun", zone: "a" }, fleetRelease(parts.store, "clones/site"), new AbortController().signal);
setInterval(() => undefined, 1000);`;
