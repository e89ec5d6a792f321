import { approvalsText } from "../core/gates/words.ts";
import { amountText } from "../core/rollout/amount.ts";
import { ENDS, type Action, type Command, type Decision, type InstancePhase, type Observation } from "../core/rollout/model.ts";
import type { RolloutPlan } from "../core/rollout/plan.ts";
import type { RolloutPolicy, Strategy } from "../core/rollout/policy.ts";
import { Rollout } from "../core/rollout/rollout.ts";
import type { AskedFor } from "../core/rollout/wave-gates.ts";
import type { Roster, Slot } from "../core/rollout/roster.ts";
import {
  rolloutMarkdown,
  spanText,
  type ReportedCommand,
  type ReportedEvent,
  type ReportedFailure,
  type ReportedGate,
  type ReportedHalt,
  type ReportedPlan,
  type RolloutReport,
} from "../core/fleet/rollout-report.ts";
import { rolloutPage } from "../core/fleet/rollout-report-page.ts";
import type { FleetRolloutRecords, RolloutSummary } from "../ports/fleet-records.ts";
import { findRollout } from "./find-fleet.ts";
import type { FleetParts } from "./fleet-parts.ts";

export type ReportFormat = "markdown" | "html";

/** What a rollout did, when, and why, as a text of its own. @throws ROLLOUT_NOT_FOUND, REFERENCE_AMBIGUOUS */
export function reportRollout(parts: Pick<FleetParts, "records">, reference: string | undefined, format: ReportFormat): string {
  const report = collectReport(parts, reference);
  return format === "html" ? rolloutPage(report) : rolloutMarkdown(report);
}

/** The same as data. @throws ROLLOUT_NOT_FOUND, REFERENCE_AMBIGUOUS */
export function collectReport({ records }: Pick<FleetParts, "records">, reference: string | undefined): RolloutReport {
  const summary = findRollout(records, reference);
  return new Collector(summary, records.open(summary.id)).collect();
}

interface Mark {
  readonly at: string;
  readonly ms: number;
}

/** An instance that came from one phase into another. */
type Step = Slot & { readonly before: InstancePhase };

/** What {@link Collector} compares from one moment to the next. */
interface Before {
  readonly status: string;
  readonly reason: string;
  readonly wave: number;
}

/** Makes the rollout again from its records, and notes what changes with each moment. */
class Collector {
  private readonly summary: RolloutSummary;
  private readonly records: FleetRolloutRecords;
  private readonly rollout: Rollout;
  private readonly plan: RolloutPlan;
  private readonly timeline: ReportedEvent[] = [];
  private readonly gates: ReportedGate[] = [];
  private readonly commands: ReportedCommand[] = [];
  private readonly failures: Omit<ReportedFailure, "end">[] = [];
  private readonly phases = new Map<string, { fromMs: number; phase: InstancePhase }[]>();
  private steps: Step[] = [];
  private readonly opened = new Map<number, number>();
  private readonly closed = new Map<number, number>();
  private readonly asked = new Map<string, Extract<Action, { kind: "ask-gate" }>>();
  private readonly moves: { readonly ms: number; readonly id: string }[] = [];
  private readonly sickAt = new Map<string, Mark & { readonly what: string }>();
  private signal: (Mark & { readonly what: string }) | undefined;
  private halt: (Mark & { readonly reason: string }) | undefined;
  private backMs: number | undefined;
  /** The gate whose approvals did not come in time, and its wave, as it was told last. */
  private late: string | undefined;

  constructor(summary: RolloutSummary, records: FleetRolloutRecords) {
    this.summary = summary;
    this.records = records;
    const { plan, planHash, startedBy, nowMs } = records.origin;
    this.plan = plan;
    this.rollout = new Rollout(plan, planHash, startedBy, nowMs);
    for (const { id, phase } of this.rollout.roster) this.phases.set(id, [{ fromMs: 0, phase }]);
    this.listen(this.rollout.roster);
  }

