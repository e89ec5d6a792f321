import { BakehouseError } from "../core/errors.ts";
import type { ImageDigest } from "../core/digest.ts";
import type { InstanceReport } from "../core/fleet/instance.ts";
import { slotsOf, type FleetSlot } from "../core/fleet/slots.ts";
import { DEFAULT_POLICY } from "../core/fleet/default-policy.ts";
import { APPROVALS, ENDS, type Observation } from "../core/rollout/model.ts";
import type { FleetPolicy } from "../core/fleet/model.ts";
import type { Verdict } from "../core/checks/verdict.ts";
import { isProbed } from "../core/gates/model.ts";
import { gateSubjects } from "../core/gates/subjects.ts";
import type { GateProbes } from "../ports/gate-probes.ts";
import type { Rollout } from "../core/rollout/rollout.ts";
import type { Slot } from "../core/rollout/roster.ts";
import type { FleetProvider } from "../ports/fleet-provider.ts";
import { fleetKey, type FleetRolloutRecords, type KnownFleet, type RolloutSummary, type ShownState } from "../ports/fleet-records.ts";
import type { FleetParts } from "./fleet-parts.ts";
import { fleetRelease } from "./fleet-release.ts";
import { findFleet } from "./find-fleet.ts";
import { FleetHealer, type FleetLook, type Healed } from "./fleet-healer.ts";
import { InstanceMover } from "./instance-mover.ts";
import { lineAt } from "../core/rollout/freeze.ts";
import { calendarOf } from "./line-stops.ts";
import { beginQueued, recordStartOnce } from "./start-rollout.ts";
import { recordDeedOnce } from "./record-deed.ts";
import { reconcileRollout, type Reconciler } from "./reconcile-rollout.ts";
import { revocationsOfImage } from "./require-not-revoked.ts";

/** How a fleet stands after one look at it. */
export interface FleetTurn extends Healed {
  readonly fleet: KnownFleet;
  readonly slots: readonly FleetSlot[];
  readonly reports: readonly InstanceReport[];
  /** The rollout that is under way, or the one that ended with this turn. */
  readonly rollout?: { readonly id: string; readonly state: Rollout; readonly waitingFor: string; readonly ended: boolean };
  /** Jobs under way. */
  readonly underWay: number;
}

export interface CarryOptions {
  readonly signal: AbortSignal;
  /** Called after each look. @returns whether that is enough */
  onTurn(turn: FleetTurn): boolean;
  /** Whether slots are filled and dead instances replaced. Default true. */
  readonly heals?: boolean;
}

/** Between two looks when nothing happens. */
const LOOK_MS = 200;
/** So many looks in a row may fail: ten seconds. */
const LOOKS = 50;
/** While something is under way, and until what was moved is seen to be well: for so long at most, since some machines take minutes. */
const BUSY_MS = 50;
const WATCHED_MS = 5000;
/** What could not be begun is tried again. */
const RETRY_MS = 1000;
/** How long requests may take to end when an instance is taken out. A guess for web services. */
const DRAIN_MS = 10_000;
/**
 * Looks after one fleet: carries its rollout on, and heals it. There may be another process that does the same: the rollout's lease
 * tells who may act.
 *
 * @throws LEASE_LOST when another process took over
 */
export async function carryFleet(parts: FleetParts, name: string, options: CarryOptions): Promise<void> {
  const carrier = new FleetCarrier(parts, findFleet(parts.records, name), options);
  try {
    await carrier.run();
  } finally {
    await carrier.stop();
  }
}

