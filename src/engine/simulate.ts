import { BakehouseError } from "../core/errors.ts";
import { decide } from "../core/rollout/decide.ts";
import { admitRelease, nextRelease, type Release } from "../core/rollout/admit.ts";
import { numberOf } from "../core/rollout/amount.ts";
import { ENDS, type InstancePhase, type Observation, type RolloutStatus } from "../core/rollout/model.ts";
import { fitInto, lineAt, type Calendar, type Frozen, type LineStop } from "../core/rollout/freeze.ts";
import { limitsOf, planRollout, planText, roomIn, shortestMs, type Limits, type Planned, type RolloutPlan } from "../core/rollout/plan.ts";
import type { RolloutPolicy } from "../core/rollout/policy.ts";
import type { Rollout } from "../core/rollout/rollout.ts";
import { MemoryRecords, StoreAway } from "../core/simulation/memory-records.ts";
import { policyOf } from "../core/simulation/policy-source.ts";
import type { Fault, PolicySource, Scenario } from "../core/simulation/scenario.ts";
import { Schedule } from "../core/simulation/schedule.ts";
import { Upkeep } from "../core/simulation/upkeep.ts";
import { BACK, HOST_BOOTS_MS, TARGET, World } from "../core/simulation/world.ts";
import type { RolloutHands } from "../ports/rollout-records.ts";
import { reconcileRollout, type Reconciler } from "./reconcile-rollout.ts";

/** How a simulated rollout went. Times are milliseconds since its start. */
export interface Simulation {
  readonly title: string;
  readonly seed: string;
  /** Why there is no plan; everything else is empty then. */
  readonly refused: readonly string[];
  readonly status: RolloutStatus | "refused";
  readonly reason: string;
  readonly waitingFor: string;
  readonly durationMs: number;
  /** Healthy on the new image, and on the one before. */
  readonly moved: number;
  readonly back: number;
  readonly failed: number;
  readonly unreachable: number;
  readonly moves: number;
  /** Actions that came again under their key, and were not done again. */
  readonly repeated: number;
  /** From the failure that broke the limit to the halt, and moves begun meanwhile. */
  readonly timeToHaltMs?: number;
  readonly overRun: number;
  /** Available at the worst moment, of a hundred, by zone. */
  readonly worst: Readonly<Record<string, number>>;
  /** Of a hundred requests, how many the new image got at most. */
  readonly traffic: number;
  readonly refusedCommands: number;
  /** How often a controller that had lost its lease was stopped from writing. */
  readonly fenced: number;
  readonly decisions: number;
  /** Whether the records, decided on once more from the start, give the same decisions. */
  readonly replays: boolean;
  /** All rollouts, in the order in which they were asked for; what is said above of status, reason and halt is of the first. */
  readonly rollouts: readonly RolloutEnd[];
  readonly log: readonly { readonly atMs: number; readonly what: string }[];
}

/** Where one of several rollouts stood at the end. */
export interface RolloutEnd {
  readonly rollout: string;
  readonly image: string;
  readonly status: RolloutStatus | "refused" | "waiting";
  readonly reason: string;
  /** Healthy on its image. */
  readonly moved: number;
}

export interface SimulateOptions {
  readonly seed?: string;
  /** In place of the scenario's own. */
  readonly policy?: PolicySource;
  digestOf(text: string): string;
}

/** The controller hears what happened at most so much later: many reports come to one decision. */
const BATCH_MS = 250;
/** How long it waits before it tries again what could not be done. */
const RETRY_MS = 5000;
const LIMIT_MS = 24 * 3_600_000;
const HOUR_MS = 3_600_000;
/** A Monday. */
const STARTS = "2026-01-05T00:00:00Z";
const ROLLOUT = "simulated";

/** Runs the production rules of a rollout, its reconciler and its records on a virtual clock, against a fleet that is made up. */
export function simulate(scenario: Scenario, source: PolicySource, options: SimulateOptions): Simulation {
  return new SimulationRun(scenario, source, options).run();
}

