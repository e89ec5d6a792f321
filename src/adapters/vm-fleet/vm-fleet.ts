import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { request, type IncomingMessage } from "node:http";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { setTimeout as delay } from "node:timers/promises";
import { stripVTControlCharacters } from "node:util";
import { becomeCommand } from "../../core/boot/guest-agent.ts";
import { RESEED_BYTES } from "../../core/boot/reseed.ts";
import type { ImageDigest } from "../../core/digest.ts";
import { BakehouseError } from "../../core/errors.ts";
import type { InstanceReport } from "../../core/fleet/instance.ts";
import type { VmFleet as DeclaredFleet } from "../../core/fleet/model.ts";
import { FleetNotes, type InstanceNote } from "../fleet-notes/fleet-notes.ts";
import type { FleetRelease } from "../../core/fleet/release.ts";
import type { FleetProvider, InstancePlace, ProviderCan } from "../../ports/fleet-provider.ts";
import type { Owner, Store } from "../../ports/store.ts";
import { haproxy } from "../fleet-balancer/balancer.ts";
import { probes, type Probed, type Probes } from "../fleet-balancer/probes.ts";
import { makeFolder } from "../local-store/files.ts";
import { isAlive } from "../local-store/owners.ts";
import { lineCommand, NO_ANSWER, runOnLine } from "./line.ts";
import { endProcess, openFiles, processIn, startProcess, withQmp } from "./process.ts";
import { qemuArguments } from "./qemu-command.ts";
import { shellWord, snapshots, type Snapshot, type SnapshotParts } from "./snapshots.ts";

/**
 * Beside the notes of the fleet:
 *
 *     <store>/fleets/<recipe>/<fleet>/machines/<id>/   of its process, gone when it has ended
 *         qemu.pid qmp.sock console.log line<n>.sock line<n>.lock
 *
 * `startedAt`: when it had become somebody, and its services were let start.
 */
interface MachineNote extends InstanceNote {
  /** Key of what it goes on from. */
  readonly snapshot: string;
  readonly machineId: string;
  readonly process?: Owner;
  /** When its process went on from the snapshot. */
  readonly bootedAt?: string;
  /** Ports of this machine's loopback by those of the instance that they lead to. */
  readonly ports: Readonly<Record<string, number>>;
}

export interface VmFleetParts extends SnapshotParts {
  /** Values by the names of the fleet's secrets. @throws SECRET_MISSING */
  secrets(names: readonly string[]): ReadonlyMap<string, string>;
}

/** Virtual machines of this host as the instances of a fleet, each cloned from a machine of its image, behind HAProxy where it has traffic. */
export function vmFleet(parts: VmFleetParts, recipe: string, fleet: DeclaredFleet): FleetProvider {
  return new VmFleet(parts, recipe, fleet);
}

class VmFleet implements FleetProvider {
  readonly can: ProviderCan;
  private readonly store: Store;
  private readonly parts: VmFleetParts;
  private readonly fleet: DeclaredFleet;
  private readonly folder: string;
  private readonly notes: FleetNotes<MachineNote>;
  private readonly balancer: ReturnType<typeof haproxy> | undefined;
  private readonly probes: Probes;
  private readonly snapshots: ReturnType<typeof snapshots>;
  /** Ports of an instance that are being forwarded: asked for twice at once, they would be twice. */
  private readonly forwarding = new Map<string, Promise<number>>();

  constructor(parts: VmFleetParts, recipe: string, fleet: DeclaredFleet) {
    this.parts = parts;
    this.store = parts.store;
    this.fleet = fleet;
    this.can = { replace: true, activate: false, weigh: fleet.traffic !== undefined };
    this.folder = `fleets/${recipe}/${fleet.name}`;
    this.notes = new FleetNotes(parts.store, this.folder);
    const { traffic, health } = fleet;
    this.balancer = traffic === undefined ? undefined : haproxy({ folder: this.store.path(this.folder), listen: traffic.listen, health });
    this.probes = probes(health);
    this.snapshots = snapshots(parts);
  }

