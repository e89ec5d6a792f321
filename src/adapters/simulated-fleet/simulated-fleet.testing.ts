import type { ImageDigest } from "../../core/digest.ts";
import { BakehouseError } from "../../core/errors.ts";
import type { InstanceReport } from "../../core/fleet/instance.ts";
import { differOnlyInVolume, type FleetRelease } from "../../core/fleet/release.ts";
import type { FleetProvider, InstancePlace } from "../../ports/fleet-provider.ts";
import {
  ACTIVATE_MS,
  DRAIN_MS,
  LAUNCH_MS,
  TERMINATE_MS,
  type CallName,
  type Machine,
  type SimulatedWorld,
  type WorldCall,
  type WorldFault,
} from "./world.testing.ts";

/**
 * The machines of a world as one process sees them. What it learns is in the world, and nothing in here.
 *
 * @param died  aborted when that process is killed: what is under way then stops where it is, and never returns
 */
export function simulatedFleet(world: SimulatedWorld, died?: AbortSignal): FleetProvider {
  return new SimulatedFleet(world, died);
}

class SimulatedFleet implements FleetProvider {
  private readonly world: SimulatedWorld;
  private readonly died: AbortSignal | undefined;

  constructor(world: SimulatedWorld, died: AbortSignal | undefined) {
    this.world = world;
    this.died = died;
  }

  get can() {
    return this.world.can;
  }

  async observe(): Promise<readonly InstanceReport[]> {
    this.world.looks += 1;
    return this.called("observe", "", {}, undefined, () => Promise.resolve(this.world.all().map((machine) => this.reportOf(machine))));
  }

  async launch(place: InstancePlace, release: FleetRelease, signal: AbortSignal): Promise<void> {
    const { world } = this;
    await this.called("launch", place.id, { image: release.image }, signal, async () => {
      if (!world.can.replace) throw failed(place.id, "machines cannot be made here");
      if (world.hasEnded(place.id)) throw failed(place.id, "it has ended, and no id is used twice");
      const earlier = world.find(place.id);
      if (earlier !== undefined && world.isDead(earlier)) throw failed(place.id, "it ran, and died");
      if (earlier?.bootedMs !== undefined) return;
      world.know(release);
      const note: Machine = { ...place, provided: release.image, running: undefined, sinceMs: 0, log: [] };
      world.put(note);
      await this.sleep(world.options.launchMs ?? LAUNCH_MS, signal);
      const nowMs = world.clock.elapsedMs();
      const made = world.find(place.id);
      if (made === undefined || made.bootedMs !== undefined) return; // another process was faster
      world.change(place.id, { running: release.image, sinceMs: nowMs, bootedMs: nowMs, log: [`booted ${release.image}`] });
    });
  }

  async activate(id: string, release: FleetRelease, signal: AbortSignal): Promise<void> {
    const { world } = this;
    await this.called("activate", id, { image: release.image }, signal, async () => {
      const machine = this.up(id);
      if (!world.can.activate) throw failed(id, "the release of a running machine cannot be exchanged here");
      world.know(release);
      if (machine.running === release.image) return world.change(id, { provided: release.image });
      const before = machine.running === undefined ? undefined : world.release(machine.running);
      if (before !== undefined && !differOnlyInVolume(before, release)) throw failed(id, `${release.name} stands on another root`);
      await this.sleep(world.options.activateMs ?? ACTIVATE_MS, signal);
      if (this.up(id).running === release.image) return;
      const log = [...machine.log, `activated ${release.image}`];
      world.change(id, { provided: release.image, running: release.image, sinceMs: world.clock.elapsedMs(), log });
    });
  }

  async admit(id: string, weight: number): Promise<void> {
    await this.called("admit", id, { weight }, undefined, () => {
      if (this.world.find(id) === undefined) throw notFound(id);
      this.world.change(id, { weight });
      return Promise.resolve();
    });
  }

  async drain(id: string, deadlineMs: number, signal: AbortSignal): Promise<boolean> {
    const { world } = this;
    return this.called("drain", id, {}, signal, async () => {
      const machine = world.find(id);
      if (machine === undefined) return true;
      world.change(id, { weight: undefined });
      const needsMs = machine.isEndless === true ? Number.POSITIVE_INFINITY : (world.options.drainMs ?? DRAIN_MS);
      await this.sleep(Math.min(deadlineMs, needsMs), signal);
      return needsMs <= deadlineMs;
    });
  }

