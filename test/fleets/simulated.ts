import { createHash } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { simulatedFleet } from "../../src/adapters/simulated-fleet/simulated-fleet.testing.ts";
import { VirtualClock } from "../../src/adapters/simulated-fleet/virtual-clock.testing.ts";
import { SimulatedWorld, type WorldOptions } from "../../src/adapters/simulated-fleet/world.testing.ts";
import { openSqliteFleets } from "../../src/adapters/sqlite-fleets/sqlite-fleets.ts";
import type { DiffId, ImageDigest } from "../../src/core/digest.ts";
import { DEFAULT_POLICY } from "../../src/core/fleet/default-policy.ts";
import type { FleetPolicy, LocalFleet } from "../../src/core/fleet/model.ts";
import type { GateAnswer, RolloutGate } from "../../src/core/gates/model.ts";
import type { GateSubjects } from "../../src/core/gates/subjects.ts";
import { ANNOTATIONS, MEDIA_TYPES, type ImageConfig, type ImageManifest } from "../../src/core/image/oci.ts";
import { carryFleet, type FleetTurn } from "../../src/engine/carry-fleet.ts";
import { commandRollout, type CommandOptions, type Commanded } from "../../src/engine/command-rollout.ts";
import { convergeFleet, type ConvergeOptions, type Converged } from "../../src/engine/converge-fleet.ts";
import type { FleetParts } from "../../src/engine/fleet-parts.ts";
import { showRollout, type RolloutView } from "../../src/engine/show-rollout.ts";
import { startRollout, type StartRolloutOptions, type StartedRollout } from "../../src/engine/start-rollout.ts";
import type { Catalog } from "../../src/ports/catalog.ts";
import type { Ledger } from "../../src/ports/ledger.ts";
import { FIRST_HASH, nextRecord, type AuditRecord } from "../../src/core/audit/record.ts";
import type { FleetProvider } from "../../src/ports/fleet-provider.ts";
import type { FleetRecords, FleetRolloutRecords, KnownFleet } from "../../src/ports/fleet-records.ts";
import type { GateProbes } from "../../src/ports/gate-probes.ts";
import type { Owner } from "../../src/ports/store.ts";
import { openImages, type ImageParts } from "../../src/presets/images.ts";

const sha256 = (text: string) => `sha256:${createHash("sha256").update(text).digest("hex")}` as const;

/** Images of the shop that are nothing but their papers: what a fleet is brought to is made up, too. */
export interface ShopImages {
  readonly parts: ImageParts;
  /** Volumes on one root: only the volume differs. */
  readonly r1: ImageDigest;
  readonly r2: ImageDigest;
  readonly r3: ImageDigest;
  /** A volume on another root. */
  readonly other: ImageDigest;
  /** A whole image. */
  readonly root: ImageDigest;
  /** One more volume on the first root. */
  volume(name: string): Promise<ImageDigest>;
  /** Points `shop/release@<channel>` to an image. */
  point(channel: string, digest: ImageDigest): Promise<void>;
  revoke(digest: ImageDigest, reason: string): Promise<void>;
  close(): Promise<void>;
}