/** When a plan may be carried out; all moments are UTC. */
export interface PlanFit {
  /** From its beginning to its end, at best. */
  readonly needsMs: number;
  /** Absent: nobody knows when it may begin. */
  readonly begins?: string;
  /** Where it fits in as a whole; absent: it does not, and goes on from window to window. */
  readonly whole?: { readonly from: string; readonly until?: string };
}

/** A plan as it is shown: what is in each wave, and what each zone has left. */
export interface PlanOutline {
  readonly title: string;
  /** Why there is no plan; everything else is empty then. */
  readonly refused: readonly string[];
  readonly hash: string;
  readonly limits?: Limits;
  readonly waves: readonly { readonly soakMs: number; readonly weight?: number; readonly instances: readonly string[] }[];
  readonly zones: RolloutPlan["zones"];
  readonly fits?: PlanFit;
}

/** What would be rolled out, in which order, before anything happens. */
export function planSimulation(scenario: Scenario, source: PolicySource, options: SimulateOptions): PlanOutline {
  const run = new SimulationRun(scenario, source, options);
  const planned = run.plan();
  const { title } = scenario;
  if ("problems" in planned) return { title, refused: planned.problems, hash: "", waves: [], zones: [] };
  const { waves, instances, limits, zones } = planned.plan;
  return {
    ...{ title, refused: [], hash: run.hashOf(planned.plan), limits, zones },
    ...(scenario.calendar === undefined ? {} : { fits: run.fitOf(planned.plan, scenario.calendar) }),
    waves: waves.map(({ from, to, ...wave }) => ({ ...wave, instances: instances.slice(from, to).map(({ id }) => id) })),
  };
}

/** A rollout that somebody asked for. */
interface Asked extends Release {
  readonly image: Scenario["image"];
  /** Why it does not begin. */
  refused?: string;
  /** It was told that another one waits for its end. */
  isSuperseded?: true;
  course?: Course;
}

/** A rollout that has begun. */
interface Course {
  readonly records: MemoryRecords;
  rollout: Rollout;
  status: RolloutStatus;
}

class SimulationRun {
  private readonly scenario: Scenario;
  private readonly options: SimulateOptions;
  private readonly policy: RolloutPolicy;
  private readonly schedule = new Schedule();
  private readonly seed: string;
  private readonly world: World;
  private readonly log: { atMs: number; what: string }[] = [];
  private readonly kills: (Fault & { readonly fault: "controller-killed" })[];
  private readonly upkeep: Upkeep;
  private readonly asked: Asked[] = [];
  private waiting: readonly Asked[] = [];
  private current: (Asked & { readonly course: Course }) | undefined;
  /** What people are still going to ask for. */
  private toCome: { readonly commands: number; readonly rollouts: number } = { commands: 0, rollouts: 0 };
  private reconciler: Reconciler | undefined;
  /** Nothing can be written down, or nobody is there to do it. */
  private isAway = false;
  /** What the clock on the wall is ahead of the monotonic one. */
  private wallMs: number;
  private skew = { gain: 0, sinceMs: 0 };
  private calendar: Calendar;
  /** What the rollout was last told. */
  private freezeTold: string | undefined;
  private frozen: Frozen | undefined;
  /** Until then, by the clock on the wall, the calendar gives the same answer. */
  private lookAgainMs = Number.NEGATIVE_INFINITY;
  private inbox: Observation[] = [];
  private nextTickMs = Number.POSITIVE_INFINITY;
  private performed = 0;
  private fenced = 0;
  private refusedCommands = 0;
  private ticks = 0;
  private waitingFor = "";
  private haltMs: number | undefined;

  constructor(scenario: Scenario, source: PolicySource, options: SimulateOptions) {
    this.scenario = scenario;
    this.options = options;
    this.policy = policyOf(source);
    this.seed = options.seed ?? scenario.seed ?? scenario.title;
    this.kills = (scenario.timeline ?? []).flatMap((fault) => (fault.fault === "controller-killed" ? [fault] : []));
    this.world = new World({
      scenario,
      gates: source.gates ?? [],
      schedule: this.schedule,
      seed: this.seed,
      errorsAllowed: () => this.reconciler?.rollout.errorLimit ?? 0,
      tell: (observation) => this.told(observation),
      note: (what) => this.note(what),
    });
    this.wallMs = Date.parse(scenario.starts ?? STARTS);
    this.calendar = scenario.calendar ?? { freezes: [], stops: [], windows: [] };
    this.upkeep = new Upkeep(this.world, scenario.fleet.heal?.after);
  }