  async observe(): Promise<readonly InstanceReport[]> {
    const notes = this.notes.open();
    await this.ensureBalancer(notes);
    const served = new Map((await this.balancer?.servers())?.map((server) => [server.id, server]) ?? []);
    const releases = this.notes.releases();
    const observedAt = new Date().toISOString();
    return Promise.all(
      notes.map(async (note): Promise<InstanceReport> => {
        const place = { id: note.id, slot: note.slot, zone: note.zone, provided: note.image, observedAt };
        const owner = this.processOf(note);
        if (owner === undefined || note.startedAt === undefined) {
          const isStarting = note.startedAt === undefined;
          const [health, why] = isStarting ? (["unknown", "it is being started"] as const) : (["unhealthy", "the machine died"] as const);
          const bootedAt = owner === undefined ? undefined : note.bootedAt;
          return { ...place, running: undefined, bootedAt, health, why, serving: false };
        }
        const server = served.get(note.id);
        const isSeenThere = this.byBalancer && server !== undefined;
        const seen = isSeenThere ? { health: server.health, why: server.seen } : await this.probes.look(note.id, this.probed(note));
        const isWell = seen.health === "healthy";
        const isLetIn = isSeenThere || server === undefined || (await this.weighByHealth(note, server.weight, isWell));
        return {
          ...place,
          running: this.measure(note, owner, releases),
          bootedAt: note.bootedAt,
          health: seen.health,
          ...(isWell ? {} : { why: seen.why }),
          serving: this.balancer === undefined ? note.weight !== undefined && isWell : isLetIn && (server?.serving ?? false),
        };
      }),
    );
  }

  async launch(place: InstancePlace, release: FleetRelease, signal: AbortSignal): Promise<void> {
    const earlier = this.notes.read(place.id);
    if (earlier?.endedAt !== undefined) throw failed(place.id, "it has ended, and no id is used twice");
    if (earlier?.startedAt !== undefined) {
      if (this.processOf(earlier) !== undefined) return;
      throw failed(place.id, "it ran, and the machine died");
    }
    this.notes.keepRelease(release);
    try {
      const snapshot = await this.snapshots.ensure(release, this.fleet.memoryMiB, signal);
      if (earlier !== undefined) await this.clear(earlier); // whoever began it died: what it had made was nobody yet
      const note = {
        ...{ id: place.id, slot: place.slot, zone: place.zone, image: release.image, snapshot: snapshot.key },
        ...{ machineId: randomBytes(16).toString("hex"), ports: {} },
      };
      this.notes.write(note);
      await this.clone(note, snapshot, signal);
    } catch (error) {
      const note = this.notes.read(place.id);
      if (note !== undefined && note.endedAt === undefined) await this.clear(note);
      if (signal.aborted) throw new BakehouseError("CANCELLED", `Stopped while ${place.id} was started`, {}, error);
      if (error instanceof BakehouseError && error.code !== "VM_FAILED" && error.code !== "INPUT_INVALID") throw error;
      throw failed(place.id, error instanceof Error ? error.message : String(error), error);
    }
  }

  async activate(id: string): Promise<void> {
    throw failed(id, "a virtual machine has its release as a drive: the instance has to be replaced");
  }

  async admit(id: string, weight: number): Promise<void> {
    const note = this.notes.read(id);
    if (note === undefined || note.endedAt !== undefined) throw notFound(this.fleet.name, id);
    if (note.weight !== weight) this.notes.write({ ...note, weight });
    await this.ensureBalancer(this.notes.open());
    if (this.balancer === undefined) return;
    const isWell = this.byBalancer || (await this.probes.look(id, this.probed(note))).health === "healthy";
    await this.letIn(note, isWell ? weight : 0);
  }

