import { COMMANDS } from "./commands.ts";
import {
  APPROVALS,
  ENDS,
  type Action,
  type Command,
  type CommandName,
  type Decision,
  type InstancePhase,
  type Observation,
  type RolloutStatus,
  type Weight,
} from "./model.ts";
import { numberOf } from "./amount.ts";
import { limitsOf, roomIn, type Limits, type PlannedInstance, type RolloutPlan, type Wave } from "./plan.ts";
import { Roster, type Slot } from "./roster.ts";
import { Timers } from "./timers.ts";
import { WaveGates, type AskedFor, type NotPassed } from "./wave-gates.ts";

/** How far a blue/green rollout has come after its waves. */
type Stage = "waves" | "switching" | "keeping" | "switching-back" | "retiring";

/** What {@link Rollout.refused} collects. */
type Refusal = Decision["refused"][number];

/**
 * The state of one rollout, and what it decides. Same plan, same observations at the same times, same decisions: nothing here reads a
 * clock, a random number or the world. It is changed in place, since a copy for each tick would cost as much as the whole fleet; whoever
 * holds it hands it to nobody else, and can make it again from the observations ({@link decide}).
 */
export class Rollout {
  readonly plan: RolloutPlan;
  readonly planHash: string;
  status: RolloutStatus;
  /** Why it is paused, held, halted, or ended as it did. */
  reason = "";
  /** The one that is moved, from 0; the number of waves when all are done. */
  wave = 0;
  /** For how long something was being moved. */
  movingMs = 0;
  /** The share of the traffic that was asked for last. */
  weight: Weight = "even";
  readonly roster = new Roster();
  limits: Limits;

  private readonly approvals = new Set<string>();
  private readonly startedBy: string;
  private freeze: string | undefined;
  /** Taken away by others: those without a name, the others by name, and how many of all that does not count as down already. */
  private others = { unnamed: 0, ids: new Set<string>(), up: 0 };
  private supersededBy: string | undefined;
  /** The next of the wave to be moved, and those to be moved again. */
  private next = 0;
  private again: number[] = [];
  /** Of the wave: neither moved nor given up. */
  private open = 0;
  private soakFromMs: number | undefined;
  private readonly gates: WaveGates;
  /** How many had failed when the wave was opened. */
  private failedBefore = 0;
  private stage: Stage = "waves";
  private stageKey: string | undefined;
  /** Whether the old set of blue/green was begun to be ended: from then on there is only the new one. */
  private isOldGone = false;
  private keptFromMs = 0;
  /** Why the image to go back to may not be applied any more. */
  private barredBack: string | undefined;
  /** The question whether {@link weight} is so; what moves next waits for that. */
  private weighKey: string | undefined;
  private weighed = 0;
  /** Ill, and not brought back. */
  private lost = 0;
  /** To be brought back; those that are unhealthy anyway go first. */
  private back: number[] = [];
  private readonly deadlines = new Timers();
  private readonly silences = new Timers();
  private readonly illnesses = new Timers();
  private refused: Refusal[] = [];
  private actions: Action[] = [];
  private nowMs: number;

  /** @param startedBy  who asked for it; their own approval does not count */
  constructor(plan: RolloutPlan, planHash: string, startedBy: string, nowMs: number) {
    this.plan = plan;
    this.planHash = planHash;
    this.startedBy = startedBy;
    this.nowMs = nowMs;
    this.limits = plan.limits;
    this.gates = new WaveGates(plan);
    this.status = plan.policy.approvals > 0 ? "awaiting-approval" : "running";
    for (const instance of plan.instances) this.roster.add(instance, instance.silent === true ? "unreachable" : "waiting", nowMs);
    for (const instance of plan.settled) this.roster.add(instance, "settled", nowMs);
    for (const slot of this.roster) this.listenFor(slot);
    this.openWave();
  }

  /** @param nowMs  monotonic; never less than before */
  tick(observations: readonly Observation[], nowMs: number): Decision {
    const beforeMs = this.nowMs;
    this.nowMs = Math.max(nowMs, this.nowMs);
    if (this.roster.sums.moving > 0) this.movingMs += this.nowMs - beforeMs;
    this.actions = [];
    this.refused = [];
    if (!ENDS.has(this.status)) {
      if (this.status === "running") this.stopAt(this.gates.missed(this.nowMs)); // before approvals that come too late are read
      for (const observation of observations) this.observe(observation);
      this.alarms();
      this.countOthers();
      if (!ENDS.has(this.status)) this.advance(); // what was told may have been the last
    }
    const wakeAtMs = this.wakeAt();
    return {
      actions: this.actions,
      waitingFor: this.waitingFor(),
      refused: this.refused,
      ...(wakeAtMs === undefined ? {} : { wakeAtMs }),
    };
  }

