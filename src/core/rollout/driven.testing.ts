import { COMMANDS } from "./commands.ts";
import type { Moment } from "./decide.ts";
import { ENDS, type Action, type CommandName, type Observation, type RolloutStatus } from "./model.ts";
import { planRollout, type PlanRequest, type Planned, type RolloutPlan } from "./plan.ts";
import type { RolloutPolicy } from "./policy.ts";
import { Rollout } from "./rollout.ts";

export const POLICY: RolloutPolicy = {
  strategy: { kind: "rolling", batch: { count: 2 }, soakMs: 1000 },
  maxUnavailable: { count: 1 },
  minHealthy: { count: 0 },
  maxSurge: { count: 0 },
  errors: { allowed: { count: 0 }, strict: false, perWave: false },
  unreachable: { allowed: { percent: 100 }, afterMs: 60_000 },
  timeoutMs: 10_000,
  graceMs: 500,
  gates: [],
  onHalt: "roll-back",
  approvals: 0,
};

export function planned(policy: Partial<RolloutPolicy>, size = 6, rest: Partial<PlanRequest> = {}): Planned {
  const instances = Array.from({ length: size }, (_, index) => ({ id: `i${index}`, zone: `z${index % 2}`, running: "old", healthy: true }));
  return planRollout({ rollout: "r", fleet: "f", target: "new", back: "old", policy: { ...POLICY, ...policy }, instances, ...rest });
}

export function planOf(...request: Parameters<typeof planned>): RolloutPlan {
  const answer = planned(...request);
  if ("problems" in answer) throw new Error(answer.problems.join("; "));
  return answer.plan;
}

export function problemsOf(...request: Parameters<typeof planned>): readonly string[] {
  const answer = planned(...request);
  return "problems" in answer ? answer.problems : [];
}

/** A rollout whose moves are done at once, unless `refuse` says how they fail. */
export class Driven {
  readonly rollout: Rollout;
  readonly actions: Action[] = [];
  nowMs = 0;
  private sequence = 0;

  constructor(...request: Partial<Parameters<typeof planned>>) {
    const [policy = {}, ...rest] = request;
    this.rollout = new Rollout(planOf(policy, ...rest), "hash", "starter", 0);
  }

  /** @returns nothing when the plan is refused */
  static of(...request: Parameters<typeof planned>): Driven | undefined {
    return "problems" in planned(...request) ? undefined : new Driven(...request);
  }

  tick(observations: readonly Observation[] = [], afterMs = 100): readonly Action[] {
    this.nowMs += afterMs;
    const { actions } = this.rollout.tick(observations, this.nowMs);
    this.actions.push(...actions);
    return actions;
  }

  report(id: string, running: string | undefined, healthy = true): Observation {
    this.sequence += 1;
    return { type: "report", id, sequence: this.sequence, running, healthy };
  }

  /** Ticks until nothing is to be done any more. */
  run(fails: (id: string) => boolean = () => false): void {
    let todo: readonly Action[] = this.tick();
    for (let rounds = 0; rounds < 1000 && !ENDS.has(this.rollout.status); rounds += 1) {
      const told = todo.flatMap((action): readonly Observation[] => {
        if (action.kind === "move" && action.to === "new" && fails(action.id))
          return [{ type: "action-failed", key: action.key, reason: "no" }];
        if (action.kind === "move") return [this.report(action.id, action.to)];
        if (action.kind === "ask-gate") return [{ type: "gate", key: action.key, verdict: "passed", detail: "" }];
        return action.kind === "deny" ? [] : [{ type: "action-done", key: action.key }];
      });
      todo = this.tick(told);
    }
  }
}

export function told(driven: Driven, command: CommandName): Driven {
  driven.tick([{ type: "command", command, who: "ada", reason: "because" }]);
  return driven;
}
export function ran(driven: Driven, fails?: (id: string) => boolean): Driven {
  driven.run(fails);
  return driven;
}

/** Tells each step from one state to another, also those that one decision takes in a row. */
export function watchSteps(rollout: Rollout, tell: (from: RolloutStatus, to: RolloutStatus) => void): void {
  let { status } = rollout;
  Object.defineProperty(rollout, "status", {
    get: () => status,
    set: (next: RolloutStatus) => {
      if (next !== status) tell(status, next);
      status = next;
    },
  });
}

const STAGES: ReadonlySet<Action["kind"]> = new Set(["weigh", "switch", "retire"]);

/** Does what a rollout asks when it is told to, and everything at once in the end. */
export class Obliging {
  /** Everything that was told. */
  readonly moments: Moment[] = [];
  private readonly todo = new Map<string, Action>();
  private readonly rollout: Rollout;
  private nowMs: number;
  private sequence = 1000; // later than what was told before