  async drain(id: string, deadlineMs: number): Promise<boolean> {
    const note = this.notes.read(id);
    if (note === undefined || note.endedAt !== undefined) return true;
    const { weight: _weight, ...rest } = note;
    this.notes.write(rest);
    await this.ensureBalancer(this.notes.open());
    return (await this.balancer?.drain(id, deadlineMs)) ?? true;
  }

  async terminate(id: string): Promise<void> {
    const note = this.notes.read(id);
    if (note === undefined) return;
    await this.balancer?.remove(id);
    await this.clear(note);
    this.probes.forget(id);
    this.notes.write({ ...note, endedAt: note.endedAt ?? new Date().toISOString() });
  }

  async logs(id: string, { lines, unit }: { readonly lines: number; readonly unit?: string }): Promise<readonly string[]> {
    const note = this.notes.read(id);
    if (note === undefined || note.endedAt !== undefined) throw notFound(this.fleet.name, id);
    if (this.processOf(note) !== undefined) {
      const argv = ["journalctl", "--no-pager", "--quiet", "-n", String(lines), ...(unit === undefined ? [] : ["-u", unit])];
      const { code, stdout } = await runOnLine(this.machineFolder(id), argv, { timeoutMs: ASK_MS });
      if (code === 0 && (stdout !== "" || unit !== undefined)) return linesOf(stdout).slice(-lines);
    }
    return linesOf(this.console(id)).slice(-lines); // of a machine that does not answer, the console is what is left
  }

  async commandLine(id: string, argv: readonly string[]): Promise<readonly string[]> {
    return lineCommand(this.machineFolder(this.running(id).id), argv);
  }

  async http(id: string, { port, path, timeoutMs }: { readonly port: number; readonly path: string; readonly timeoutMs: number }) {
    return ask(await this.forward(this.running(id), port), path, timeoutMs);
  }

  async dissolve(): Promise<void> {
    await this.balancer?.stop();
  }

  /** From the snapshot to a machine that is somebody. */
  private async clone(begun: MachineNote, snapshot: Snapshot, signal: AbortSignal): Promise<void> {
    const folder = this.machineFolder(begun.id);
    rmSync(folder, { recursive: true, force: true });
    makeFolder(join(folder, ".."));
    mkdirSync(folder, { mode: 0o700 });
    const serial = join(folder, "console.log");
    const owner = await startProcess(folder, qemuArguments(snapshot.hardware, snapshot.files, { as: "clone", serial }));
    let note: MachineNote = { ...begun, process: owner };
    this.notes.write(note);
    signal.throwIfAborted();
    await withQmp(folder, GO_ON_MS, async (qmp) => {
      await qmp.execute("migrate-set-capabilities", { capabilities: [{ capability: "x-ignore-shared", state: true }] });
      await qmp.execute("migrate-incoming", { uri: `exec:cat ${shellWord(snapshot.state)}` });
      // a machine that goes on before it is all there has no network
      for (let status = ""; status !== "paused"; await delay(POLL_MS)) {
        ({ status = "" } = (await qmp.execute("query-status")) as { readonly status?: string });
        signal.throwIfAborted();
      }
      await qmp.execute("cont");
    });
    note = { ...note, bootedAt: new Date().toISOString() };
    this.notes.write(note);
    const became = await runOnLine(folder, becomeCommand(note.id, note.machineId, Math.round(Date.now() / 1000)), {
      timeoutMs: BECOME_MS,
      stdin: this.given(),
      signal,
    });
    if (became.code !== 0)
      throw failed(note.id, `it did not take its identity (${became.code}): ${(became.stderr || became.stdout).trim() || "no answer"}`);
    this.notes.write({ ...note, startedAt: new Date().toISOString() });
  }