class FleetCarrier {
  private readonly parts: FleetParts;
  private readonly options: CarryOptions;
  private readonly key: string;
  private readonly provider: FleetProvider;
  private readonly mover: InstanceMover;
  private fleet: KnownFleet;
  private reports: readonly InstanceReport[] = [];
  /** The same by slot: a look at a large fleet must not go through all of it for each of its slots. */
  private bySlot: ReadonlyMap<string, readonly InstanceReport[]> = new Map();
  private inbox: Observation[] = [];
  private current:
    { readonly records: FleetRolloutRecords; readonly reconciler: Reconciler; readonly epoch: number; readonly base: TimeBase } | undefined;
  private readonly told = new Map<string, Told>();
  /** When the move of a slot began. */
  private readonly begunAtMs = new Map<string, number>();
  private readonly gates: GateProbes;
  private readonly healer: FleetHealer;
  private wakeAtMs = 0;
  /** When the rollout was told something last. */
  private toldAtMs = 0;
  /** As the rollout was told last; null: not by this process. */
  private freeze: string | null | undefined = null;
  private supersededBy: string | undefined;
  private readonly toldRevoked = new Set<string>();
  /** Slots that the rollout leaves to healing, as it was told last. */
  private filled: string | undefined;
  private line: ({ readonly about: string } & ReturnType<typeof lineAt>) | undefined;
  private shown = "";
  private waitingFor = "";
  private woken: (() => void) | undefined;
  /** What was under way when the last look began: that look may not have seen what came of it. */
  private wasBusy: ReadonlySet<string> = new Set();

  constructor(parts: FleetParts, fleet: KnownFleet, options: CarryOptions) {
    this.parts = parts;
    this.options = options;
    this.fleet = fleet;
    this.key = fleetKey(fleet);
    this.provider = parts.provider(fleet);
    this.gates = parts.gates(fleet, this.provider);
    this.mover = new InstanceMover({
      provider: this.provider,
      releaseOf: (image) => fleetRelease(parts.store, image),
      reports: () => this.reports,
      tell: (observation) => this.hear(observation),
      wake: () => this.woken?.(),
      deny: (digest, reason) => parts.records.deny(this.key, { digest, reason, who: "rollout", at: parts.clock.now().toISOString() }),
      askGate: (gate, signal) => this.askGate(gate, signal),
      zoneOf: (slot) => this.slots().find((each) => each.slot === slot)?.zone ?? "",
      isSettled: (slot) => this.current?.reconciler.rollout.roster.find(slot)?.phase === "settled",
      digestOf: parts.digestOf,
      sleep: parts.sleep,
      drainMs: DRAIN_MS,
      timeoutMs: (fleet.fleet.rollout ?? DEFAULT_POLICY).timeoutMs,
      isInCharge: () => this.current === undefined || this.current.records.holds(this.current.epoch),
    });
    this.healer = new FleetHealer(parts, this.key, this.mover, this.provider.can);
  }

  async run(): Promise<void> {
    const { signal } = this.options;
    for (;;) {
      signal.throwIfAborted();
      const turn = await this.turn();
      if (this.options.onTurn(turn)) return;
      await this.pause(this.paceMs(turn.underWay));
    }
  }

  /** How long until the next look: not beyond the moment at which the rollout wants to decide. */
  private paceMs(underWay: number): number {
    const open = this.current;
    if (open === undefined) return underWay > 0 ? BUSY_MS : LOOK_MS;
    const { moving, returning } = open.reconciler.rollout.roster.sums;
    const nowMs = open.base.now();
    const isWatched = moving + returning > 0 && nowMs - this.toldAtMs < WATCHED_MS;
    const pace = underWay > 0 || this.inbox.length > 0 || isWatched ? BUSY_MS : LOOK_MS;
    return Math.min(pace, Math.max(0, Math.ceil(this.wakeAtMs - nowMs)));
  }

  /** What is under way is left as it is: whoever carries the fleet on next finds it and finishes it. */
  async stop(): Promise<void> {
    await this.mover.settle({ stop: true });
  }

  private async turn(): Promise<FleetTurn> {
    this.fleet = findFleet(this.parts.records, this.key);
    this.wasBusy = this.mover.busySlots();
    this.reports = await this.look();
    this.bySlot = Map.groupBy(this.reports, ({ slot }) => slot);
    this.healer.noteHealth(this.reports);
    await this.beginQueued();
    await this.recordStart();
    const rollout = this.carryRollout();
    if (rollout?.ended === true) await this.endRollout();
    else if (rollout !== undefined) await this.showRollout(rollout);
    this.mover.balance();
    const { remedies, left } = this.options.heals === false ? NOTHING : this.healer.heal(this.seenNow());
    return {
      fleet: this.fleet,
      slots: this.slots(),
      reports: this.reports,
      ...(rollout === undefined ? {} : { rollout }),
      remedies,
      left,
      underWay: this.mover.underWay,
    };
  }