  async terminate(id: string): Promise<void> {
    const { world } = this;
    await this.called("terminate", id, {}, undefined, async () => {
      if (world.find(id) === undefined) return;
      await this.sleep(world.options.terminateMs ?? TERMINATE_MS);
      world.remove(id);
    });
  }

  logs(id: string, { lines }: { readonly lines: number }): Promise<readonly string[]> {
    return Promise.resolve().then(() => this.up(id).log.slice(-lines));
  }

  commandLine(id: string, argv: readonly string[]): Promise<readonly string[]> {
    return Promise.resolve().then(() => ["in-simulated-machine", this.up(id).id, ...argv]);
  }

  http(id: string, request: { readonly port: number; readonly path: string; readonly timeoutMs: number }) {
    return this.called("http", id, {}, AbortSignal.timeout(request.timeoutMs), () => {
      const machine = this.up(id);
      if (this.world.healthOf(machine) !== "healthy") throw new Error(`${id} does not answer`);
      return Promise.resolve({ status: 200, body: machine.running ?? "" });
    });
  }

  dissolve(): Promise<void> {
    this.world.isDissolved = true;
    return Promise.resolve();
  }

  private reportOf(machine: Machine): InstanceReport {
    const { id, slot, zone, provided, running, bootedMs, weight = 0, isSilent } = machine;
    const { clock } = this.world;
    const place = { id, slot, zone, provided, observedAt: clock.now().toISOString() };
    const health = this.world.healthOf(machine);
    const isGone = this.world.isDead(machine);
    if (isGone || isSilent === true || bootedMs === undefined) {
      const why = isSilent === true ? "no answer" : isGone ? "the machine died" : "it is being started";
      return { ...place, running: undefined, bootedAt: undefined, health: isSilent === true ? "unknown" : health, why, serving: false };
    }
    return {
      ...place,
      running,
      bootedAt: this.world.at(bootedMs),
      health,
      ...(health === "healthy" ? {} : { why: "503" }),
      serving: health === "healthy" && weight > 0,
    };
  }

  /** One that answers. @throws INSTANCE_NOT_FOUND, INSTANCE_UNREACHABLE */
  private up(id: string): Machine {
    const machine = this.world.find(id);
    if (machine?.isSilent === true) throw new BakehouseError("INSTANCE_UNREACHABLE", `${id} does not answer`);
    if (machine?.bootedMs === undefined || this.world.isDead(machine)) throw notFound(id);
    return machine;
  }

  private async called<T>(
    what: CallName,
    id: string,
    details: { readonly image?: ImageDigest; readonly weight?: number },
    signal: AbortSignal | undefined,
    work: () => Promise<T>,
  ): Promise<T> {
    const call: WorldCall = { what, id, atMs: this.world.clock.elapsedMs(), ...details };
    if (what !== "observe") this.world.calls.push(call);
    await Promise.resolve();
    signal?.throwIfAborted();
    const fault = this.world.faultFor(call);
    if (fault === undefined) return work();
    return this.goWrong(call, fault, signal, work);
  }

  private async goWrong<T>(call: WorldCall, fault: WorldFault, signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T> {
    const why = fault.why ?? `${call.what} was made to go wrong`;
    switch (fault.does) {
      case "fails":
        throw failed(call.id, why);
      case "throws":
        throw new Error(why);
      case "does-and-throws":
        await work();
        throw new Error(why);
      case "hangs":
        return new Promise<never>((_, reject) => signal?.addEventListener("abort", () => reject(signal.reason as Error), { once: true }));
    }
  }

  private async sleep(ms: number, signal?: AbortSignal): Promise<void> {
    const signals = [signal, this.died].filter((each) => each !== undefined);
    await this.world.clock.sleep(ms, AbortSignal.any(signals));
    if (this.died?.aborted === true) await new Promise<never>(() => undefined);
    signal?.throwIfAborted();
  }
}

const failed = (id: string, why: string): BakehouseError => new BakehouseError("INSTANCE_FAILED", `${id}: ${why}`);

const notFound = (id: string): BakehouseError =>
  new BakehouseError("INSTANCE_NOT_FOUND", `The simulated fleet has no running instance ${id}`);