  // What is told

  private observe(observation: Observation): void {
    switch (observation.type) {
      case "report":
        return this.report(observation);
      case "action-failed":
        return this.actionFailed(observation.key, observation.reason);
      case "action-done":
        return this.actionDone(observation.key);
      case "gate":
        return this.stopAt(this.gates.answered(observation, this.nowMs));
      case "command":
        return this.commanded(observation);
      case "freeze":
        this.freeze = observation.reason ?? undefined;
        return;
      case "others":
        return this.taken(observation.unavailable, observation.ids);
      case "superseded":
        if (this.status !== "rolling-back") this.supersededBy ??= observation.by;
        return;
      case "unwatched":
        this.soakFromMs = undefined;
        return;
      case "joined":
        return this.joined(observation.instance);
      case "left":
        return this.left(observation.id);
      case "revoked":
        return this.revoked(observation.digest, observation.reason);
    }
  }

  private taken(unavailable: number, ids: readonly string[] = []): void {
    const before = this.others.ids;
    this.others.ids = new Set(ids);
    for (const id of before) {
      const slot = this.others.ids.has(id) ? undefined : this.roster.find(id);
      if (slot?.phase === "moved" && !slot.healthy) this.mindHealth(slot); // from here on it is its own fault
    }
    this.others.unnamed = Math.max(0, unavailable - this.others.ids.size);
  }

  /** Counted once a tick: what others hold is not moved, so that a decision does not change it. */
  private countOthers(): void {
    const { ids, unnamed } = this.others;
    this.others.up = unnamed;
    for (const id of ids) {
      const slot = this.roster.find(id);
      if (slot?.phase !== "left" && slot?.healthy === true && !slot.out) this.others.up += 1;
    }
  }

  private revoked(digest: string, reason: string): void {
    const { target, back } = this.plan;
    if (digest === target) return this.halt(`the image is revoked: ${reason}`);
    if (digest !== back) return;
    this.barredBack = `the image to go back to is revoked: ${reason}`;
    // whoever goes on knows that there is no way back; what is rolled out may be what replaces it
    if (this.status === "running") this.hold(this.barredBack);
  }

  /** Why it cannot go back; nothing: it can. */
  private get noWayBack(): string | undefined {
    if (this.plan.back === undefined) return "there is no image to go back to";
    if (this.isOldGone) return "the old set is being ended already";
    return this.barredBack;
  }

  private report({ id, sequence, running, healthy }: Extract<Observation, { type: "report" }>): void {
    const slot = this.roster.find(id);
    if (slot === undefined || slot.phase === "left" || sequence <= slot.sequence) return; // a stranger, or older than what is known
    const changed = healthy !== slot.healthy;
    this.roster.change(slot, {
      sequence,
      running,
      healthy,
      lastSeenMs: this.nowMs,
      heard: true,
      ...(changed ? { healthMark: slot.healthMark + 1 } : {}),
    });
    if (changed && !healthy && slot.phase === "moved") this.fellIll(slot);
    if (slot.phase === "moving" && running === this.plan.target && healthy) this.settle(slot, "moved");
    else if (slot.phase === "returning" && running === this.plan.back && healthy) this.settle(slot, "returned");
    else if (slot.phase === "unreachable") this.heardAgain(slot);
  }

  /** One that comes up and goes down again is as bad as one that stays down, however short each time is. */
  private fellIll(slot: Slot): void {
    this.roster.change(slot, { flaps: slot.flaps + 1 });
    if (slot.flaps > MOST_FLAPS && !this.others.ids.has(slot.id))
      this.fail(slot, `became unhealthy ${slot.flaps} times after it was moved`);
    else this.mindHealth(slot);
  }

  private mindHealth({ index, healthMark }: Slot): void {
    this.illnesses.set(index, healthMark, this.nowMs + this.plan.policy.graceMs);
  }

  /** It answers again: what it says is what became of it. */
  private heardAgain(slot: Slot): void {
    const isOnTarget = slot.running === this.plan.target;
    if (isOnTarget && (slot.healthy || slot.attempt > 0)) {
      this.roster.change(slot, { phase: "moved" });
      if (!slot.healthy) this.mindHealth(slot); // silent no more: from here on it is ill
    } else if (!isOnTarget && this.status !== "rolling-back") this.moveAgain(slot);
    this.listenFor(slot);
  }

  /** Sets the alarm that goes off when it is silent for too long. One that is being moved has a deadline instead. */
  private listenFor(slot: Slot): void {
    this.silences.set(slot.index, slot.attempt, slot.lastSeenMs + this.plan.policy.unreachable.afterMs);
  }