  private look(): Promise<readonly InstanceReport[]> {
    return this.patiently(() => this.provider.observe());
  }

  /** A load balancer that is being started again, or is too busy to answer, is no reason to let go of the fleet: it is asked again for a while. */
  private async patiently<T>(ask: () => Promise<T>): Promise<T> {
    for (let tries = 1; ; tries++) {
      try {
        return await ask();
      } catch (error) {
        if (error instanceof BakehouseError || tries >= LOOKS || this.options.signal.aborted) throw error;
        await this.pause(LOOK_MS);
      }
    }
  }

  private slots(): readonly FleetSlot[] {
    return slotsOf(this.fleet.fleet, this.fleet.size);
  }

  // The rollout

  private carryRollout(): FleetTurn["rollout"] {
    const open = this.current ?? this.takeOver();
    if (open === undefined) return undefined;
    const { reconciler, records, base } = open;
    const nowMs = base.now();
    const observations = [
      ...this.inbox.splice(0),
      ...this.changes(reconciler.rollout, nowMs),
      ...this.given(records),
      ...this.surroundings(reconciler.rollout),
      ...this.taken(reconciler.rollout),
    ];
    if (observations.length > 0) this.toldAtMs = nowMs;
    if (observations.length > 0 || nowMs >= this.wakeAtMs) {
      const decision = reconciler.tick(observations, nowMs);
      for (const action of decision.actions) if (action.kind === "move") this.begunAtMs.set(action.id, nowMs);
      this.parts.reach("rollout-ticked");
      this.waitingFor = decision.waitingFor;
      const retries = decision.waitingFor.startsWith("what was decided");
      this.wakeAtMs = Math.min(decision.wakeAtMs ?? Number.POSITIVE_INFINITY, retries ? nowMs + RETRY_MS : Number.POSITIVE_INFINITY);
    }
    const { rollout } = reconciler;
    // what it decided last about the fleet as a whole, such as its traffic, is done before it is over: nobody would do it later
    const ended = ENDS.has(rollout.status) && !this.mover.isAtFleet;
    if (ended) this.settleFleet(rollout);
    return { id: records.id, state: rollout, waitingFor: this.waitingFor, ended };
  }

  /** The rollout that has not ended, if there is one: from its start, or from wherever another process left it. */
  private takeOver() {
    const summary = this.openRollout();
    if (summary === undefined) return undefined;
    const records = this.parts.records.open(summary.id);
    const { plan } = records.origin;
    let epoch = 0;
    const leased = { ...leasing(records), takeLease: () => (epoch = records.takeLease()) };
    this.mover.aim(plan.target, "even");
    const reconciler = reconcileRollout(leased, this.mover);
    const { rollout } = reconciler;
    this.mover.aim(plan.target, rollout.weight);
    this.told.clear();
    this.freeze = null; // one that ended while nobody carried it is over, too
    this.supersededBy = undefined;
    this.toldRevoked.clear();
    for (const { observations } of records.moments())
      for (const told of observations) if (told.type === "revoked") this.toldRevoked.add(told.digest);
    this.filled = undefined;
    this.shown = "";
    this.wakeAtMs = 0;
    this.current = { records, reconciler, epoch, base: timeBase(this.parts, records) };
    if (records.moments().length > 0) this.inbox.push({ type: "unwatched" }); // since whoever carried it before looked last
    for (const action of reconciler.unanswered) this.mover.perform(action);
    return this.current;
  }