  /** @param begun  what it is asked already */
  constructor(rollout: Rollout, nowMs = 0, begun: readonly Action[] = []) {
    this.rollout = rollout;
    this.nowMs = nowMs;
    for (const action of begun) this.todo.set(action.key, action);
  }

  suffer({ what, which, afterMs }: { readonly what: string; readonly which: number; readonly afterMs: number }): void {
    const actions = [...this.todo.values()];
    const action = actions[which % Math.max(1, actions.length)];
    const slot = this.rollout.roster.at(which % this.rollout.roster.length);
    const told: Observation[] = [];
    if (what === "done" || what === "gate" || what === "stage-done") told.push(...this.did(action));
    else if (what === "failed" && action?.kind === "move" && this.todo.delete(action.key))
      told.push({ type: "action-failed", key: action.key, reason: "no" });
    else if (what === "no-gate" && action?.kind === "ask-gate" && this.todo.delete(action.key))
      told.push({ type: "gate", key: action.key, verdict: "error", detail: "" });
    else if (what === "bad-gate" && action?.kind === "ask-gate" && this.todo.delete(action.key))
      told.push({ type: "gate", key: action.key, verdict: which % 2 === 0 ? "failed" : "inconclusive", detail: "" });
    else if (what === "stage-failed" && action !== undefined && STAGES.has(action.kind) && this.todo.delete(action.key))
      told.push({ type: "action-failed", key: action.key, reason: "no" });
    else if (what === "superseded") told.push({ type: "superseded", by: "next" });
    else if (what === "revoked" || what === "revoked-back")
      told.push({ type: "revoked", digest: what === "revoked" ? "new" : "old", reason: "leak" });
    else if (what === "sick" || what === "well") told.push(this.report(slot.id, slot.running, what === "well"));
    else if (what === "others") told.push({ type: "others", unavailable: which % 3 });
    else if (what === "take") told.push({ type: "others", unavailable: 1, ids: [slot.id] });
    else if (what === "freeze" || what === "thaw") told.push({ type: "freeze", reason: what === "freeze" ? "x" : null });
    else if (what === "join")
      told.push({ type: "joined", instance: { id: `late${which}`, zone: "z", running: which % 2 === 0 ? "new" : "old", healthy: true } });
    else if (what === "leave" && this.rollout.roster.sums.size > 1) told.push({ type: "left", id: slot.id });
    else if (what in COMMANDS.running)
      told.push({ type: "command", command: what as CommandName, who: "ada", reason: "so", planHash: "hash", id: slot.id });
    this.tick(told, afterMs);
  }

  end(): RolloutStatus {
    const { rollout } = this;
    for (let rounds = 0; rounds < 500 && !ENDS.has(rollout.status) && rollout.status !== "halted"; rounds += 1) {
      const well = [...rollout.roster].map(({ id, running }) => this.report(id, running, true));
      const done = [...this.todo.values()].flatMap((action) => this.did(action));
      this.tick([{ type: "freeze", reason: null }, { type: "others", unavailable: 0 }, ...well, ...done], 1000);
      if (rollout.status === "held") this.tick([{ type: "command", command: "retry-failed", who: "ada" }], 1);
      if (rollout.status === "held" && rollout.reason.includes("too small"))
        this.tick([{ type: "command", command: "roll-back", who: "ada" }], 1);
      if (rollout.asksFor !== undefined) this.tick([{ type: "command", command: "approve", who: "grace", planHash: "hash" }], 1);
      if (rollout.status === "paused") this.tick([{ type: "command", command: "resume", who: "ada" }], 1);
    }
    return rollout.status;
  }

  private did(action: Action | undefined): readonly Observation[] {
    if (action === undefined || !this.todo.delete(action.key)) return [];
    if (action.kind === "move") return [this.report(action.id, action.to, true)];
    if (action.kind === "ask-gate") return [{ type: "gate", key: action.key, verdict: "passed", detail: "" }];
    return action.kind === "deny" ? [] : [{ type: "action-done", key: action.key }];
  }

  private tick(told: readonly Observation[], afterMs: number): void {
    this.nowMs += afterMs;
    this.moments.push({ nowMs: this.nowMs, observations: told });
    for (const action of this.rollout.tick(told, this.nowMs).actions) this.todo.set(action.key, action);
  }

  private report(id: string, running: string | undefined, healthy: boolean): Observation {
    this.sequence += 1;
    return { type: "report", id, sequence: this.sequence, running, healthy };
  }
}

export function tryPlan(policy: Partial<RolloutPolicy>, size: number): RolloutPlan | undefined {
  try {
    return planOf(policy, size);
  } catch {
    return undefined; // nothing may move under it, which is refused
  }
}