  /** One moment may take an instance through several phases: what failed goes back at once. */
  private listen(roster: Roster): void {
    const change = roster.change.bind(roster);
    roster.change = (slot, to) => {
      const { phase: before } = slot;
      change(slot, to);
      const after = roster.at(slot.index);
      if (after.phase !== before) this.steps.push({ ...after, before });
    };
  }

  collect(): RolloutReport {
    const { summary, rollout, plan, records } = this;
    const { origin } = records;
    const times = records.momentTimes();
    const moments = records.moments();
    this.timeline.push({ at: summary.startedAt, ms: 0, what: `${rollout.status}, started by ${origin.startedBy}` });
    if (rollout.status !== "awaiting-approval") this.opened.set(0, 0);
    let last: Mark = { at: summary.startedAt, ms: 0 };
    for (const [index, { nowMs, observations }] of moments.entries()) {
      last = { at: times[index] ?? last.at, ms: Math.max(last.ms, nowMs - origin.nowMs) };
      this.moment(last, nowMs, observations);
    }
    const over = ENDS.has(rollout.status);
    const endedAt = summary.endedAt ?? (over ? last.at : undefined);
    return {
      ...{ id: summary.id, fleet: summary.fleet, target: plan.target, ...(plan.back === undefined ? {} : { back: plan.back }) },
      ...{ status: rollout.status, over, reason: rollout.reason, startedBy: origin.startedBy, startedAt: summary.startedAt },
      ...(endedAt === undefined ? {} : { endedAt }),
      durationMs: last.ms,
      plan: plannedText(plan, origin.planHash),
      waves: this.waves(),
      counts: this.counts(),
      ...{ gates: this.gates, commands: this.commands },
      failures: this.failures.map((failure) => ({ ...failure, end: rollout.roster.find(failure.id)?.phase ?? failure.phase })),
      ...(this.halt === undefined ? {} : { halt: this.haltOf(this.halt) }),
      timeline: this.timeline,
      instances: [...rollout.roster].map(({ id, zone, phase, running }) => ({
        ...{ id, zone, end: phase, phases: this.phases.get(id) ?? [] },
        ...(running === undefined ? {} : { running }),
      })),
    };
  }

  private moment(mark: Mark, nowMs: number, observations: readonly Observation[]): void {
    const { rollout } = this;
    const before: Before = { status: rollout.status, reason: rollout.reason, wave: rollout.wave };
    const asked = rollout.asksFor;
    for (const observation of observations) this.noteSickness(mark, observation);
    const decision = rollout.tick(observations, nowMs);
    const reasons = this.observed(mark, observations, decision);
    // what became of instances, then what follows from it, then what is begun
    const [ended, begun] = [this.steps.filter(({ phase }) => !BEGUN.has(phase)), this.steps.filter(({ phase }) => BEGUN.has(phase))];
    this.steps = [];
    this.changed(mark, ended, reasons);
    if (asked !== undefined) this.peopleAnswered(mark, asked, observations);
    this.wavesMoved(mark, before);
    this.status(mark, before);
    for (const action of decision.actions) this.begun(mark, action);
    this.changed(mark, begun, reasons);
  }

  /** The first sign may come long before it counts as a failure. */
  private noteSickness(mark: Mark, observation: Observation): void {
    if (observation.type !== "report") return;
    const slot = this.rollout.roster.find(observation.id);
    if (observation.healthy) this.sickAt.delete(observation.id);
    else if (slot?.phase === "moved" && slot.healthy) {
      this.sickAt.set(slot.id, { ...mark, what: `${slot.id} became unhealthy` });
      this.event(mark, `${slot.id} became unhealthy: the soak begins again`);
    }
  }