  /** What is new about each slot since the rollout was told last; and a sign of life of all others now and then. */
  private changes(rollout: Rollout, nowMs: number): readonly Observation[] {
    const observations: Observation[] = [];
    const present = new Set<string>();
    for (const { slot, zone } of this.slots()) {
      present.add(slot);
      if (isAbsent(rollout.roster.find(slot))) {
        const seen = this.seen(slot, rollout);
        this.told.delete(slot);
        observations.push({ type: "joined", instance: { id: slot, zone, running: seen?.running, healthy: seen?.healthy ?? false } });
        continue;
      }
      const seen = this.seen(slot, rollout);
      if (seen === undefined) continue; // silent
      const before = this.told.get(slot);
      const isOld = before === undefined || nowMs - before.atMs >= rollout.plan.policy.unreachable.afterMs / 3;
      if (!isOld && before.running === seen.running && before.healthy === seen.healthy) continue;
      const sequence = Math.max(Math.round(nowMs), (before?.sequence ?? 0) + 1);
      this.told.set(slot, { ...seen, atMs: nowMs, sequence });
      observations.push({ type: "report", id: slot, sequence, running: seen.running, healthy: seen.healthy });
    }
    for (const { id, phase } of rollout.roster) if (phase !== "left" && !present.has(id)) observations.push({ type: "left", id });
    return observations;
  }

  /** The instance that stands for a slot at this moment; undefined: it says nothing. */
  private seen(slot: string, rollout: Rollout): { readonly running: string | undefined; readonly healthy: boolean } | undefined {
    const reports = this.bySlot.get(slot) ?? [];
    const alive = reports.filter(({ bootedAt }) => bootedAt !== undefined);
    const job = this.mover.busy(slot);
    const isBeside = rollout.plan.policy.strategy.kind === "blue-green";
    const isTarget = ({ running }: InstanceReport): boolean => running === rollout.plan.target;
    if (alive.length === 0) return reports.some(({ health }) => health === "unknown") ? undefined : { running: undefined, healthy: false };
    const isReturning = rollout.roster.find(slot)?.phase === "returning";
    const old = alive.find((report) => !isTarget(report));
    const fresh = alive.find(isTarget);
    const chosen = job?.keepsOld === true && old !== undefined ? old : isReturning ? (old ?? fresh) : (fresh ?? old);
    if (chosen === undefined || chosen.health === "unknown") return undefined;
    const serves = chosen.serving || isBeside || (job?.keepsOld === true && fresh?.serving === true);
    return { running: chosen.running, healthy: chosen.health === "healthy" && serves };
  }

  private async askGate(name: string, signal: AbortSignal): Promise<{ readonly verdict: Verdict; readonly detail: string }> {
    const open = this.current;
    const policy = open?.reconciler.rollout.plan.policy as FleetPolicy | undefined;
    const gate = policy?.gates.filter(isProbed).find((each) => each.name === name);
    if (open === undefined || gate === undefined) return { verdict: "error", detail: `there is no gate ${name}` };
    const nowMs = open.base.now();
    // begun by a process that is gone: since the rollout began at the latest
    const since = ({ slot }: InstanceReport): number => nowMs - (this.begunAtMs.get(slot) ?? open.records.origin.nowMs);
    const subjects = gateSubjects(this.reports, open.reconciler.rollout.plan.target as ImageDigest, since);
    return this.gates.ask(gate, subjects, signal);
  }

  private given(records: FleetRolloutRecords): readonly Observation[] {
    return records.pending().map((command) => ({ type: "command", ...command }));
  }

  /** Freezes, revocations: what happens around the fleet. */
  private surroundings(rollout: Rollout): readonly Observation[] {
    const observations: Observation[] = [];
    const now = this.parts.clock.now();
    const target = rollout.plan.target as ImageDigest;
    const reason = this.frozen(target, now);
    if (reason !== this.freeze) {
      observations.push({ type: "freeze", reason: reason ?? null });
      this.freeze = reason;
    }
    const by = this.parts.records.queued(this.key).find(({ supersedes }) => supersedes)?.rollout;
    if (by !== undefined && this.supersededBy !== by) {
      observations.push({ type: "superseded", by });
      this.supersededBy = by;
    }
    for (const digest of [target, rollout.plan.back as ImageDigest | undefined]) {
      const [revoked] = digest === undefined ? [] : revocationsOfImage(this.parts.store, digest, now);
      if (digest === undefined || revoked === undefined || this.toldRevoked.has(digest)) continue;
      observations.push({ type: "revoked", digest, reason: revoked.reason });
      this.toldRevoked.add(digest);
    }
    return observations;
  }

