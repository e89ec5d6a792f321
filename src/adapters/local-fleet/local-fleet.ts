import { realpathSync } from "node:fs";
import type { ImageDigest } from "../../core/digest.ts";
import { BakehouseError } from "../../core/errors.ts";
import type { InstanceReport } from "../../core/fleet/instance.ts";
import type { Fleet } from "../../core/fleet/model.ts";
import { FleetNotes, type InstanceNote } from "../fleet-notes/fleet-notes.ts";
import type { FleetRelease } from "../../core/fleet/release.ts";
import { environmentFile } from "../../core/fleet/environment-file.ts";
import { overlayLowers } from "../../core/layer/overlay-lowers.ts";
import type { Cell, Cells, CellState, MountedSource } from "../../ports/cells.ts";
import type { FleetProvider, ProviderCan } from "../../ports/fleet-provider.ts";
import type { Store } from "../../ports/store.ts";
import { haproxy } from "../fleet-balancer/balancer.ts";
import { probes, type Probes } from "../fleet-balancer/probes.ts";
import { freePort } from "../local-host/free-port.ts";

interface CellNote extends InstanceNote {
  /** Ports of this machine's loopback that lead to where it serves, and to where its health is asked for. */
  readonly port: number;
  readonly probePort: number;
}

export interface LocalFleetParts {
  readonly store: Store;
  readonly cells: Cells;
  /** Values by the names of the fleet's secrets. @throws SECRET_MISSING */
  secrets(names: readonly string[]): ReadonlyMap<string, string>;
}

/** Cells of this host as the instances of a fleet, behind HAProxy where it has traffic. */
export function localFleet(parts: LocalFleetParts, recipe: string, fleet: Fleet): FleetProvider {
  return new LocalFleet(parts, recipe, fleet);
}

class LocalFleet implements FleetProvider {
  readonly can: ProviderCan;
  private readonly store: Store;
  private readonly cells: Cells;
  private readonly parts: LocalFleetParts;
  private readonly fleet: Fleet;
  private readonly folder: string;
  private readonly notes: FleetNotes<CellNote>;
  private readonly balancer: ReturnType<typeof haproxy> | undefined;
  private readonly probes: Probes;

  constructor(parts: LocalFleetParts, recipe: string, fleet: Fleet) {
    this.parts = parts;
    this.store = parts.store;
    this.cells = parts.cells;
    this.fleet = fleet;
    this.can = { replace: true, activate: true, weigh: fleet.traffic !== undefined };
    this.folder = `fleets/${recipe}/${fleet.name}`;
    this.notes = new FleetNotes(parts.store, this.folder);
    const { traffic, health } = fleet;
    this.balancer = traffic === undefined ? undefined : haproxy({ folder: this.store.path(this.folder), listen: traffic.listen, health });
    this.probes = probes(health);
  }

  async observe(): Promise<readonly InstanceReport[]> {
    const notes = this.notes.open();
    await this.ensureBalancer(notes);
    const served = new Map((await this.balancer?.servers())?.map((server) => [server.id, server]) ?? []);
    const machines = new Map(this.cells.all().map((cell) => [cell.state.name, cell]));
    const releases = this.notes.releases();
    const observedAt = new Date().toISOString();
    return Promise.all(
      notes.map(async (note): Promise<InstanceReport> => {
        const machine = machines.get(note.id);
        const state = machine?.state;
        const place = { id: note.id, slot: note.slot, zone: note.zone, provided: note.image, observedAt };
        const cell = isUp(state) ? machine : undefined;
        const mounted = cell?.mounted();
        if (state === undefined || cell === undefined || mounted === undefined) {
          const isStarting = cell !== undefined || (state === undefined && note.startedAt === undefined);
          const [health, why] = isStarting ? (["unknown", "it is being started"] as const) : (["unhealthy", ended(state)] as const);
          return { ...place, running: undefined, bootedAt: cell === undefined ? undefined : state?.startedAt, health, why, serving: false };
        }
        const server = served.get(note.id);
        const seen =
          this.byBalancer && server !== undefined ? { health: server.health, why: server.seen } : await this.probes.look(note.id, cell);
        return {
          ...place,
          running: this.identify(mounted, releases),
          bootedAt: state.startedAt,
          health: seen.health,
          ...(seen.health === "healthy" ? {} : { why: seen.why }),
          serving: this.balancer === undefined ? note.weight !== undefined && seen.health === "healthy" : (server?.serving ?? false),
        };
      }),
    );
  }

