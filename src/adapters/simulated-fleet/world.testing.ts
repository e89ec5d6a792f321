import type { ImageDigest } from "../../core/digest.ts";
import type { InstanceHealth } from "../../core/fleet/instance.ts";
import type { FleetRelease } from "../../core/fleet/release.ts";
import type { InstancePlace, ProviderCan } from "../../ports/fleet-provider.ts";
import type { Clock } from "../../ports/host.ts";

/** Of the system, or virtual. */
export interface WorldClock extends Clock {
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

export type CallName = "observe" | "launch" | "activate" | "admit" | "drain" | "terminate" | "http";

/** Something that was asked of the provider. */
export interface WorldCall {
  readonly what: CallName;
  readonly atMs: number;
  /** Of the machine; empty for `observe`. */
  readonly id: string;
  readonly image?: ImageDigest;
  readonly weight?: number;
}

/** What goes wrong. */
export interface WorldFault {
  readonly on: CallName;
  /** Which calls; default all. */
  readonly when?: (call: WorldCall, machine: Machine | undefined) => boolean;
  /**
   * `fails`: as a provider says that it cannot be done. `throws`: as a bug does. `hangs`: until it is called off. `does-and-throws`: it is
   * done, and the answer is lost.
   */
  readonly does: "fails" | "throws" | "hangs" | "does-and-throws";
  /** So often; default always. */
  readonly times?: number;
  readonly why?: string;
}

export interface Machine extends InstancePlace {
  /** What it was made from or brought to. */
  readonly provided: ImageDigest | undefined;
  /** What it runs, and since when. */
  readonly running: ImageDigest | undefined;
  readonly sinceMs: number;
  /** Absent: it was written down, and is not started yet. */
  readonly bootedMs?: number;
  readonly weight?: number;
  /** It died at that time, or will. */
  readonly diesMs?: number;
  readonly isSilent?: boolean;
  /** Its requests never end. */
  readonly isEndless?: boolean;
  readonly log: readonly string[];
}

export interface HealthQuestion extends InstancePlace {
  readonly image: ImageDigest;
  /** How long it has been running it. */
  readonly ageMs: number;
  readonly nowMs: number;
}

export interface WorldOptions {
  readonly clock: WorldClock;
  readonly can?: Partial<ProviderCan>;
  /** Machines that are there from the beginning, and the only ones where they cannot be made. */
  readonly hosts?: readonly InstancePlace[];
  /** How long it takes to make a machine and start it. */
  readonly launchMs?: number;
  /** How long after its start, or after its release was exchanged, it is healthy. */
  readonly bootMs?: number;
  readonly activateMs?: number;
  /** How long requests under way take to end. */
  readonly drainMs?: number;
  readonly terminateMs?: number;
  /** Asked once it has booted. Default: healthy. */
  readonly health?: (about: HealthQuestion) => InstanceHealth;
}

type Change = { -readonly [Key in keyof Machine]?: Machine[Key] | undefined };

/** Machines that are made up. It outlives the processes that look after it: each opens a provider of its own. */
export class SimulatedWorld {
  readonly clock: WorldClock;
  readonly can: ProviderCan;
  readonly options: WorldOptions;
  /** Everything that was asked for, but looks. */
  readonly calls: WorldCall[] = [];
  looks = 0;
  isDissolved = false;
  private readonly beganAt: number;
  private readonly machines = new Map<string, Machine>();
  private readonly ended = new Set<string>();
  private readonly releases = new Map<ImageDigest, FleetRelease>();
  private faults: { readonly fault: WorldFault; left: number }[] = [];

  constructor(options: WorldOptions) {
    this.options = options;
    this.clock = options.clock;
    this.can = { replace: true, activate: true, weigh: true, ...options.can };
    const nowMs = this.clock.elapsedMs();
    this.beganAt = this.clock.now().getTime() - nowMs;
    for (const host of options.hosts ?? [])
      this.machines.set(host.id, { ...host, provided: undefined, running: undefined, sinceMs: nowMs, bootedMs: nowMs, log: ["booted"] });
  }

  /** Wall time of a moment, ISO 8601. */
  at(elapsedMs: number): string {
    return new Date(this.beganAt + elapsedMs).toISOString();
  }

  /** All that have not ended, in the order in which they were made. */
  all(): readonly Machine[] {
    return [...this.machines.values()];
  }

  find(id: string): Machine | undefined {
    return this.machines.get(id);
  }

  hasEnded(id: string): boolean {
    return this.ended.has(id);
  }

  release(image: ImageDigest): FleetRelease | undefined {
    return this.releases.get(image);
  }

  know(release: FleetRelease): void {
    this.releases.set(release.image, release);
  }

  put(machine: Machine): void {
    this.machines.set(machine.id, machine);
  }

  change(id: string, change: Change): void {
    const machine = this.machines.get(id);
    if (machine !== undefined) this.machines.set(id, { ...machine, ...change } as Machine);
  }

  remove(id: string): void {
    this.machines.delete(id);
    this.ended.add(id);
  }

  isDead({ diesMs }: Machine): boolean {
    return diesMs !== undefined && diesMs <= this.clock.elapsedMs();
  }

  healthOf(machine: Machine): InstanceHealth {
    const { running, sinceMs, bootedMs, isSilent } = machine;
    const nowMs = this.clock.elapsedMs();
    if (bootedMs === undefined || isSilent === true) return "unknown";
    if (this.isDead(machine)) return "unhealthy";
    if (running === undefined) return "unhealthy"; // nothing is on it yet
    const ageMs = nowMs - sinceMs;
    if (ageMs < (this.options.bootMs ?? BOOT_MS)) return "unhealthy";
    const { id, slot, zone } = machine;
    return this.options.health?.({ id, slot, zone, image: running, ageMs, nowMs }) ?? "healthy";
  }

  // What goes wrong

  inject(fault: WorldFault): void {
    this.faults.push({ fault, left: fault.times ?? Number.POSITIVE_INFINITY });
  }

  /** Nothing more goes wrong by itself. */
  mend(): void {
    this.faults = [];
  }

  faultFor(call: WorldCall): WorldFault | undefined {
    const found = this.faults.find(
      ({ fault, left }) => left > 0 && fault.on === call.what && (fault.when?.(call, this.find(call.id)) ?? true),
    );
    if (found !== undefined) found.left -= 1;
    return found?.fault;
  }

  /** As a power cut would, now or at a time. */
  kill(id: string, atMs = this.clock.elapsedMs()): void {
    this.change(id, { diesMs: atMs });
  }

  /** Nothing is heard of it, whatever it does. */
  silence(id: string, isSilent = true): void {
    this.change(id, { isSilent });
  }

  /** Its requests never end. */
  neverDrains(id: string): void {
    this.change(id, { isEndless: true });
  }
}

/** About those of a cell. */
export const BOOT_MS = 300;
export const LAUNCH_MS = 500;
export const ACTIVATE_MS = 100;
export const DRAIN_MS = 20;
export const TERMINATE_MS = 50;