  private settle(slot: Slot, phase: "moved" | "returned" | "failed" | "unreachable" | "skipped" | "stuck"): void {
    const wasOpen = slot.phase === "waiting" || slot.phase === "moving";
    const wasBusy = slot.phase === "moving" || slot.phase === "returning";
    this.roster.change(slot, { phase, out: false, surge: false, ...(wasBusy ? { lastSeenMs: this.nowMs } : {}) });
    if (wasOpen && this.isOfWave(slot.index)) this.open -= 1;
    if (wasBusy) this.listenFor(slot);
    if (this.status === "rolling-back" && isToGoBack(slot)) this.back.push(slot.index);
  }

  private fail(slot: Slot, why: string): void {
    if (slot.phase === "returning") return this.settle(slot, "stuck");
    this.settle(slot, "failed");
    const { failed, size } = this.roster.sums;
    if (failed <= this.errorLimit) return;
    const before = this.failedBefore;
    const told = this.plan.policy.errors.perWave
      ? `${failed - before} failed in wave ${this.wave + 1}, ${this.errorLimit - before} may`
      : `${failed} of ${size} failed, ${this.errorLimit} may`;
    this.halt(`${told}: ${slot.id} ${why}`);
  }

  /** How many of the fleet may have failed by now. */
  get errorLimit(): number {
    const { policy, waves } = this.plan;
    const wave = waves[Math.min(this.wave, waves.length - 1)];
    if (!policy.errors.perWave || wave === undefined) return this.limits.errors;
    const size = wave.to === wave.from ? wave.to : wave.to - wave.from; // where only traffic moves, it is about all that are moved
    return this.failedBefore + numberOf(policy.errors.allowed, size, "down");
  }

  private actionFailed(key: string, reason: string): void {
    if (key === this.stageKey) return this.stageFailed(key, reason);
    if (key === this.weighKey) {
      this.weighKey = undefined;
      return this.halt(`the traffic cannot be shared: ${reason}`);
    }
    const slot = this.slotOf(key);
    if (slot?.phase === "moving" || slot?.phase === "returning") this.fail(slot, reason);
  }

  private stageFailed(key: string, reason: string): void {
    this.stageKey = undefined;
    if (this.stage === "switching") return this.halt(`switching: ${reason}`);
    if (this.stage === "switching-back") return this.stayed(reason);
    this.reason = [this.reason, `${key.endsWith(RETIRED_NEW) ? "the new" : "the old"} set is still there: ${reason}`]
      .filter(Boolean)
      .join("; ");
    if (this.status === "rolling-back") this.end("rollback-failed");
    else this.retired(key); // traffic goes where it should
  }

  private slotOf(key: string): Slot | undefined {
    const slot = this.roster.find(key.slice(this.plan.rollout.length + 1, key.lastIndexOf("/")));
    return slot !== undefined && key === this.keyOf(slot) ? slot : undefined;
  }

  private actionDone(key: string): void {
    if (key === this.weighKey) this.weighKey = undefined;
    if (key !== this.stageKey) return;
    this.stageKey = undefined;
    if (this.stage === "switching") {
      this.stage = "keeping";
      this.keptFromMs = this.nowMs;
    } else if (this.stage === "switching-back") this.enter("retiring", { kind: "retire", set: "new" });
    else if (this.stage === "retiring") this.retired(key);
  }

  /** The new set has the traffic, and stays. */
  private stayed(reason: string): void {
    this.reason = [this.reason, `the traffic cannot be switched back: ${reason}`].filter(Boolean).join("; ");
    if (this.status === "rolling-back") this.end("rollback-failed");
    else this.abandon();
  }

  private retired(key: string): void {
    if (this.status === "halted" && !key.endsWith(RETIRED_NEW)) return; // what halted it stays true
    if (this.status === "rolling-back") this.end("rolled-back");
    else if (key.endsWith(RETIRED_NEW)) this.abandon();
    else this.end("completed");
  }

  private stopAt(bad: NotPassed | undefined): void {
    if (bad === undefined) return;
    const { gate, verdict, detail } = bad;
    const told = `gate ${gate.name}: ${verdict}: ${detail}`;
    if (verdict === "failed") return this.halt(told);
    const then = verdict === "error" ? gate.onError : gate.onInconclusive;
    if (then === "halt") this.halt(told);
    else if (this.status === "running") this.hold(told);
  }

  private keyOf({ id, attempt }: Slot): string {
    return `${this.plan.rollout}/${id}/${attempt}`;
  }