  /** What a machine is given, as `become` reads it. The random bytes are this machine's alone. */
  private given(): string {
    const { launch, secrets } = this.fleet;
    const credentials = { ...launch.credentials, ...Object.fromEntries(this.parts.secrets(secrets)) };
    const encoded = (content: string | Uint8Array): string => Buffer.from(content).toString("base64");
    const lines = [
      `R ${encoded(randomBytes(RESEED_BYTES))}`,
      ...Object.entries(launch.files).map(([path, content]) => `F ${encoded(path)} ${encoded(content)}`),
      ...Object.entries(credentials).map(([name, content]) => `C ${name} ${encoded(content)}`),
      ...Object.entries(launch.environment).map(([name, value]) => `E ${encoded(`${name}=${value}`)}`),
      "G",
    ];
    return `${lines.join("\n")}\n`;
  }

  /** What it has open, mapped to the images that this fleet has had. */
  private measure(note: MachineNote, owner: Owner, releases: readonly FleetRelease[]): ImageDigest | undefined {
    try {
      return this.snapshots.identify(note.snapshot, openFiles(owner), releases);
    } catch {
      return undefined; // it ended meanwhile
    }
  }

  /** HAProxy asks over HTTP. That a port is open tells nothing of the machine: QEMU opens it. */
  private get byBalancer(): boolean {
    return this.balancer !== undefined && this.fleet.health.probe.kind === "http";
  }

  private probed(note: MachineNote): Probed {
    const folder = this.machineFolder(note.id);
    return {
      state: { startedAt: note.bootedAt ?? "" },
      exec: (argv, { timeoutMs }) => runOnLine(folder, argv, { timeoutMs: Math.max(timeoutMs, 1) }),
      connect: async (port, timeoutMs) => {
        const { code, stdout } = await runOnLine(folder, ["cat", "/proc/net/tcp", "/proc/net/tcp6"], { timeoutMs });
        return code === NO_ANSWER || code === 124 ? "timeout" : listens(stdout, port) ? "open" : "refused";
      },
      http: async ({ url, timeoutMs }) => {
        const { port, pathname, search } = new URL(url);
        return ask(await this.forward(note, Number(port || 80)), `${pathname}${search}`, timeoutMs);
      },
    };
  }

  /** A load balancer that was killed is started again, and told everything that it had known. One machine that is in trouble is left out. */
  private async ensureBalancer(notes: readonly MachineNote[]): Promise<void> {
    if (this.balancer === undefined || !(await this.balancer.ensureRunning())) return;
    for (const note of notes)
      if (note.weight !== undefined && this.processOf(note) !== undefined)
        await this.letIn(note, this.byBalancer ? note.weight : 0).catch(() => undefined);
  }

  /** What the load balancer cannot see it is told by its weight. @returns whether it takes requests */
  private async weighByHealth(note: MachineNote, has: number, isWell: boolean): Promise<boolean> {
    if (note.weight === undefined) return false;
    const weight = isWell ? note.weight : 0;
    if (has !== weight) await this.letIn(note, weight).catch(() => undefined); // the next look tries again
    return weight > 0;
  }

  private async letIn(note: MachineNote, weight: number): Promise<void> {
    const { traffic, health } = this.fleet;
    const port = await this.forward(note, traffic?.backend ?? 80);
    const probePort = health.probe.kind === "http" ? await this.forward(note, health.probe.port) : port;
    await this.balancer?.admit({ id: note.id, port, probePort, weight });
  }

  /** Port of this machine's loopback that leads to one of the instance, from now on. QEMU takes a free one. */
  private forward(note: MachineNote, port: number): Promise<number> {
    const key = `${note.id} ${port}`;
    const known = this.notes.read(note.id)?.ports[port];
    if (known !== undefined) return Promise.resolve(known);
    const under = this.forwarding.get(key) ?? this.forwardOnce(note.id, port).finally(() => this.forwarding.delete(key));
    this.forwarding.set(key, under);
    return under;
  }