  /** Why nothing may begin, in words. Cron expressions are read again only when their answer may be another. */
  private frozen(target: ImageDigest, now: Date): string | undefined {
    const calendar = calendarOf(this.parts.records, this.fleet);
    const about = JSON.stringify([calendar, target]);
    if (this.line?.about !== about || (this.line.holdsUntil !== undefined && now >= this.line.holdsUntil))
      this.line = { about, ...lineAt(calendar, now, target) };
    const { frozen } = this.line;
    return frozen === undefined
      ? undefined
      : `${frozen.reason}${frozen.until === undefined ? "" : `, until ${frozen.until.toISOString()}`}`;
  }

  /** The next of those that wait, as soon as nothing is under way. One that cannot begin any more is left out, and that is recorded. */
  private async beginQueued(): Promise<void> {
    if (this.current !== undefined) return;
    const [next] = this.parts.records.queued(this.key);
    if (next === undefined || this.openRollout() !== undefined) return;
    await this.patiently(() => beginQueued(this.parts, this.fleet, next));
  }

  /**
   * Slots that healing is at. Those that came with a larger size are filled by it, with what the fleet is declared to run, and moved after that: an image that is
   * still being tried gets no more instances than its waves say.
   */
  private taken(rollout: Rollout): readonly Observation[] {
    const ids = this.slots().flatMap(({ slot }) => (this.isBeingFilled(slot, rollout) || this.healer.isAt(slot) ? [slot] : []));
    const text = ids.join("\n");
    if (text === this.filled) return [];
    this.filled = text;
    return [{ type: "others", unavailable: ids.length, ids }];
  }

  private isBeingFilled(slot: string, { roster, plan }: Rollout): boolean {
    const { declared } = this.fleet;
    if (declared === undefined || declared === plan.target || this.options.heals === false) return false;
    const known = roster.find(slot); // absent: it joins with this look
    const isNew = isAbsent(known) || known.index >= plan.instances.length + plan.settled.length;
    if (!isNew || (!isAbsent(known) && known.phase !== "waiting")) return false;
    return this.bySlot.get(slot)?.some(({ health, serving }) => health === "healthy" && serving) !== true;
  }

  /** What the fleet is declared to run from now on. */
  private settleFleet({ status, plan }: Rollout): void {
    if (status !== "completed") return;
    const before = this.fleet.declared === plan.target ? this.fleet.previous : this.fleet.declared;
    this.parts.records.setDeclared(this.key, plan.target as ImageDigest, before);
    this.fleet = findFleet(this.parts.records, this.key);
  }

  /** Whoever started it may have died before that was recorded. */
  private async recordStart(): Promise<void> {
    if (this.current !== undefined) return;
    const summary = this.openRollout();
    if (summary !== undefined) await recordStartOnce(this.parts, summary);
  }

  /** What others see of it. That it waits for people, or stopped by itself, is recorded first: whoever dies in between has it done by the next. */
  private async showRollout({ id, state: { status, reason, plan }, waitingFor }: NonNullable<FleetTurn["rollout"]>): Promise<void> {
    if (this.current === undefined) return;
    const { records, epoch } = this.current;
    const state = { status, reason, waitingFor, ended: false };
    if (JSON.stringify(state) === this.shown) return;
    const stop = stopOf(state);
    const last = records.lastShown();
    if (stop !== undefined && (last === undefined || stopOf(last)?.reason !== stop.reason)) {
      const deed = { what: `${id} ${stop.what}`, rollout: id, status, image: plan.target as ImageDigest, reason: stop.reason };
      await recordDeedOnce(this.parts, stop.action, this.key, deed, last?.at ?? this.openRollout()?.startedAt ?? "");
    }
    records.show(epoch, state);
    this.shown = JSON.stringify(state);
  }