  plan({ rollout, target }: Pick<Release, "rollout" | "target"> = { rollout: ROLLOUT, target: TARGET }): Planned {
    return planRollout({
      ...{ rollout, target },
      fleet: this.scenario.title,
      ...(this.scenario.back === "none" ? {} : { back: BACK }),
      policy: this.policy,
      instances: this.world.instances(),
      denied: this.world.denied,
      revoked: this.world.revoked,
      salt: this.seed,
    });
  }

  /** What is approved. */
  hashOf(plan: RolloutPlan): string {
    return this.options.digestOf(planText(plan)).slice("sha256:".length, "sha256:".length + 12);
  }

  fitOf(plan: RolloutPlan, calendar: Calendar): PlanFit {
    const needsMs = shortestMs(plan, this.scenario.image.boot ?? HOST_BOOTS_MS);
    const { begins, whole } = fitInto(calendar, { now: this.wall, target: plan.target, needsMs });
    return {
      needsMs,
      ...(begins === undefined ? {} : { begins: begins.toISOString() }),
      ...(whole === undefined
        ? {}
        : { whole: { from: whole.from.toISOString(), ...(whole.until === undefined ? {} : { until: whole.until.toISOString() }) } }),
    };
  }

  private get wall(): Date {
    const { nowMs } = this.schedule;
    return new Date(this.wallMs + nowMs + this.skew.gain * (nowMs - this.skew.sinceMs));
  }

  /** @param gain  seconds in a second */
  private gain(gain: number): void {
    const { nowMs } = this.schedule;
    this.wallMs = this.wall.getTime() - nowMs;
    this.skew = { gain, sinceMs: nowMs };
  }

  run(): Simulation {
    const first: Asked = { rollout: ROLLOUT, target: TARGET, atMs: 0, image: this.scenario.image };
    this.asked.push(first);
    const planned = this.plan(first);
    if ("problems" in planned) return this.refused(planned.problems);
    const timeline = this.scenario.timeline ?? [];
    for (const fault of timeline) if ("at" in fault) this.schedule.at(fault.at, () => this.happen(fault));
    const count = (kind: Fault["fault"]): number => timeline.filter(({ fault }) => fault === kind).length;
    this.toCome = { commands: count("command"), rollouts: count("second-rollout") };
    this.begin(first, planned.plan);
    const limitMs = this.scenario.limit ?? LIMIT_MS;
    while (!this.isOver() && this.schedule.step(limitMs));
    return this.result();
  }

  /** All at their end, or halted with nothing under way, and nobody is going to ask for anything. */
  private isOver(): boolean {
    const { commands, rollouts } = this.toCome;
    const status = this.current?.course.status ?? "running";
    if (rollouts > 0) return false;
    if (ENDS.has(status)) return this.waiting.length === 0;
    if (this.current?.isSuperseded === true) return false;
    return status === "halted" && commands === 0 && this.inbox.length === 0 && this.reconciler?.rollout.roster.sums.moving === 0;
  }

  private begin(asked: Asked, plan: RolloutPlan): void {
    const nowMs = this.schedule.nowMs;
    const records = new MemoryRecords({ plan, planHash: this.hashOf(plan), startedBy: "simulation", nowMs });
    this.reconciler = reconcileRollout(records, this.hands());
    const { rollout } = this.reconciler;
    this.current = Object.assign(asked, { course: { records, rollout, status: rollout.status } });
    if (asked !== this.asked[0]) {
      this.note(`${asked.rollout} begins: ${asked.target}`);
      this.world.begin(asked.target, asked.image);
    }
    this.inbox.push(...this.world.standing());
    this.freezeTold = undefined;
    this.lookAgainMs = Number.NEGATIVE_INFINITY;
    this.wake(nowMs);
  }