export async function shopImages(): Promise<ShopImages> {
  const folder = mkdtempSync(join(tmpdir(), "bakehouse-fleet-"));
  const parts = openImages({ store: join(folder, "store") });
  const { store } = parts;
  let count = 0;
  const publish = async (manifest: ImageManifest, name: string): Promise<ImageDigest> => {
    const stored = store.blobs.putJson(manifest);
    const entry = { mediaType: MEDIA_TYPES.manifest, digest: stored.digest, size: stored.sizeBytes };
    const kind = manifest.artifactType === undefined ? {} : { artifactType: manifest.artifactType };
    const bakedAt = new Date(Date.UTC(2026, 0, 1) + 1000 * count++).toISOString();
    const annotations = { ...manifest.annotations, [ANNOTATIONS.name]: name, [ANNOTATIONS.bakedAt]: bakedAt };
    await store.images.put([{ ...entry, ...kind, annotations }]);
    return stored.digest;
  };
  const image = async (name: string, content: string): Promise<ImageDigest> => {
    const diffs: readonly DiffId[] = [sha256(content)];
    const config = store.blobs.putJson({
      created: "2026-01-01T00:00:00Z",
      architecture: "amd64",
      os: "linux",
      config: {},
      rootfs: { type: "layers", diff_ids: diffs },
      history: [],
    } satisfies ImageConfig);
    const annotations = { [ANNOTATIONS.title]: name };
    const reference = { mediaType: MEDIA_TYPES.config, digest: config.digest, size: config.sizeBytes };
    return publish({ schemaVersion: 2, mediaType: MEDIA_TYPES.manifest, config: reference, layers: [], annotations }, name);
  };
  const volumeOn = (root: ImageDigest, name: string): Promise<ImageDigest> => {
    const empty = store.blobs.putJson({});
    const annotations = {
      [ANNOTATIONS.title]: name,
      [ANNOTATIONS.baseDigest]: root,
      [ANNOTATIONS.volumePath]: "/srv",
      [ANNOTATIONS.entry]: "shop.service",
    };
    const manifest: ImageManifest = {
      schemaVersion: 2,
      mediaType: MEDIA_TYPES.manifest,
      artifactType: MEDIA_TYPES.volume,
      config: { mediaType: MEDIA_TYPES.empty, digest: empty.digest, size: empty.sizeBytes },
      layers: [{ mediaType: MEDIA_TYPES.erofs, digest: sha256(`${name} ${count}`), size: 1 }],
      subject: { mediaType: MEDIA_TYPES.manifest, digest: root, size: store.blobs.sizeBytes(root) },
      annotations,
    };
    return publish(manifest, name);
  };
  const root = await image("shop/app", "root one");
  const second = await image("shop/app-two", "root two");
  const record = async (body: Parameters<Catalog["ledger"]["append"]>[0]): Promise<void> => {
    const { ledger } = await parts.catalog();
    await ledger.append(body, { at: new Date("2026-01-02T00:00:00Z"), who: "tester@host", after: await ledger.head() });
  };
  const name = "shop/release";
  return {
    parts,
    root,
    r1: await volumeOn(root, name),
    r2: await volumeOn(root, name),
    r3: await volumeOn(root, name),
    other: await volumeOn(second, name),
    volume: (called) => volumeOn(root, called),
    point: (channel, digest) =>
      record({
        action: "promoted",
        subject: digest,
        details: { name, channel, digest, before: null, gates: [], evidence: [], policy: 0 },
      }),
    revoke: (digest, reason) =>
      record({ action: "revoked", subject: digest, details: { name, reason, from: "2026-01-02T00:00:00.000Z", reaches: [] } }),
    close: async () => {
      await parts.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

export interface SiteOptions {
  readonly size?: number;
  readonly zones?: readonly string[];
  readonly rollout?: Partial<FleetPolicy>;
  readonly fleet?: Partial<LocalFleet>;
  readonly world?: Omit<WorldOptions, "clock">;
  /** Kept in this file, in place of memory. */
  readonly file?: string;
  /** Default one of its own. */
  readonly ledger?: Ledger;
}

/** Everything happens fast, and one after another. */
export const QUICK: FleetPolicy = {
  ...DEFAULT_POLICY,
  strategy: { kind: "rolling", batch: { count: 2 }, soakMs: 1000 },
  maxUnavailable: { count: 1 },
  minHealthy: { percent: 50 },
  maxSurge: { count: 0 },
  timeoutMs: 20_000,
  graceMs: 1000,
  unreachable: { allowed: { count: 0 }, afterMs: 10_000 },
};

/** Thrown where a process ends that was killed. */
export class Killed extends Error {
  override readonly name = "Killed";
}

/** Where a process dies: at the n-th write into the records or call of the provider, before or after it was done. */
export interface CrashPoint {
  readonly at: "write" | "call";
  readonly number: number;
  readonly when: "before" | "after";
}

const WRITES: ReadonlySet<string> = new Set([
  ...["append", "markDone", "show", "takeLease"],
  ...["setDeclared", "deny", "healed", "atOnce", "command", "setSize", "forgiveHealings", "stop", "lift"],
]);
const KEY = "shop/web";

/** An audit log in memory, of what is asked for in these tests. */
function memoryLedger(): Ledger {
  const records: AuditRecord[] = [];
  const head = () => ({ sequence: records.length, hash: records.at(-1)?.hash ?? FIRST_HASH });
  const ledger: Pick<Ledger, "head" | "append" | "records"> = {
    head: () => Promise.resolve(head()),
    records: () => Promise.resolve(records),
    append: (body, { at, who, after }) => {
      if (after.sequence !== records.length) return Promise.resolve({ moved: true });
      const next = nextRecord(body, { at: at.toISOString(), who }, records.at(-1), sha256);
      records.push(next);
      return Promise.resolve(next);
    },
  };
  return ledger as Ledger;
}

/** One fleet, its machines and its records, and processes that come and go. */
export class Site {
  readonly clock = new VirtualClock();
  readonly world: SimulatedWorld;
  readonly records: FleetRecords;
  readonly images: ShopImages;
  readonly ledger: Ledger;
  /** What gates answer. */
  gate: (gate: RolloutGate, subjects: GateSubjects) => GateAnswer | Promise<GateAnswer> = () =>
    ({ verdict: "passed", detail: "fine" }) as GateAnswer;
  selfTest: (gate: RolloutGate) => GateAnswer = () => ({ verdict: "passed", detail: "fine" }) as GateAnswer;
  /** Of each look: how many instances took traffic. */
  readonly served: number[] = [];
  readonly asked: { readonly gate: string; readonly subjects: GateSubjects }[] = [];
  readonly processes: SimProcess[] = [];

  constructor(images: ShopImages, options: SiteOptions = {}) {
    this.images = images;
    this.ledger = options.ledger ?? memoryLedger();
    this.world = new SimulatedWorld({ clock: this.clock, ...options.world });
    this.records = openSqliteFleets(options.file ?? ":memory:", { now: () => this.clock.now(), isAlive: (owner) => this.isAlive(owner) });
    this.declare(options);
  }

  declare(options: SiteOptions): KnownFleet {
    const fleet: LocalFleet = {
      name: "web",
      provider: "local",
      size: options.size ?? 6,
      zones: options.zones ?? ["a", "b"],
      runs: { pinned: this.images.r1 },
      health: { probe: { kind: "tcp", port: 80 }, intervalMs: 200, timeoutMs: 200, healthyAfter: 1, unhealthyAfter: 1 },
      launch: { files: {}, credentials: {}, environment: {} },
      first: [],
      neverFirst: [],
      freeze: [],
      windows: [],
      newRelease: "refuse",
      traffic: { listen: 8080, backend: 80 },
      secrets: [],
      rollout: { ...QUICK, ...options.rollout },
      ...options.fleet,
    };
    return this.records.declare({ name: "shop", secrets: {} }, "/shop/bakehouse.yaml", fleet);
  }

  get fleet(): KnownFleet {
    const [fleet] = this.records.fleets();
    if (fleet === undefined) throw new Error("no fleet");
    return fleet;
  }

  isAlive(owner: Owner): boolean {
    return this.processes.some(({ pid, isDead }) => pid === owner.pid && !isDead);
  }

  process(who = "ann@host", crash?: CrashPoint): SimProcess {
    const made = new SimProcess(this, this.processes.length + 1, who, crash);
    this.processes.push(made);
    return made;
  }

  run<T>(work: Promise<T>): Promise<T> {
    return this.clock.run(work, 3_600_000);
  }

  /** Fills the fleet. */
  async converge(options: Partial<ConvergeOptions> = {}): Promise<Converged> {
    const { parts } = this.process();
    return this.run(convergeFleet(parts, { retry: false, timeoutMs: 600_000, signal: never, ...options }));
  }

  start(options: StartRolloutOptions = {}, who?: string): Promise<StartedRollout> {
    return this.run(startRollout(this.process(who).parts, { image: this.images.r2, ...options }));
  }

  async begun(options: StartRolloutOptions = {}, who?: string): Promise<string> {
    const { id } = await this.start(options, who);
    if (id === undefined) throw new Error("nothing was begun");
    return id;
  }

  command(options: Omit<CommandOptions, "rollout">, who = "bea@host"): Promise<Commanded> {
    return this.run(commandRollout(this.process(who).parts, { rollout: undefined, ...options }, never));
  }

  /** Carries the fleet on until a look is enough; by default until the rollout has ended. */
  async carry(until: (turn: FleetTurn) => boolean = isOver, process = this.process()): Promise<FleetTurn> {
    return this.run(process.carry(until));
  }

  /** Converged, moved to r2, and everything that happened on the way. */
  async roll(options: StartRolloutOptions = {}): Promise<RolloutView> {
    await this.converge();
    const id = await this.begun(options);
    await this.carry();
    return this.view(id);
  }

  view(id: string): RolloutView {
    return showRollout(this.records.open(id));
  }

  /** What runs where: slot → image by its name, for those that are healthy and serve. */
  get serving(): Readonly<Record<string, string>> {
    const found = this.world.all().filter((machine) => this.world.healthOf(machine) === "healthy" && (machine.weight ?? 0) > 0);
    return Object.fromEntries(
      found.map(({ slot, running }) => [slot, this.nameOf(running)]).toSorted(([a = ""], [b = ""]) => a.localeCompare(b)),
    );
  }

  nameOf(digest: string | undefined): string {
    return Object.entries(this.images).find(([, value]) => value === digest)?.[0] ?? String(digest);
  }

  /** Moves in the order in which they were begun. */
  actions(id: string): readonly string[] {
    return this.records
      .open(id)
      .begun()
      .map(({ action }) =>
        action.kind === "move" ? `${action.how} ${action.id} ${this.nameOf(action.to)}` : action.key.slice(id.length + 2),
      );
  }
}

export const isOver = ({ rollout }: FleetTurn): boolean => rollout?.ended === true;

const never = new AbortController().signal;

/** One process as it would be: when it is killed, nothing that it was at goes on, and nothing that it called comes back. */
export class SimProcess {
  readonly pid: number;
  readonly parts: FleetParts;
  isDead = false;
  private readonly site: Site;
  private readonly who: string;
  private readonly crash: CrashPoint | undefined;
  private readonly died = new AbortController();
  private readonly counts = { write: 0, call: 0 };
  private readonly onDeath: (() => void)[] = [];

  constructor(site: Site, pid: number, who: string, crash: CrashPoint | undefined) {
    this.site = site;
    this.pid = pid;
    this.who = who;
    this.crash = crash;
    this.parts = this.makeParts();
  }

  /** kill -9 */
  kill(): void {
    if (this.isDead) return;
    this.isDead = true;
    this.died.abort();
    for (const told of this.onDeath) told();
  }

  /** How many there were: as many crash points there are. */
  get passed(): Readonly<Record<CrashPoint["at"], number>> {
    return this.counts;
  }

  /** @throws Killed as soon as it was killed */
  carry(until: (turn: FleetTurn) => boolean): Promise<FleetTurn> {
    let last: FleetTurn | undefined;
    const carried = carryFleet(this.parts, KEY, {
      signal: never,
      onTurn: (turn) => {
        this.site.served.push(turn.reports.filter(({ serving }) => serving).length);
        last = turn;
        return until(turn);
      },
    }).then(() => {
      if (last === undefined) throw new Error("no look");
      return last;
    });
    return this.orDies(carried);
  }

  orDies<T>(work: Promise<T>): Promise<T> {
    work.catch(() => undefined);
    return Promise.race([work, new Promise<never>((_, reject) => this.onDeath.push(() => reject(new Killed())))]);
  }

  private makeParts(): FleetParts {
    const { site } = this;
    const { store } = site.images.parts;
    return {
      store,
      clock: site.clock,
      baker: () => Promise.resolve(this.who),
      catalog: () => this.outside(Promise.resolve({ ledger: this.ledger(site.ledger) })),
      records: this.recordsOf(site.records),
      provider: () => this.providerOf(simulatedFleet(site.world, this.died.signal)),
      gates: (): GateProbes => ({
        ask: (gate, subjects) => {
          site.asked.push({ gate: gate.name, subjects });
          return this.outside(Promise.resolve().then(() => site.gate(gate, subjects)));
        },
        selfTest: (gate) => this.outside(Promise.resolve().then(() => site.selfTest(gate))),
      }),
      machineClock: () => ({ bootId: "boot", uptimeMs: site.clock.elapsedMs() + 5000 }),
      owner: (what): Owner => ({ pid: this.pid, startTime: this.pid, bootId: "boot", host: "host", what }),
      isAlive: (owner) => site.isAlive(owner),
      digestOf: sha256,
      sleep: (ms, signal) => this.outside(site.clock.sleep(ms, AbortSignal.any([signal, this.died.signal]))),
      reach: () => undefined,
    };
  }

  private ledger(ledger: Ledger): Ledger {
    return new Proxy(ledger, {
      get: (target, name) => {
        const method = Reflect.get(target, name) as (...args: unknown[]) => Promise<unknown>;
        return (...args: unknown[]) => this.outside(this.site.clock.hold(method.apply(target, args)));
      },
    });
  }

  private recordsOf<T extends FleetRecords | FleetRolloutRecords>(records: T): T {
    return new Proxy(records, {
      get: (target, name) => {
        const value: unknown = Reflect.get(target, name);
        if (typeof value !== "function") return value;
        return (...args: unknown[]): unknown => {
          const isWrite = WRITES.has(String(name));
          this.mayDie("write", "before", isWrite);
          const result: unknown = (value as (...all: unknown[]) => unknown).apply(target, args);
          this.mayDie("write", "after", isWrite);
          return name === "open" ? this.recordsOf(result as FleetRolloutRecords) : result;
        };
      },
    });
  }

  private providerOf(provider: FleetProvider): FleetProvider {
    const called = async <R>(work: () => Promise<R>, isCounted = true): Promise<R> => {
      await this.outside(Promise.resolve());
      try {
        this.mayDie("call", "before", isCounted);
        const result = await this.outside(work());
        this.mayDie("call", "after", isCounted);
        return result;
      } catch (error) {
        if (error instanceof Killed) return this.outside(Promise.reject(error));
        throw error;
      }
    };
    return {
      can: provider.can,
      observe: () => called(() => provider.observe(), false),
      launch: (...args) => called(() => provider.launch(...args)),
      activate: (...args) => called(() => provider.activate(...args)),
      admit: (...args) => called(() => provider.admit(...args)),
      drain: (...args) => called(() => provider.drain(...args)),
      terminate: (id) => called(() => provider.terminate(id)),
      logs: (...args) => called(() => provider.logs(...args), false),
      commandLine: (...args) => called(() => provider.commandLine(...args), false),
      http: (...args) => called(() => provider.http(...args), false),
      dissolve: () => called(() => provider.dissolve(), false),
    };
  }

  /** What comes from outside never comes back to a dead process. */
  private async outside<T>(work: Promise<T>): Promise<T> {
    try {
      return await work;
    } finally {
      if (this.isDead) await new Promise<never>(() => undefined);
    }
  }

  private mayDie(at: CrashPoint["at"], when: CrashPoint["when"], isCounted: boolean): void {
    if (this.isDead) throw new Killed();
    if (!isCounted) return;
    if (when === "before") this.counts[at] += 1;
    const { crash } = this;
    if (crash?.at !== at || crash.when !== when || this.counts[at] !== crash.number) return;
    this.kill();
    throw new Killed();
  }
}