  /** What became of a gate that waited for people. */
  private peopleAnswered(mark: Mark, { gate, wave, by, needed }: AskedFor, observations: readonly Observation[]): void {
    if (gate === undefined || wave === undefined) return;
    const { status, reason, asksFor } = this.rollout;
    const isLate = status !== "running" && reason.startsWith(`gate ${gate}: inconclusive`);
    if (asksFor?.gate === gate && asksFor.wave === wave && !isLate) return;
    const now = observations.flatMap((told) => (told.type === "command" && told.command === "approve" ? [told.who] : []));
    const people = [...new Set([...by, ...now])];
    const verdict = isLate ? "inconclusive" : "passed";
    if (isLate ? this.late === `${gate} ${wave}` : people.length < needed) return; // told already; or the rollout ended otherwise
    if (isLate) this.late = `${gate} ${wave}`;
    const detail = isLate ? `${by.length} of ${needed} approved in time` : `approved by ${people.join(", ")}`;
    this.gates.push({ ...mark, gate, wave, verdict, detail });
    this.event(mark, `gate ${gate} of wave ${wave}: ${verdict}`, detail);
  }

  /** As it was told last. */
  private isFrozen = false;

  private observed(mark: Mark, observations: readonly Observation[], { refused }: Decision): ReadonlyMap<string, string> {
    const reasons = new Map<string, string>();
    const unanswered = [...refused];
    for (const observation of observations) {
      switch (observation.type) {
        case "command": {
          const index = unanswered.findIndex(({ command, who }) => command === observation.command && who === observation.who);
          this.command(mark, observation, index < 0 ? undefined : unanswered.splice(index, 1)[0]?.why);
          break;
        }
        case "gate":
          this.gate(mark, observation);
          break;
        case "action-failed":
          reasons.set(observation.key, observation.reason);
          this.event(mark, `${this.nameOf(observation.key)} could not be done`, observation.reason);
          break;
        case "freeze":
          if (observation.reason !== null) this.event(mark, "frozen: nothing new starts", observation.reason);
          else if (this.isFrozen) this.event(mark, "nothing is frozen any more");
          this.isFrozen = observation.reason !== null;
          break;
        case "unwatched":
          this.event(mark, "another process carries it on: a soak begins again");
          break;
        case "revoked":
          this.event(mark, `${observation.digest} was revoked`, observation.reason);
          break;
        case "joined":
          this.phases.set(observation.instance.id, [{ fromMs: mark.ms, phase: "waiting" }]);
          this.event(mark, `${observation.instance.id} joined the fleet`);
          break;
        case "left":
          this.event(mark, `${observation.id} left the fleet`);
          break;
        case "superseded":
          this.event(mark, `superseded by ${observation.by}`);
          break;
        case "report":
        case "action-done":
        case "others":
      }
    }
    return reasons;
  }

  private command(mark: Mark, { command, who, reason, id, planHash, wave }: Command, refused: string | undefined): void {
    const about = id ?? (wave === undefined ? planHash : `wave ${wave} of ${planHash ?? "no plan"}`);
    const extra = { ...(about === undefined ? {} : { about }), ...(reason === undefined ? {} : { reason }) };
    this.commands.push({ ...mark, command, who, ...extra, ...(refused === undefined ? {} : { refused }) });
    const what = `${[command, about].filter(Boolean).join(" ")} by ${who}${refused === undefined ? "" : ", refused"}`;
    this.event(mark, what, refused ?? reason);
  }

  private gate(mark: Mark, { key, verdict, detail }: Extract<Observation, { type: "gate" }>): void {
    const question = this.asked.get(key);
    if (question === undefined) return;
    const { gate, wave } = question;
    this.gates.push({ ...mark, gate, wave: wave + 1, verdict, detail });
    this.event(mark, `gate ${gate} of wave ${wave + 1}: ${verdict}`, detail);
    if (verdict !== "passed") this.signal ??= { ...mark, what: `gate ${gate}: ${verdict}` };
  }