  private joined(instance: PlannedInstance): void {
    const known = this.roster.find(instance.id);
    if (known !== undefined && known.phase !== "left") return;
    const phase = instance.running === this.plan.target ? "settled" : this.status === "rolling-back" ? "skipped" : "waiting";
    const slot = known === undefined ? this.roster.add(instance, phase, this.nowMs) : this.cameBack(known, instance, phase);
    this.listenFor(slot);
    this.limits = limitsOf(this.plan.policy, this.roster.sums.size, this.plan.method);
    if (phase === "waiting") this.moveAgain(slot);
  }

  private cameBack(slot: Slot, { running, healthy }: PlannedInstance, phase: InstancePhase): Slot {
    this.roster.change(slot, { phase, running, healthy, healthMark: slot.healthMark + 1, lastSeenMs: this.nowMs });
    return slot;
  }

  /** Those that joined on the way: they belong to whatever wave is open. */
  private readonly extra = new Set<number>();

  private left(id: string): void {
    const slot = this.roster.find(id);
    if (slot === undefined || slot.phase === "left") return;
    const wasOpen = (slot.phase === "waiting" || slot.phase === "moving") && this.isOfWave(slot.index);
    this.roster.change(slot, { phase: "left", out: false, surge: false });
    if (wasOpen) this.open -= 1;
    this.failedBefore = Math.min(this.failedBefore, this.roster.sums.failed);
    this.limits = limitsOf(this.plan.policy, this.roster.sums.size, this.plan.method);
  }

  private isOfWave(index: number): boolean {
    const wave = this.plan.waves[this.wave];
    return this.extra.has(index) || (wave !== undefined && index >= wave.from && index < wave.to);
  }

  // What people ask for

  private commanded({ command, who, reason = "", planHash, wave, id }: Command): void {
    const refuse = (why: string): void => void this.refused.push({ command, who, why });
    const answer = COMMANDS[this.status][command];
    if (answer !== true) return refuse(answer);
    if (this.supersededBy !== undefined && command !== "abort") return refuse(`it ends: ${this.supersededBy} supersedes it`);
    const told = `${who}${reason === "" ? "" : `: ${reason}`}`;
    const commands: Readonly<Record<CommandName, () => void>> = {
      approve: () => this.approve({ who, planHash, wave }, refuse),
      pause: () => void ((this.status = "paused"), (this.reason = `paused by ${told}`)),
      resume: () => this.resume(),
      abort: () => {
        this.reason = `given up by ${told}`;
        this.abandon();
      },
      "roll-back": () => {
        if (this.noWayBack === undefined) this.goBack(`rolled back by ${told}`);
        else refuse(this.noWayBack);
      },
      skip: () => this.skip(id, reason, refuse),
      "skip-gate": () => (reason === "" ? refuse("say why: skipping a gate needs a reason") : this.skipGate()),
      "retry-failed": () => {
        const { failed, unreachable } = this.roster.sums;
        if (failed + unreachable > 0 || this.status === "held") this.retryFailed();
        else refuse("nothing has failed, and everything answers");
      },
    };
    commands[command]();
  }

  private approve(
    { who, planHash, wave }: { who: string; planHash: string | undefined; wave: number | undefined },
    refuse: (why: string) => void,
  ): void {
    const isOfPlan = this.status === "awaiting-approval";
    if (!isOfPlan && this.gates.asksFor === undefined) return refuse("it is approved already, and no wave is waiting for approvals now");
    if (planHash !== this.planHash) return refuse(`the plan is ${this.planHash}, not ${planHash ?? "(none named)"}`);
    if (who === this.startedBy) return refuse(`${who} started it: somebody else has to approve`);
    const waiting = isOfPlan ? "the plan" : `wave ${this.wave + 1}`;
    if (wave !== undefined && (isOfPlan || wave !== this.wave + 1)) return refuse(`${waiting} is waiting for approvals, not wave ${wave}`);
    if (!isOfPlan) return this.gates.approve(who);
    this.approvals.add(who);
    if (this.approvals.size >= this.plan.policy.approvals) this.status = "running";
  }

  /** Who has approved of what waits for approvals: the wave of that number, else the plan. Undefined: nothing does. */
  get asksFor(): AskedFor | undefined {
    if (this.status === "awaiting-approval") return { by: [...this.approvals], needed: this.plan.policy.approvals };
    return ENDS.has(this.status) ? undefined : this.gates.asksFor;
  }

  private resume(): void {
    this.status = "running";
    this.reason = "";
    this.gates.waitAnew(this.nowMs);
  }