  /** Begins what waits, in its turn, once nothing is under way. */
  private beginNext(): void {
    while (!this.isAway && (this.current === undefined || ENDS.has(this.current.course.status))) {
      const next = nextRelease(this.waiting) as Asked | undefined;
      if (next === undefined) return;
      this.waiting = this.waiting.filter((each) => each !== next);
      const planned = this.plan(next);
      if ("problems" in planned) this.refuse(next, planned.problems.join("; "));
      else this.begin(next, planned.plan);
    }
  }

  private refuse(asked: Asked, why: string): void {
    asked.refused = why;
    this.note(`${asked.rollout} is refused: ${why}`);
  }

  private askForSecond({ image, policy }: Fault & { readonly fault: "second-rollout" }): void {
    const name = `${ROLLOUT}-${this.asked.length + 1}`;
    const asked: Asked = {
      rollout: name,
      target: image === undefined ? TARGET : `${TARGET}-${this.asked.length + 1}`,
      atMs: this.schedule.nowMs,
      image: image ?? this.scenario.image,
    };
    this.asked.push(asked);
    const underWay = this.current === undefined ? {} : { underWay: { ...this.current, status: this.current.course.status } };
    const admission = admitRelease(asked, { waiting: this.waiting, ...underWay }, policy);
    this.note(`${name} is asked for: ${"why" in admission ? `${admission.kind}: ${admission.why}` : admission.kind}`);
    if (admission.kind === "refuse") return this.refuse(asked, admission.why);
    if (admission.kind === "supersede") {
      for (const each of this.waiting) this.refuse(each, `superseded by ${name} before it began`);
      this.waiting = [];
      if (admission.tell !== undefined && this.current !== undefined) {
        this.current.isSuperseded = true;
        this.told({ type: "superseded", by: name });
      }
    }
    this.waiting = [...this.waiting, asked];
    this.beginNext();
  }

  private takeOver(): void {
    if (this.current === undefined) return;
    this.reconciler = reconcileRollout(this.current.course.records, this.hands());
    this.current.course.rollout = this.reconciler.rollout;
  }

  /** The provider, for a controller that may be killed with any action. */
  private hands(): RolloutHands {
    return {
      perform: (action) => {
        this.world.perform(action);
        this.performed += 1;
        const [kill] = this.kills;
        if (kill === undefined || this.performed < kill.afterActions) return;
        this.kills.shift();
        this.reconciler = undefined;
        this.setAway(true); // the dead write nothing
        this.note("the controller is killed");
        this.schedule.at(this.schedule.nowMs + kill.for, () => {
          this.note("a controller starts, and goes on");
          this.setAway(false);
          this.takeOver();
          this.wake(this.schedule.nowMs);
        });
        throw new Error("killed");
      },
    };
  }

  private setAway(isAway: boolean): void {
    this.isAway = isAway;
    if (this.current !== undefined) this.current.course.records.isAway = isAway;
    if (!isAway) this.beginNext();
  }

  private happen(fault: Fault): void {
    switch (fault.fault) {
      case "old-controller": {
        const old = this.reconciler;
        this.takeOver();
        this.note("another controller takes over; the old one wakes up");
        return this.tickOf(old, [], () => (this.fenced += 1));
      }
      case "store-away":
        this.setAway(true);
        this.note("the store is away");
        return this.schedule.at(this.schedule.nowMs + fault.for, () => {
          this.setAway(false);
          this.note("the store is back");
        });
      case "clock-jump":
        this.wallMs += fault.by * 1000;
        this.lookAgainMs = Number.NEGATIVE_INFINITY;
        this.note(`the wall clock is set by ${fault.by} s; soak and deadlines are counted by the monotonic one`);
        return this.wake(this.schedule.nowMs);
      case "clock-skew":
        this.note(`the wall clock gains ${fault.gains} s an hour`);
        this.gain(fault.gains / 3600);
        return this.schedule.at(this.schedule.nowMs + fault.for, () => this.gain(0));
      case "freeze":
        return this.stopLine({ owner: "the owner of the fleet", reason: fault.reason, exempt: [] }, fault.for);
      case "line-stopped":
        return this.stopLine({ owner: fault.owner, reason: fault.reason, exempt: fault.exempt ?? [] }, fault.for);
      case "command": {
        const { command, who, reason, id, plan, wave } = fault;
        this.toCome = { ...this.toCome, commands: this.toCome.commands - 1 };
        this.note(`${who}: ${command}`);
        return this.told({
          type: "command",
          ...{ command, who, planHash: plan ?? this.current?.course.records.origin.planHash ?? "" },
          ...(reason === undefined ? {} : { reason }),
          ...(id === undefined ? {} : { id }),
          ...(wave === undefined ? {} : { wave }),
        });
      }
      case "second-rollout":
        this.toCome = { ...this.toCome, rollouts: this.toCome.rollouts - 1 };
        return this.askForSecond(fault);
      case "maintenance": {
        const ids = this.world.instances().map(({ id }) => id);
        this.upkeep.maintain(ids.slice(0, numberOf(fault.hosts, ids.length, "up")), fault.each);
        return this.wake(this.schedule.nowMs);
      }
      default:
        return this.world.suffer(fault);
    }
  }

