import { BakehouseError } from "../core/errors.ts";
import { decide } from "../core/rollout/decide.ts";
import { ENDS, type Observation, type RolloutStatus } from "../core/rollout/model.ts";
import { planRollout, planText, type Limits, type Planned, type RolloutPlan } from "../core/rollout/plan.ts";
import type { RolloutPolicy } from "../core/rollout/policy.ts";
import { MemoryRecords, StoreAway } from "../core/simulation/memory-records.ts";
import { policyOf } from "../core/simulation/policy-source.ts";
import type { Fault, PolicySource, Scenario } from "../core/simulation/scenario.ts";
import { Schedule } from "../core/simulation/schedule.ts";
import { BACK, TARGET, World } from "../core/simulation/world.ts";
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
  readonly log: readonly { readonly atMs: number; readonly what: string }[];
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
const ROLLOUT = "simulated";

/** Runs the production rules of a rollout, its reconciler and its records on a virtual clock, against a fleet that is made up. */
export function simulate(scenario: Scenario, source: PolicySource, options: SimulateOptions): Simulation {
  return new SimulationRun(scenario, source, options).run();
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
    waves: waves.map(({ from, to, ...wave }) => ({ ...wave, instances: instances.slice(from, to).map(({ id }) => id) })),
  };
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
  private records: MemoryRecords | undefined;
  private reconciler: Reconciler | undefined;
  private inbox: Observation[] = [];
  private nextTickMs = Number.POSITIVE_INFINITY;
  private performed = 0;
  private fenced = 0;
  private refusedCommands = 0;
  private ticks = 0;
  private waitingFor = "";
  private haltMs: number | undefined;
  private status: RolloutStatus = "running";
  private planHash = "";

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
  }

  plan(): Planned {
    return planRollout({
      rollout: ROLLOUT,
      fleet: this.scenario.title,
      target: TARGET,
      ...(this.scenario.back === "none" ? {} : { back: BACK }),
      policy: this.policy,
      instances: this.world.instances(),
      salt: this.seed,
    });
  }

  /** What is approved. */
  hashOf(plan: RolloutPlan): string {
    return this.options.digestOf(planText(plan)).slice("sha256:".length, "sha256:".length + 12);
  }

  run(): Simulation {
    const planned = this.plan();
    if ("problems" in planned) return this.refused(planned.problems);
    this.begin(planned.plan);
    const limitMs = this.scenario.limit ?? LIMIT_MS;
    while (!this.isOver() && this.schedule.step(limitMs));
    return this.result();
  }

  /** At its end, or halted with nothing under way: from there on only a person changes anything. */
  private isOver(): boolean {
    if (ENDS.has(this.status)) return true;
    return this.status === "halted" && this.reconciler?.rollout.roster.sums.moving === 0;
  }

  private begin(plan: RolloutPlan): void {
    this.planHash = this.hashOf(plan);
    this.records = new MemoryRecords({ plan, planHash: this.planHash, startedBy: "simulation", nowMs: 0 });
    this.takeOver();
    for (const fault of this.scenario.timeline ?? []) if ("at" in fault) this.schedule.at(fault.at, () => this.happen(fault));
    this.wake(0);
  }

  private takeOver(): void {
    if (this.records === undefined) return;
    this.reconciler = reconcileRollout(this.records, this.hands());
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
    if (this.records !== undefined) this.records.isAway = isAway;
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
        return this.note(`the wall clock is set by ${fault.by} s; soak and deadlines are counted by the monotonic one`);
      case "command": {
        const { command, who, reason, id, plan } = fault;
        this.note(`${who}: ${command}`);
        return this.told({
          type: "command",
          ...{ command, who, planHash: plan ?? this.planHash },
          ...(reason === undefined ? {} : { reason }),
          ...(id === undefined ? {} : { id }),
        });
      }
      default:
        return this.world.suffer(fault);
    }
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
    const observations = this.inbox;
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
    if (rollout.status === this.status) return;
    this.status = rollout.status;
    this.note(`${rollout.status}${rollout.reason === "" ? "" : `: ${rollout.reason}`}`);
    if (rollout.status === "halted" || rollout.status === "rolling-back") this.haltMs ??= this.schedule.nowMs;
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
      ...{ failed: 0, unreachable: 0, replays: true },
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
    const { records } = this;
    if (records === undefined) throw new Error("The simulation has not begun");
    const { plan, ...origin } = records.origin;
    const again = decide(plan, origin, records.moments());
    const { rollout } = this.reconciler ?? again;
    const { failed, unreachable } = rollout.roster.sums;
    const replays = again.rollout.status === rollout.status && again.decisions.flatMap(({ actions }) => actions).length >= records.done;
    return { ...this.facts(), refused: [], status: rollout.status, reason: rollout.reason, failed, unreachable, replays };
  }
}