  private skip(id: string | undefined, reason: string, refuse: (why: string) => void): void {
    const slot = id === undefined ? undefined : this.roster.find(id);
    if (slot === undefined) return refuse(`no instance is called ${id ?? "(none named)"}`);
    if (reason === "") return refuse("say why: skipping an instance needs a reason");
    if (slot.phase !== "waiting") return refuse(`${slot.id} is ${slot.phase}, and not waiting`);
    this.settle(slot, "skipped");
  }

  private skipGate(): void {
    if (this.open === 0) this.gates.pass();
    this.resume();
  }

  private retryFailed(): void {
    for (const slot of this.roster) if (slot.phase === "failed" || slot.phase === "unreachable") this.moveAgain(slot);
    this.failedBefore = Math.min(this.failedBefore, this.roster.sums.failed); // what fails again fails in this wave
    if (this.status === "held") this.resume();
  }

  /** Into the wave that is open, unless its own is still to come. */
  private moveAgain(slot: Slot): void {
    this.roster.change(slot, { phase: "waiting" });
    const { index } = slot;
    const isPlanned = index < this.plan.instances.length;
    if (isPlanned && index >= (this.plan.waves[this.wave]?.to ?? 0) && this.wave < this.plan.waves.length) return;
    if (!this.isOfWave(index)) this.extra.add(index);
    if (!isPlanned || index < this.next) this.again.push(index);
    this.open += 1;
    this.soakFromMs = undefined;
  }

  // What goes off by itself

  private alarms(): void {
    const { afterMs } = this.plan.policy.unreachable;
    for (const { index, mark } of this.deadlines.due(this.nowMs)) {
      const slot = this.roster.at(index);
      if ((slot.phase !== "moving" && slot.phase !== "returning") || slot.attempt !== mark) continue;
      const answers = slot.heard && this.nowMs - slot.lastSeenMs < afterMs;
      if (answers || slot.phase === "returning") this.fail(slot, `is not healthy on the image in time`);
      else this.lose(slot);
    }
    for (const { index, mark } of this.illnesses.due(this.nowMs)) {
      const slot = this.roster.at(index);
      if (this.others.ids.has(slot.id)) continue;
      if (slot.phase === "moved" && !slot.healthy && slot.healthMark === mark) this.fail(slot, "became unhealthy after it was moved");
    }
    for (const { index, mark } of this.silences.due(this.nowMs)) {
      const slot = this.roster.at(index);
      if (slot.attempt !== mark || QUIET.has(slot.phase)) continue;
      if (this.nowMs - slot.lastSeenMs < afterMs) this.listenFor(slot);
      else this.silent(slot);
    }
  }

  private silent(slot: Slot): void {
    if (slot.phase === "waiting" || slot.phase === "moved") return this.lose(slot);
    this.roster.change(slot, { healthy: false, healthMark: slot.healthMark + 1 });
    this.listenFor({ ...slot, lastSeenMs: this.nowMs });
  }

  /** Nobody knows whether it serves: it counts as out of service, too. */
  private lose(slot: Slot): void {
    this.roster.change(slot, { healthy: false, healthMark: slot.healthMark + 1 });
    this.settle(slot, "unreachable");
  }

  // What follows

  private advance(): void {
    if (this.supersededBy !== undefined) return this.windDown(this.supersededBy);
    this.holdForSilence();
    if (this.status === "running") this.moveOn();
    if (this.status === "rolling-back") this.bringBack();
  }

  /** Whether a freeze is in the way: when all is moved, what is left is to see that it is well. */
  private get isFrozen(): boolean {
    if (this.freeze === undefined) return false;
    const { waves, policy } = this.plan;
    return policy.strategy.kind === "blue-green" || this.open > 0 || this.wave < waves.length - 1;
  }

  private holdForSilence(): void {
    const { unreachable } = this.roster.sums;
    if (this.status === "running" && unreachable > this.limits.unreachable)
      this.hold(`${SILENT} ${unreachable}, ${this.limits.unreachable} may`);
    else if (this.status === "held" && this.reason.startsWith(SILENT) && unreachable <= this.limits.unreachable) this.resume();
  }

  private moveOn(): void {
    for (;;) {
      const wave = this.plan.waves[this.wave];
      const { isFrozen } = this;
      if (!isFrozen) this.weigh(wave?.weight ?? "even");
      if (this.weighKey !== undefined) return;
      if (!isFrozen) this.startMoves();
      if (this.status !== "running" || this.open > 0) return;
      if (wave === undefined) return isFrozen ? undefined : this.finish();
      if (!this.hasSoaked(wave) || isFrozen || !this.gatesPassed()) return;
      this.wave += 1;
      this.openWave();
    }
  }