  private stopLine(stop: Pick<LineStop, "owner" | "reason" | "exempt">, spanMs: number | undefined): void {
    const from = this.wall;
    const expires = spanMs === undefined ? {} : { expires: new Date(from.getTime() + spanMs) };
    this.calendar = { ...this.calendar, stops: [...this.calendar.stops, { ...stop, from, ...expires }] };
    this.lookAgainMs = Number.NEGATIVE_INFINITY;
    this.wake(this.schedule.nowMs);
  }

  /** What is to be told of the calendar; looked at before each decision, by the clock on the wall. */
  private freezeChange(): readonly Observation[] {
    const { freezes, stops, windows } = this.calendar;
    if (this.current === undefined || freezes.length + stops.length + windows.length === 0) return [];
    const now = this.wall.getTime();
    if (now >= this.lookAgainMs) {
      const { frozen, holdsUntil } = lineAt(this.calendar, this.wall, this.current.target);
      this.frozen = frozen;
      this.lookAgainMs = holdsUntil?.getTime() ?? Number.POSITIVE_INFINITY;
    }
    const { frozen } = this;
    // at most an hour ahead: the clock on the wall may go at another pace
    if (frozen !== undefined) this.wake(this.schedule.nowMs + Math.min(this.lookAgainMs - now, HOUR_MS));
    if (frozen?.reason === this.freezeTold) return [];
    this.freezeTold = frozen?.reason;
    this.note(frozen === undefined ? "nothing is frozen any more" : `frozen: ${frozen.reason}`);
    return [{ type: "freeze", reason: frozen?.reason ?? null }];
  }

  private told(observation: Observation): void {
    this.inbox.push(observation);
    this.wake(this.schedule.nowMs + BATCH_MS);
  }

  private wake(atMs: number): void {
    if (atMs >= this.nextTickMs) return;
    this.nextTickMs = atMs;
    this.schedule.at(atMs, () => {
      if (this.nextTickMs !== atMs) return;
      this.nextTickMs = Number.POSITIVE_INFINITY;
      this.tick();
    });
  }

  private tick(): void {
    const observations = [...this.freezeChange(), ...this.inbox];
    this.inbox = [];
    this.tickOf(this.reconciler, observations, () => undefined);
  }

  private tickOf(reconciler: Reconciler | undefined, observations: Observation[], onFenced: () => void): void {
    if (reconciler === undefined) {
      this.inbox = [...observations, ...this.inbox]; // nobody is there to hear it
      return;
    }
    try {
      const decision = reconciler.tick(observations, this.schedule.nowMs);
      if (this.reconciler !== reconciler) return; // killed in the middle of it
      this.ticks += 1;
      this.refusedCommands += decision.refused.length;
      for (const { command, who, why } of decision.refused) this.note(`${command} by ${who} is refused: ${why}`);
      this.waitingFor = decision.waitingFor;
      this.watch(reconciler);
      this.keepUp(reconciler);
      if (decision.wakeAtMs !== undefined) this.wake(decision.wakeAtMs);
      if (decision.waitingFor.startsWith("what was decided")) this.wake(this.schedule.nowMs + RETRY_MS);
    } catch (error) {
      if (error instanceof BakehouseError && error.code === "LEASE_LOST") return onFenced();
      if (!(error instanceof StoreAway)) throw error;
      this.inbox = [...observations, ...this.inbox];
      this.wake(this.schedule.nowMs + RETRY_MS);
    }
  }