  private async forwardOnce(id: string, port: number): Promise<number> {
    const found = await withQmp(this.machineFolder(id), ASK_MS, async (qmp) => {
      const listed = async (): Promise<number | undefined> => forwardedIn(await qmp.monitor("info usernet"), port);
      return (await listed()) ?? (await qmp.monitor(`hostfwd_add net tcp:127.0.0.1:0-:${port}`), await listed());
    });
    if (found === undefined) throw failed(id, `port ${port} of the machine cannot be reached`);
    const note = this.notes.read(id);
    if (note !== undefined) this.notes.write({ ...note, ports: { ...note.ports, [port]: found } });
    return found;
  }

  /** Ends its process and removes what belonged to that. */
  private async clear(note: MachineNote): Promise<void> {
    const owner = this.processOf(note);
    if (owner !== undefined) await endProcess(owner);
    rmSync(this.machineFolder(note.id), { recursive: true, force: true });
  }

  /** By its note; for one that was started by who died before it was noted, by what QEMU wrote itself. */
  private processOf({ id, process }: Pick<MachineNote, "id" | "process">): Owner | undefined {
    if (process !== undefined) return isAlive(process) ? process : undefined;
    return processIn(this.machineFolder(id));
  }

  private running(id: string): MachineNote {
    const note = this.notes.read(id);
    if (note === undefined || note.endedAt !== undefined || this.processOf(note) === undefined) throw notFound(this.fleet.name, id);
    return note;
  }

  private console(id: string): string {
    const file = join(this.machineFolder(id), "console.log");
    return existsSync(file) ? stripVTControlCharacters(readFileSync(file, "utf8")).replaceAll("\r", "") : "";
  }

  private machineFolder(id: string): string {
    return this.store.path(this.folder, "machines", id);
  }
}

const POLL_MS = 10;
/** Measured: 0.5 s; a loaded host takes its time. */
const GO_ON_MS = 60_000;
const BECOME_MS = 120_000;
const ASK_MS = 30_000;

const linesOf = (text: string): readonly string[] => text.split("\n").filter((line) => line.trim() !== "");

/** `info usernet`: one line for each forwarded port. */
function forwardedIn(listed: string, port: number): number | undefined {
  const rows = [...listed.matchAll(/HOST_FORWARD\]\s+\d+\s+127\.0\.0\.1\s+(\d+)\s+\S+\s+(\d+)/g)];
  const found = rows.find(([, , guest]) => Number(guest) === port)?.[1];
  return found === undefined ? undefined : Number(found);
}

/** proc(5), /proc/net/tcp: address and port in hexadecimal digits, then the other side, then 0A for one that listens. */
function listens(table: string, port: number): boolean {
  const hex = port.toString(16).toUpperCase().padStart(4, "0");
  return [...table.matchAll(/^\s*\d+: ([0-9A-F]+):([0-9A-F]{4}) \S+ 0A /gm)].some(
    ([, address = "", its]) => its === hex && !/^0100007F$|^0{24}01000000$/.test(address),
  );
}

/** An answer is read up to 16 MiB, as of cells. */
const BODY_AT_MOST = 16 * 1024 * 1024;

async function ask(port: number, path: string, timeoutMs: number): Promise<{ readonly status: number; readonly body: string }> {
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    request({ host: "127.0.0.1", port, path, agent: false, signal: AbortSignal.timeout(timeoutMs) })
      .once("response", resolve)
      .once("error", reject)
      .end();
  });
  return { status: response.statusCode ?? 0, body: (await text(response)).slice(0, BODY_AT_MOST) };
}

const failed = (id: string, why: string, cause?: unknown): BakehouseError =>
  new BakehouseError("INSTANCE_FAILED", `${id}: ${why}`, cause instanceof BakehouseError ? cause.help : {}, cause);

const notFound = (fleet: string, id: string): BakehouseError =>
  new BakehouseError("INSTANCE_NOT_FOUND", `Fleet ${fleet} has no running instance ${id}`, { hint: `bakehouse fleet ps ${fleet}` });