  /** What became of instances with this moment. */
  private changed(mark: Mark, steps: readonly Step[], reasons: ReadonlyMap<string, string>): void {
    for (const { id, phase, zone, index, running, attempt, before } of steps) {
      const known = this.phases.get(id);
      if (known === undefined) this.phases.set(id, [{ fromMs: mark.ms, phase }]);
      else known.push({ fromMs: mark.ms, phase });
      const why = BAD.has(phase) ? (reasons.get(`${this.summary.id}/${id}/${attempt}`) ?? this.whyFailed(before, phase)) : undefined;
      this.event(mark, `${id}: ${before} → ${phase}${phase === "failed" && running !== undefined ? `, runs ${running}` : ""}`, why);
      if (why === undefined) continue;
      const wave = this.plan.waves.findIndex(({ from, to }) => index >= from && index < to);
      this.failures.push({ ...mark, id, zone, phase, why, ...(wave < 0 ? {} : { wave: wave + 1 }) });
      this.signal ??= this.sickAt.get(id) ?? { ...mark, what: `${id} is ${phase}` };
    }
  }

  private whyFailed(before: InstancePhase, phase: InstancePhase): string {
    const { timeoutMs, graceMs, unreachable } = this.plan.policy;
    if (phase === "unreachable") return `no answer for ${spanText(before === "moving" ? timeoutMs : unreachable.afterMs)}`;
    if (before === "moved") return `became unhealthy after it was moved, and stayed so for ${spanText(graceMs)}`;
    return `not healthy on the image within ${spanText(timeoutMs)}`;
  }

  private begun(mark: Mark, action: Action): void {
    switch (action.kind) {
      case "move":
        if (action.to === this.plan.target) this.moves.push({ ms: mark.ms, id: action.id });
        return;
      case "ask-gate":
        this.asked.set(action.key, action);
        return;
      case "weigh":
        return this.event(mark, action.weight === "even" ? "traffic is shared evenly" : `${action.weight} % of the traffic to the image`);
      case "switch":
        return this.event(mark, `all traffic to the ${action.to} set`);
      case "retire":
        return this.event(mark, `the ${action.set} set is ended`);
      case "deny":
        return this.event(mark, `${action.digest} is put on the deny list`, action.reason);
    }
  }

  private status(mark: Mark, before: Before): void {
    const { status, reason } = this.rollout;
    if (status !== before.status || (reason !== before.reason && reason !== ""))
      this.event(mark, status === before.status ? status : `${before.status} → ${status}`, reason === "" ? undefined : reason);
    if ((status === "halted" || status === "rolling-back") && before.status !== status) this.halt ??= { ...mark, reason };
    if (status === "rolled-back" && before.status !== status) {
      this.halt ??= { ...mark, reason }; // all in one moment
      this.backMs = mark.ms;
    }
  }

  private wavesMoved({ at, ms }: Mark, before: Before): void {
    const { wave, status } = this.rollout;
    if (before.status === "awaiting-approval" && status !== "awaiting-approval") this.opened.set(0, ms);
    for (let number = before.wave; number < wave; number += 1) {
      this.closed.set(number, ms);
      if (number + 1 < this.plan.waves.length) this.opened.set(number + 1, ms);
      this.event({ at, ms }, `wave ${number + 1} is done`);
    }
  }

  private event(mark: Mark, what: string, reason?: string): void {
    this.timeline.push({ at: mark.at, ms: mark.ms, what, ...(reason === undefined || reason === "" ? {} : { reason }) });
  }

  /** `web-r1/web-3/2` is said as `web-3, attempt 2`. */
  private nameOf(key: string): string {
    const prefix = `${this.summary.id}/`;
    if (!key.startsWith(prefix)) return key;
    const rest = key.slice(prefix.length);
    if (rest.startsWith("/")) return rest.slice(1);
    const end = rest.lastIndexOf("/");
    return `${rest.slice(0, end)}, attempt ${rest.slice(end + 1)},`;
  }