  private weigh(weight: Weight): void {
    if (weight === this.weight) return;
    this.weight = weight;
    this.weighed += 1;
    this.weighKey = `${this.plan.rollout}//weigh-${this.weighed}`;
    this.actions.push({ kind: "weigh", key: this.weighKey, weight, wave: this.wave });
  }

  /** Takes the traffic from what was given a share of it, if there is anybody else for it. */
  private withdraw(): void {
    const { size, down, ready } = this.roster.sums;
    if (this.weight !== "even" && size - down - ready > 0) this.weigh(0);
  }

  private openWave(): void {
    const wave = this.plan.waves[this.wave];
    this.gates.open(this.wave);
    if (wave !== undefined) this.failedBefore = this.roster.sums.failed;
    this.soakFromMs = undefined;
    this.open = 0;
    if (wave === undefined) return;
    this.next = wave.from;
    for (let index = wave.from; index < wave.to; index += 1) if (this.roster.at(index).phase === "waiting") this.open += 1;
    for (const index of this.again) if (!(index >= wave.from && index < wave.to)) this.open += 1;
  }

  private startMoves(): void {
    const end = this.plan.waves[this.wave]?.to ?? 0;
    while (this.again.length > 0 || this.next < end) {
      const index = this.again[0] ?? this.next;
      const slot = this.roster.at(index);
      if (slot.phase === "waiting" && !this.start(slot, this.plan.target, "moving")) return;
      if (this.again.length > 0) this.again.shift();
      else this.next += 1;
    }
  }

  /** Begins to move an instance, if nothing forbids it at this moment. */
  private start(slot: Slot, to: string, phase: "moving" | "returning"): boolean {
    const how = this.others.ids.has(slot.id) ? undefined : this.wayFor(slot, phase);
    if (how === undefined) return false;
    const attempt = slot.attempt + 1;
    // what is taken down runs nothing until it says so itself: a move that fails half way leaves who knows what
    const unknown = how === "in-place" ? { running: undefined } : {};
    this.roster.change(slot, { phase, attempt, flaps: 0, out: how === "in-place", surge: how === "surge", heard: false, ...unknown });
    this.deadlines.set(slot.index, attempt, this.nowMs + this.plan.policy.timeoutMs);
    this.actions.push({ kind: "move", key: this.keyOf(slot), id: slot.id, to, how });
    return true;
  }

  private wayFor(slot: Slot, phase: "moving" | "returning"): "in-place" | "surge" | "beside" | undefined {
    const { limits, plan, roster } = this;
    const { sums } = roster;
    const { errors, strategy } = plan.policy;
    const { kind } = strategy;
    if (phase === "moving") {
      if (errors.strict && sums.failed + sums.moving > this.errorLimit) return undefined;
      if (kind === "blue-green") return "beside";
    }
    if (kind === "all-at-once") return "in-place"; // it asks for no budget, there or back
    if (!slot.healthy) return "in-place"; // it serves nobody: nothing is lost
    if (sums.surging < limits.maxSurge) return "surge";
    const maxUnavailable = phase === "returning" ? this.mostReturning : limits.maxUnavailable;
    return roomIn(this.strain, { ...limits, maxUnavailable }) > 0 ? "in-place" : undefined;
  }

  /** How many may be down while the fleet goes back: one at least, and beside those that did not come back. */
  private get mostReturning(): number {
    return Math.max(this.limits.maxUnavailable, 1) + this.lost;
  }

  /** How many healthy instances others may take away after this decision. Means nothing once it has ended. */
  get room(): number {
    return roomIn(this.strain, this.limits);
  }

  private get strain() {
    const { size, down } = this.roster.sums;
    return { size, down: down + this.others.up };
  }

  private hasSoaked({ soakMs }: Wave): boolean {
    if (this.roster.sums.sick > 0) {
      this.soakFromMs = undefined;
      return false;
    }
    this.soakFromMs ??= this.nowMs;
    return this.nowMs - this.soakFromMs >= soakMs;
  }

  private gatesPassed(): boolean {
    const next = this.gates.next(this.nowMs);
    if (typeof next === "object") this.actions.push(next);
    return next === true;
  }

  private finish(): void {
    const { strategy } = this.plan.policy;
    if (strategy.kind !== "blue-green") return this.end("completed");
    if (this.stage === "waves") {
      const { size, ready } = this.roster.sums;
      const needed = Math.max(this.limits.minHealthy, size - this.limits.maxUnavailable);
      if (ready >= needed) this.enter("switching", { kind: "switch", to: "new" });
      else this.hold(`the new set is too small to switch to: ${ready} of ${size} are healthy, ${needed} must be`);
    }
    if (this.stage === "keeping" && this.roster.sums.sick === 0 && this.nowMs - this.keptFromMs >= strategy.keepOldMs) this.retireOld();
  }