  async launch(
    place: { readonly id: string; readonly slot: string; readonly zone: string },
    release: FleetRelease,
    signal: AbortSignal,
  ): Promise<void> {
    const earlier = this.notes.read(place.id);
    if (earlier?.endedAt !== undefined) throw failed(place.id, "it has ended, and no id is used twice");
    const state = this.state(place.id);
    if (isUp(state)) return;
    if (earlier?.startedAt !== undefined) throw failed(place.id, `it ran, and ${ended(state)}`);
    this.notes.keepRelease(release);
    const { launch, secrets, traffic, health } = this.fleet;
    const backend = traffic?.backend ?? (health.probe.kind === "command" ? 80 : health.probe.port);
    const asked = health.probe.kind === "command" ? backend : health.probe.port;
    const credentials = { ...launch.credentials, ...Object.fromEntries(this.parts.secrets(secrets)) };
    for (let tries = 0; ; tries++) {
      const port = await freePort();
      const probePort = asked === backend ? port : await freePort();
      const note: CellNote = { ...place, image: release.image, port, probePort };
      this.notes.write(note);
      try {
        await this.cells.start(
          {
            image: { digest: release.image, name: release.name },
            source: { diffs: release.diffs, ...(release.volume === undefined ? {} : { volume: release.volume }) },
            name: place.id,
            purpose: "run",
            publish: [{ hostPort: port, cellPort: backend }, ...(probePort === port ? [] : [{ hostPort: probePort, cellPort: asked }])],
            files: { ...launch.files, ...environmentFile(launch.environment) },
            credentials,
          },
          signal,
        );
        this.notes.write({ ...note, startedAt: new Date().toISOString() });
        return;
      } catch (error) {
        if (isTaken(error) && tries < PORT_TRIES) continue; // somebody else took the port meanwhile
        throw error instanceof BakehouseError && error.code !== "CANCELLED" && error.code !== "RESOURCE_BUSY"
          ? failed(place.id, error.message, error)
          : error;
      }
    }
  }

  async activate(id: string, release: FleetRelease, signal: AbortSignal): Promise<void> {
    const cell = this.cell(id);
    this.notes.keepRelease(release);
    if (this.identify(cell.mounted(), this.notes.releases()) === release.image) return this.provide(id, release);
    if (release.volume === undefined) throw failed(id, `${release.name} is no volume: the instance has to be replaced`);
    const lowers = cell.mounted()?.lowers;
    if (lowers !== this.lowersOf(release)) throw failed(id, `${release.name} stands on another root: the instance has to be replaced`);
    await cell.exchangeVolume({ digest: release.image, name: release.name }, release.volume);
    await this.restart(cell, release, signal);
    await this.balancer?.forgetHealth(id); // what was seen until now was seen of what ran before
    this.probes.forget(id);
    this.provide(id, release);
  }

  async admit(id: string, weight: number): Promise<void> {
    const note = this.notes.read(id);
    if (note === undefined || note.endedAt !== undefined) throw notFound(this.fleet.name, id);
    if (note.weight !== weight) this.notes.write({ ...note, weight });
    await this.ensureBalancer(this.notes.open());
    await this.balancer?.admit({ id, port: note.port, probePort: note.probePort, weight });
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
    if (this.state(id) !== undefined) await this.cells.find(id).stop();
    this.probes.forget(id);
    this.notes.write({ ...note, endedAt: note.endedAt ?? new Date().toISOString() });
  }