  /** First into the audit log, then that it is over: whoever dies in between has it recorded by the next. */
  private async endRollout(): Promise<void> {
    if (this.current === undefined) return;
    const { records, reconciler, epoch } = this.current;
    const { status, reason, plan } = reconciler.rollout;
    const deed = { what: `${records.id} ${status}`, rollout: records.id, status, image: plan.target as ImageDigest, reason };
    await recordDeedOnce(this.parts, "rollout-ended", this.key, deed, this.openRollout()?.startedAt ?? "");
    records.show(epoch, { status, reason, waitingFor: this.waitingFor, ended: true });
    this.current = undefined;
    this.mover.aim(undefined, "even");
  }

  private openRollout(): RolloutSummary | undefined {
    return this.parts.records.openRollout(this.key);
  }

  /** What became of actions of an earlier rollout is of no interest. */
  private hear(observation: Observation & { readonly key: string }): void {
    const { key } = observation;
    if (this.current !== undefined && key.startsWith(`${this.current.records.id}/`)) this.inbox.push(observation);
    else if (observation.type === "action-failed") this.healer.failed(key, observation.reason);
  }

  private seenNow(): FleetLook {
    const { fleet, reports } = this;
    const rollout = this.current?.reconciler.rollout;
    return { fleet, reports, rollout, slots: this.slots(), isBusy: (slotOrInstance) => this.isBusy(slotOrInstance) };
  }

  private isBusy(slotOrInstance: string): boolean {
    return this.wasBusy.has(slotOrInstance) || this.mover.busy(slotOrInstance) !== undefined;
  }

  private pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const stop = new AbortController();
      const go = (): void => (stop.abort(), resolve());
      this.woken = go;
      this.options.signal.addEventListener("abort", go, { once: true, signal: stop.signal });
      void this.parts.sleep(ms, stop.signal).then(go, () => undefined);
    });
  }
}

/** Why nothing goes on by itself, where that is so. */
function stopOf({ status, reason, waitingFor }: Pick<ShownState, "status" | "reason" | "waitingFor">): Stop | undefined {
  if (status === "held" || status === "halted" || status === "rolling-back") return { action: "rollout-stopped", what: status, reason };
  if (!waitingFor.startsWith(APPROVALS)) return undefined;
  return { action: "rollout-waits", what: "waits", reason: waitingFor.replace(/: \d+ of \d+$/, "") };
}

interface Stop {
  readonly action: "rollout-stopped" | "rollout-waits";
  readonly what: string;
  readonly reason: string;
}

/** Of a slot of the fleet: it is new, or the fleet was smaller for a while. */
const isAbsent = (slot: Slot | undefined): slot is undefined | (Slot & { readonly phase: "left" }) =>
  slot === undefined || slot.phase === "left";

const NOTHING: Healed = { remedies: [], left: [] };

interface Told {
  readonly running: string | undefined;
  readonly healthy: boolean;
  readonly atMs: number;
  readonly sequence: number;
}

interface TimeBase {
  now(): number;
}

/**
 * Milliseconds that only grow, the same in every process: those of the machine since its boot, from where the rollout stood. After another
 * boot they go on from the last moment: time when the machine was off counts for nothing.
 */
function timeBase(parts: FleetParts, records: FleetRolloutRecords): TimeBase {
  const clock = parts.machineClock();
  const last = records.moments().at(-1)?.nowMs ?? records.origin.nowMs;
  const own = parts.clock.elapsedMs();
  if (clock?.bootId === records.bootId) {
    const offset = clock.uptimeMs - own;
    return { now: () => Math.max(last, offset + parts.clock.elapsedMs()) };
  }
  return { now: () => last + parts.clock.elapsedMs() - own };
}

/** The same records with methods that can be taken apart. */
const leasing = (records: FleetRolloutRecords) => ({
  origin: records.origin,
  moments: () => records.moments(),
  get done() {
    return records.done;
  },
  append: (epoch: number, moment: Parameters<FleetRolloutRecords["append"]>[1]) => records.append(epoch, moment),
  markDone: (epoch: number, count: number, begun: Parameters<FleetRolloutRecords["markDone"]>[2]) => records.markDone(epoch, count, begun),
});