  private enter(
    stage: Stage,
    action: { readonly kind: "switch"; readonly to: "new" | "old" } | { readonly kind: "retire"; readonly set: "new" | "old" },
  ): void {
    this.stage = stage;
    this.stageKey = `${this.plan.rollout}//${action.kind}-${"to" in action ? action.to : action.set}`;
    this.actions.push({ ...action, key: this.stageKey });
  }

  private hold(reason: string): void {
    this.status = "held";
    this.reason = reason;
  }

  private halt(reason: string): void {
    if (ENDS.has(this.status) || this.status === "halted" || this.status === "rolling-back") return;
    this.status = "halted";
    this.reason = reason;
    this.withdraw();
    this.actions.push({ kind: "deny", key: `${this.plan.rollout}//deny`, digest: this.plan.target, reason });
    const returns = this.plan.policy.onHalt === "roll-back" && this.supersededBy === undefined;
    if (returns && this.noWayBack === undefined) this.goBack(reason);
  }

  /** Another one waits: what is under way ends, so that each instance is known to run one image or to have failed. */
  private windDown(by: string): void {
    if (this.roster.sums.moving > 0 || this.stageKey !== undefined) return;
    this.reason = [`superseded by ${by}`, ...(this.reason === "" ? [] : [this.reason])].join("; ");
    const isOneSet = this.plan.policy.strategy.kind !== "blue-green" || this.isOldGone;
    if (isOneSet || this.status === "awaiting-approval") return this.abandon();
    // of two sets, one has to go: the old one only when the new one serves and nothing was wrong with it
    if (this.stage === "keeping" && this.status !== "halted") return this.retireOld();
    this.retireNew();
  }

  private retireOld(): void {
    this.isOldGone = true;
    this.enter("retiring", { kind: "retire", set: "old" });
  }

  /** Only once nothing is sent to it any more. */
  private retireNew(): void {
    if (this.stage === "waves") this.enter("retiring", { kind: "retire", set: "new" });
    else this.enter("switching-back", { kind: "switch", to: "old" });
  }

  private goBack(reason: string): void {
    this.status = "rolling-back";
    this.reason = reason;
    this.withdraw();
    if (this.plan.policy.strategy.kind === "blue-green") return this.retireNew();
    this.back = [...this.roster]
      .filter(isToGoBack)
      .sort((a, b) => Number(a.healthy) - Number(b.healthy))
      .map(({ index }) => index);
  }

  private bringBack(): void {
    if (this.plan.policy.strategy.kind === "blue-green") return; // the old set stands: nothing is applied to it
    this.countLost();
    if (this.barredBack !== undefined) this.giveUpReturning(this.barredBack);
    else if (this.plan.back !== undefined) this.startReturning(this.plan.back);
    if (this.isReturnBlocked) this.giveUpReturning(`nothing more can be taken out beside ${this.lost} that did not come back`);
    const { moving, returning, stuck } = this.roster.sums;
    if (this.back.length + moving + returning > 0) return;
    if (stuck === 0) this.weigh("even"); // what is stuck stays without traffic
    if (this.weighKey === undefined) this.end(stuck > 0 ? "rollback-failed" : "rolled-back");
  }

  private countLost(): void {
    this.lost = 0;
    if (this.roster.sums.stuck > 0) for (const { phase, healthy } of this.roster) if (phase === "stuck" && !healthy) this.lost += 1;
  }

  /** Whether what did not come back alone leaves no room for the others, however well they are. */
  private get isReturnBlocked(): boolean {
    const { size, moving, returning } = this.roster.sums;
    if (this.back.length === 0 || this.lost === 0 || moving + returning > 0) return false;
    return roomIn({ size, down: this.lost }, { ...this.limits, maxUnavailable: this.mostReturning }) === 0;
  }

  /** What is under way comes to its end; the others stay where they are. */
  private giveUpReturning(why: string): void {
    for (const index of this.back) if (isToGoBack(this.roster.at(index))) this.roster.change(this.roster.at(index), { phase: "stuck" });
    if (this.back.length > 0) this.reason = `${why}; ${this.reason}`;
    this.back = [];
  }

  private startReturning(back: string): void {
    for (let slot = this.firstBack(); slot !== undefined; slot = this.firstBack()) {
      if (!isToGoBack(slot)) {
        this.back.shift(); // it left, or was brought back already
        continue;
      }
      if (slot.running === back && slot.healthy) this.roster.change(slot, { phase: "returned" });
      else if (!this.start(slot, back, "returning")) return;
      this.back.shift();
    }
  }

