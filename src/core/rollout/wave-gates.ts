import type { Verdict } from "../checks/verdict.ts";
import { APPROVALS, type Action, type Observation } from "./model.ts";
import { isAskedAfter, type RolloutPlan } from "./plan.ts";
import type { Gate, People } from "./policy.ts";

/** Who approved so far of what waits for approvals. */
export interface AskedFor {
  /** From 1, and the gate that asks; absent: the plan. */
  readonly wave?: number;
  readonly gate?: string;
  readonly by: readonly string[];
  readonly needed: number;
}

/** A gate that does not let the rollout go on, and why. */
export interface NotPassed {
  readonly gate: Gate;
  readonly verdict: Exclude<Verdict, "passed">;
  readonly detail: string;
}

/** Of the gate that is next. */
interface OpenGate {
  readonly index: number;
  /** Its question, while the answer is waited for. */
  key?: string;
  /** Bad answers that were passed over, and when it is asked again. */
  readonly bad: Record<Exclude<Verdict, "passed">, number>;
  againAtMs?: number;
  /** Where people let it pass: who did, and since when it waits for them. */
  readonly approvedBy: Set<string>;
  waitsSinceMs?: number;
}

const openGate = (index: number): OpenGate => ({
  ...{ index, bad: { failed: 0, error: 0, inconclusive: 0 }, approvedBy: new Set<string>() },
});

/** The gates after a wave, one after the other in their order. Reads no clock: it is told the time. */
export class WaveGates {
  private readonly plan: RolloutPlan;
  private wave = 0;
  private gate = openGate(0);
  /** How often gates were asked, so that each question has a key of its own. */
  private asked = 0;

  constructor(plan: RolloutPlan) {
    this.plan = plan;
  }

  /** For the next wave, all of them are to be asked anew. */
  open(wave: number): void {
    this.wave = wave;
    this.gate = openGate(0);
  }

  /** @returns whether all have passed, or the question that is to be asked now; nothing: an answer is waited for */
  next(nowMs: number): true | Action | undefined {
    const { policy, rollout } = this.plan;
    const gate = policy.gates[this.gate.index];
    if (gate === undefined) return true;
    if (gate.people !== undefined) return this.nextOfPeople(gate.people, nowMs);
    if (this.gate.key !== undefined || nowMs < (this.gate.againAtMs ?? 0)) return undefined;
    delete this.gate.againAtMs;
    this.asked += 1;
    this.gate.key = `${rollout}//gate-${this.asked}`;
    return { kind: "ask-gate", key: this.gate.key, gate: gate.name, wave: this.wave };
  }

  private nextOfPeople(people: People, nowMs: number): true | Action | undefined {
    if (isAskedAfter(people, this.wave, this.plan) && this.gate.approvedBy.size < people.approvals) {
      this.gate.waitsSinceMs ??= nowMs;
      return undefined;
    }
    this.pass();
    return this.next(nowMs);
  }

  /** Goes on to the next one. */
  pass(): void {
    if (this.plan.policy.gates[this.gate.index] !== undefined) this.gate = openGate(this.gate.index + 1);
  }

  /** @returns nothing where it passed, or the answer is passed over, or was to another question */
  answered({ key, verdict, detail }: Extract<Observation, { type: "gate" }>, nowMs: number): NotPassed | undefined {
    if (key !== this.gate.key) return undefined;
    const gate = this.plan.policy.gates[this.gate.index];
    delete this.gate.key;
    if (gate === undefined) return undefined;
    if (verdict !== "passed") return this.isPassedOver(gate, verdict, nowMs) ? undefined : { gate, verdict, detail };
    this.pass();
    return undefined;
  }

  private isPassedOver({ again }: Gate, verdict: Exclude<Verdict, "passed">, nowMs: number): boolean {
    const { bad } = this.gate;
    if (verdict !== "error") bad.error = 0;
    bad[verdict] += 1;
    if (again === undefined || bad[verdict] > again.allowed[verdict]) return false;
    this.gate.againAtMs = nowMs + again.everyMs;
    return true;
  }

  // People

  /** Whose approvals the open gate waits for; nothing: it asks something else, is not reached yet, or has them all. */
  private get people(): People | undefined {
    if (this.gate.waitsSinceMs === undefined) return undefined;
    const people = this.plan.policy.gates[this.gate.index]?.people;
    return people === undefined || this.gate.approvedBy.size >= people.approvals ? undefined : people;
  }

  get asksFor(): AskedFor | undefined {
    const { people } = this;
    const gate = this.plan.policy.gates[this.gate.index]?.name ?? "";
    return people && { wave: this.wave + 1, gate, by: [...this.gate.approvedBy], needed: people.approvals };
  }

  approve(who: string): void {
    this.gate.approvedBy.add(who);
  }

  /** The time for approvals begins again. */
  waitAnew(nowMs: number): void {
    if (this.gate.waitsSinceMs !== undefined) this.gate.waitsSinceMs = nowMs;
  }

  /** The gate whose approvals have not come in time. */
  missed(nowMs: number): NotPassed | undefined {
    const { people } = this;
    const gate = this.plan.policy.gates[this.gate.index];
    const { waitsSinceMs, approvedBy } = this.gate;
    if (gate === undefined || people?.withinMs === undefined || waitsSinceMs === undefined) return undefined;
    if (nowMs - waitsSinceMs < people.withinMs) return undefined;
    return { gate, verdict: "inconclusive", detail: `${approvedBy.size} of ${people.approvals} approved in time` };
  }

  // What is waited for

  /** In words; nothing: no gate is reached yet. */
  get waitingFor(): string | undefined {
    const { key, againAtMs, approvedBy, index } = this.gate;
    const { people } = this;
    if (people !== undefined) return `${APPROVALS}wave ${this.wave + 1}: ${approvedBy.size} of ${people.approvals}`;
    if (key === undefined && againAtMs === undefined) return undefined;
    return `gate ${this.plan.policy.gates[index]?.name ?? ""}${againAtMs === undefined ? "" : ", once more"}`;
  }

  /** When to look again; NaN stands for never. */
  get wakesAtMs(): readonly number[] {
    const { againAtMs = Number.NaN, waitsSinceMs = Number.NaN } = this.gate;
    return [againAtMs, waitsSinceMs + (this.people?.withinMs ?? Number.NaN)];
  }
}