  async logs(id: string, { lines, unit }: { readonly lines: number; readonly unit?: string }): Promise<readonly string[]> {
    return this.cell(id).journal({ lines, ...(unit === undefined ? {} : { unit }) });
  }

  async commandLine(id: string, argv: readonly string[]): Promise<readonly string[]> {
    return this.cell(id).commandLine(argv);
  }

  async http(id: string, { port, path, timeoutMs }: { readonly port: number; readonly path: string; readonly timeoutMs: number }) {
    return this.cell(id).http({ url: `http://127.0.0.1:${port}${path}`, timeoutMs });
  }

  async dissolve(): Promise<void> {
    await this.balancer?.stop();
  }

  /** HAProxy looks at all but what a program inside has to tell. */
  private get byBalancer(): boolean {
    return this.balancer !== undefined && this.fleet.health.probe.kind !== "command";
  }

  /** A load balancer that was killed is started again, and told everything that it had known. */
  private async ensureBalancer(notes: readonly CellNote[]): Promise<void> {
    if (this.balancer === undefined || !(await this.balancer.ensureRunning())) return;
    for (const { id, port, probePort, weight } of notes)
      if (weight !== undefined) await this.balancer.admit({ id, port, probePort, weight });
  }

  /** The one whose root and volume are those that are mounted. */
  private identify(mounted: MountedSource | undefined, releases: readonly FleetRelease[]): ImageDigest | undefined {
    if (mounted === undefined) return undefined;
    const found = releases.find(
      (release) =>
        this.lowersOf(release) === mounted.lowers &&
        mounted.volumeFile === (release.volume === undefined ? undefined : realPath(this.store.blobs.path(release.volume.blob))),
    );
    return found?.image;
  }

  private lowersOf(release: FleetRelease): string {
    return overlayLowers(release.diffs)
      .map((diff) => this.store.diffs.name(diff))
      .join(":");
  }

  private async restart(cell: Cell, { entry }: FleetRelease, signal: AbortSignal): Promise<void> {
    if (entry === undefined) return;
    const { code, stderr } = await cell.exec(["systemctl", "reload-or-restart", entry], { timeoutMs: RESTART_MS, signal });
    if (code !== 0) throw failed(cell.state.name, `${entry} does not start again: ${stderr.trim()}`);
  }

  private provide(id: string, release: FleetRelease): void {
    const note = this.notes.read(id);
    if (note !== undefined && note.image !== release.image) this.notes.write({ ...note, image: release.image });
  }

  private state(id: string): CellState | undefined {
    return this.cells.list().find(({ name }) => name === id);
  }

  private cell(id: string): Cell {
    const note = this.notes.read(id);
    if (note === undefined || note.endedAt !== undefined || !isUp(this.state(id))) throw notFound(this.fleet.name, id);
    return this.cells.find(id);
  }
}

/** A guess for a service that takes its time; longer is a failure of the release. */
const RESTART_MS = 60_000;
const PORT_TRIES = 10;

const isUp = (state: CellState | undefined): boolean => state?.status === "running" || state?.status === "starting";
const isTaken = (error: unknown): boolean =>
  error instanceof BakehouseError && error.code === "RESOURCE_BUSY" && error.message.startsWith("Port ");
const ended = (state: CellState | undefined): string => (state?.status === "died" ? "the machine died" : "the machine is gone");

function realPath(path: string): string | undefined {
  try {
    return realpathSync(path);
  } catch {
    return undefined;
  }
}

const failed = (id: string, why: string, cause?: unknown): BakehouseError =>
  new BakehouseError("INSTANCE_FAILED", `${id}: ${why}`, {}, cause);

const notFound = (fleet: string, id: string): BakehouseError =>
  new BakehouseError("INSTANCE_NOT_FOUND", `Fleet ${fleet} has no running instance ${id}`, { hint: `bakehouse fleet ps ${fleet}` });