  private firstBack(): Slot | undefined {
    const [index] = this.back;
    return index === undefined ? undefined : this.roster.at(index);
  }

  /** After a halt, what failed is left without traffic. */
  private abandon(): void {
    if (this.status !== "halted") this.weigh("even");
    this.end("abandoned");
  }

  private end(status: RolloutStatus, reason = this.reason): void {
    this.status = status;
    this.reason = reason;
  }

  // What is waited for

  private waitingFor(): string {
    const { sums } = this.roster;
    const { approvals } = this.plan.policy;
    if (ENDS.has(this.status)) return "";
    if (this.supersededBy !== undefined) {
      const ending = sums.moving > 0 ? beingMoved(sums.moving) : this.stageText();
      return `${ending}, before ${this.supersededBy} takes over`;
    }
    if (this.status === "awaiting-approval") return `${APPROVALS}plan ${this.planHash}: ${this.approvals.size} of ${approvals}`;
    if (this.status === "paused" || this.status === "held" || this.status === "halted") return this.reason;
    if (this.status === "rolling-back") {
      const stage = this.stageKey === undefined ? undefined : this.stageText();
      return this.returnOf() ?? stage ?? "the traffic to be shared evenly again";
    }
    if (this.isFrozen) return `the end of a freeze: ${this.freeze ?? ""}`;
    if (this.stageKey !== undefined) return this.stageText();
    if (this.stage === "keeping") return "the time for which the old set is kept";
    if (this.weighKey !== undefined) return `the traffic of wave ${this.wave + 1} to be shared`;
    if (sums.moving > 0) return beingMoved(sums.moving);
    if (this.open > 0) return this.roomWaitedFor(this.again[0] ?? Math.min(this.next, this.roster.length - 1), this.limits);
    if (sums.sick > 0) return `the health of ${sums.sick === 1 ? "one moved instance" : `${sums.sick} moved instances`}`;
    return this.gates.waitingFor ?? `the soak of wave ${this.wave + 1}`;
  }

  private stageText(): string {
    if (this.stage === "switching-back") return "the switch back to the old set";
    return this.stage === "switching" ? "the switch to the new set" : "the end of the set that is not needed any more";
  }

  private roomWaitedFor(index: number, { maxUnavailable, minHealthy }: Limits): string {
    const { id } = this.roster.at(index);
    if (this.others.ids.has(id)) return `${id}, which others have taken`;
    const { size, down } = this.strain;
    const least = down < maxUnavailable ? `, but ${minHealthy} of ${size} must be healthy` : "";
    return `room in the disruption budget: ${down} are down, ${maxUnavailable} may${least}`;
  }

  private returnOf(): string | undefined {
    const { moving, returning } = this.roster.sums;
    const count = this.back.length + returning + moving;
    if (count === 0 || this.stageKey !== undefined) return undefined;
    const told = `${count} instances to be back`;
    const [next] = this.back;
    if (next === undefined || returning + moving > 0) return told;
    return `${told}, and for them ${this.roomWaitedFor(next, { ...this.limits, maxUnavailable: this.mostReturning })}`;
  }

  private wakeAt(): number | undefined {
    if (ENDS.has(this.status)) return undefined;
    const { strategy } = this.plan.policy;
    const soak = this.soakFromMs === undefined ? undefined : this.soakFromMs + (this.plan.waves[this.wave]?.soakMs ?? 0);
    const kept = this.stage === "keeping" && strategy.kind === "blue-green" ? this.keptFromMs + strategy.keepOldMs : undefined;
    const times = [this.deadlines.nextMs, this.silences.nextMs, this.illnesses.nextMs, ...this.gates.wakesAtMs, soak, kept].filter(
      (time) => time !== undefined && time > this.nowMs,
    ) as number[];
    return times.length === 0 ? undefined : Math.min(...times);
  }
}

const beingMoved = (count: number): string =>
  count === 1 ? "one instance that is being moved" : `${count} instances that are being moved`;

/** Touched by the rollout, and still there. What fell silent before its turn is left alone. */
const isToGoBack = ({ phase, attempt }: Slot): boolean =>
  phase === "moved" || phase === "failed" || (phase === "unreachable" && attempt > 0);

/** Not listened to: gone, known to be silent, or under a deadline of their own. */
const QUIET: ReadonlySet<InstancePhase> = new Set(["left", "unreachable", "moving", "returning"]);

/** How the key ends of the action that ends the new set. */
const RETIRED_NEW = "//retire-new";

/** So often a moved instance may become unhealthy for less than its grace (a guess: a soak of minutes sees a service that crashes in a loop). */
const MOST_FLAPS = 10;

const SILENT = "too many instances do not answer:";