  private waves(): RolloutReport["waves"] {
    return this.plan.waves.map(({ from, to, soakMs, weight }, index) => {
      const [openedMs, doneMs] = [this.opened.get(index), this.closed.get(index)];
      return {
        number: index + 1,
        instances: this.plan.instances.slice(from, to).map(({ id }) => id),
        soakMs,
        ...(weight === undefined ? {} : { weight }),
        ...(openedMs === undefined ? {} : { openedMs }),
        ...(doneMs === undefined ? {} : { doneMs }),
      };
    });
  }

  private counts(): RolloutReport["counts"] {
    const counts: Partial<Record<InstancePhase, number>> = {};
    for (const { phase } of this.rollout.roster) counts[phase] = (counts[phase] ?? 0) + 1;
    return counts;
  }

  private haltOf(halt: Mark & { readonly reason: string }): ReportedHalt {
    const { signal, backMs } = this;
    const isBefore = signal !== undefined && signal.ms <= halt.ms;
    return {
      ...halt,
      ...(isBefore ? { signal, haltedAfterMs: halt.ms - signal.ms } : {}),
      overRun: isBefore ? this.moves.filter(({ ms }) => ms > signal.ms && ms <= halt.ms).length : 0,
      ...(backMs === undefined ? {} : { backAfterMs: backMs - halt.ms }),
    };
  }
}

const BEGUN: ReadonlySet<InstancePhase> = new Set(["moving", "returning"]);
const BAD: ReadonlySet<InstancePhase> = new Set(["failed", "unreachable", "stuck"]);

function plannedText(plan: RolloutPlan, hash: string): ReportedPlan {
  const { policy, method, limits, zones, settled } = plan;
  return {
    hash,
    strategy: strategyText(policy.strategy),
    ...(method === undefined ? {} : { method: `${method.kind}, because ${method.why}` }),
    limits: limitsText(policy, limits),
    gates: policy.gates.map(({ name, onError, onInconclusive, people }) =>
      people === undefined
        ? `${name}: on error ${onError}, when inconclusive ${onInconclusive}`
        : `${name}: ${approvalsText(people)}${people.withinMs === undefined ? "" : ` in ${spanText(people.withinMs)}, else ${onInconclusive}`}`,
    ),
    onHalt: policy.onHalt,
    zones,
    settled: settled.length,
  };
}

function strategyText(strategy: Strategy): string {
  switch (strategy.kind) {
    case "rolling":
      return `rolling, ${amountText(strategy.batch)} at a time, each soaked for ${spanText(strategy.soakMs)}`;
    case "canary": {
      const steps = strategy.steps.map(({ to, weight }) =>
        [to === undefined ? "" : amountText(to), weight === undefined ? "" : `with ${weight} % of the traffic`].filter(Boolean).join(" "),
      );
      return `canary: ${[...steps, "the rest"].join(", then ")}`;
    }
    case "blue-green":
      return `blue/green, soaked for ${spanText(strategy.soakMs)}, the old set kept for ${spanText(strategy.keepOldMs)}`;
    case "all-at-once":
      return `all at once, soaked for ${spanText(strategy.soakMs)}`;
  }
}

function limitsText({ errors, unreachable, timeoutMs, graceMs, approvals }: RolloutPolicy, limits: RolloutPlan["limits"]): string[] {
  return [
    `${limits.maxUnavailable} may be unavailable, ${limits.minHealthy} must be healthy, ${limits.maxSurge} may be there beyond the size`,
    `${amountText(errors.allowed)} may fail${errors.perWave ? " in each wave" : ""}${errors.strict ? ", what is under way counts" : ""}`,
    `${amountText(unreachable.allowed)} may not answer for ${spanText(unreachable.afterMs)}`,
    `moving one may take ${spanText(timeoutMs)}, being unhealthy ${spanText(graceMs)}`,
    ...(approvals === 0 ? [] : [`${approvals} ${approvals === 1 ? "approval is" : "approvals are"} needed`]),
  ];
}