  private watch({ rollout }: Reconciler): void {
    const { current } = this;
    if (current === undefined || rollout.status === current.course.status) return;
    current.course.status = rollout.status;
    const whose = current === this.asked[0] ? "" : `${current.rollout}: `;
    this.note(`${whose}${rollout.status}${rollout.reason === "" ? "" : `: ${rollout.reason}`}`);
    if (whose === "" && (rollout.status === "halted" || rollout.status === "rolling-back")) this.haltMs ??= this.schedule.nowMs;
    if (ENDS.has(rollout.status)) this.schedule.at(this.schedule.nowMs, () => this.beginNext());
  }

  /** Healing and maintenance, by the same controller: what they take is the first thing that the next decision hears. */
  private keepUp({ rollout }: Reconciler): void {
    if (!this.upkeep.isWaiting) return;
    const { strain } = this.world;
    const phaseOf = (id: string): InstancePhase => rollout.roster.find(id)?.phase ?? "waiting";
    if (ENDS.has(rollout.status)) {
      const room = roomIn(strain, limitsOf(this.policy, strain.size));
      this.upkeep.look(
        room,
        (id) => !this.world.isMoving(id),
        () => false,
      );
    } else {
      this.upkeep.look(
        rollout.room,
        (id) => !BUSY.has(phaseOf(id)),
        (id) => phaseOf(id) === "moved",
      );
    }
    if (this.upkeep.isWaiting) this.wake(this.schedule.nowMs + RETRY_MS);
  }

  private note(what: string): void {
    this.log.push({ atMs: Math.round(this.schedule.nowMs), what });
  }

  private refused(problems: readonly string[]): Simulation {
    return {
      ...this.facts(),
      refused: problems,
      status: "refused",
      reason: problems.join("; "),
      ...{ failed: 0, unreachable: 0, replays: true, rollouts: [] },
    };
  }

  private facts() {
    const { signalMs } = this.world;
    return {
      title: this.scenario.title,
      seed: this.seed,
      waitingFor: this.waitingFor,
      durationMs: Math.round(this.schedule.nowMs),
      moved: this.world.count(TARGET),
      back: this.world.count(BACK),
      moves: this.world.moves,
      repeated: this.world.repeated,
      overRun: this.world.movesSinceSignal,
      worst: this.world.worst(),
      traffic: this.world.traffic,
      refusedCommands: this.refusedCommands,
      fenced: this.fenced,
      decisions: this.ticks,
      log: this.log,
      ...(signalMs === undefined || this.haltMs === undefined ? {} : { timeToHaltMs: Math.max(0, Math.round(this.haltMs - signalMs)) }),
    };
  }

  private result(): Simulation {
    const [first] = this.asked;
    if (first?.course === undefined) throw new Error("The simulation has not begun");
    const { status, reason, roster } = first.course.rollout;
    const { failed, unreachable } = roster.sums;
    const replays = this.asked.every(({ course }) => course === undefined || doesReplay(course));
    return {
      ...this.facts(),
      refused: [],
      status,
      reason,
      failed,
      unreachable,
      replays,
      rollouts: this.asked.map((each) => this.endOf(each)),
    };
  }

  private endOf({ rollout, target, refused, course }: Asked): RolloutEnd {
    const { status, reason } = course?.rollout ?? { status: refused === undefined ? "waiting" : "refused", reason: refused ?? "" };
    return { rollout, image: target, status, reason, moved: this.world.count(target) };
  }
}

/** Whether what was told to it, decided on once more from the start, leads to where it stands. */
function doesReplay({ records, rollout }: Course): boolean {
  const { plan, ...origin } = records.origin;
  const again = decide(plan, origin, records.moments());
  return again.rollout.status === rollout.status && again.decisions.flatMap(({ actions }) => actions).length >= records.done;
}

/** In these phases a rollout is at work on an instance, or has given it up for a person to look at. */
const BUSY: ReadonlySet<InstancePhase> = new Set(["moving", "returning", "failed", "unreachable", "stuck"]);
